"""What a crawl needs of the world: keys, which are never shown, and a yt-dlp that is not too old."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, version

from pipeline.base import install
from pipeline.engine.profile import Profile
from pipeline.registry.models import Registry
from pipeline.views.doctor.finding import MISSING, OK, WARN, Finding

OLD_DAYS = 60  # YouTube changes about that often
_KEYS = {
    "OPENAI_API_KEY": "speech types that a language model names",
    "CSG405_PO_TOKEN": "proof-of-origin tokens for YouTube",
    "CSG405_PROXY": "a proxy with a password",
}


def keys(profile: Profile, models: Registry) -> Iterator[Finding]:
    """Which keys are set, and which of them the profile needs. No value is looked at beyond whether it is empty."""
    tokens = {entry.token: f"gated nets ({name})" for name, entry in models.entries.items() if entry.token}
    known = {**_KEYS, **tokens}
    there = [name for name in known if os.environ.get(name, "").strip()]
    away = [f"{name} ({use})" for name, use in known.items() if name not in there]
    yield Finding(OK, "keys", f"set: {', '.join(there) or 'none'}; not set: {', '.join(away) or 'none'}")
    asks = "speech_types" in profile.all_stages and getattr(profile.settings("speech_types"), "source", "") == "openai"
    if asks and "OPENAI_API_KEY" not in there and not os.environ.get("OPENAI_BASE_URL"):
        advice = "set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own"
        yield Finding(MISSING, "keys", "speech_types.source = openai, and OPENAI_API_KEY is not set", advice)


def downloader(profile: Profile) -> Iterator[Finding]:
    """yt-dlp, where a stage of the profile fetches links, and what runs the scripts that YouTube's players ask for."""
    try:
        found = version("yt-dlp")
    except PackageNotFoundError:
        wanting = [name for name in profile.all_stages if "yt_dlp" in profile.settings(name).needed_modules()]
        if wanting:
            found, status = f"not installed, and {', '.join(wanting)} cannot do without", MISSING
        else:
            found, status = "not installed: links cannot be fetched, and nothing here asks for any", OK
        yield Finding(status, "yt-dlp", found, install.with_extra("web"))
        return
    days = age_days(found, datetime.now(UTC).date())
    old = days is not None and days > OLD_DAYS
    aged = "" if days is None else f", {days} days old"
    update = install.pip('-U "yt-dlp[default,deno]"', constrained=False)
    advice = f"sites change: {update}" if old else ""
    yield Finding(WARN if old else OK, "yt-dlp", f"{found}{aged}", advice)
    try:
        yield Finding(OK, "deno", f"{version('deno')}, for the scripts of YouTube's players")
    except PackageNotFoundError:
        yield Finding(WARN, "deno", "not installed: YouTube shows fewer formats", install.with_extra("web"))


def age_days(found: str, today: date) -> int | None:
    """Days since a version of yt-dlp, which is a date, came out; None for one that is no date."""
    parts = re.match(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", found)
    try:
        return (today - date(*map(int, parts.groups()))).days if parts else None
    except ValueError:
        return None
