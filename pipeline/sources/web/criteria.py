"""Criteria for videos, checked against the site's metadata before a byte of media is fetched."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.strict import Strict

_UNFINISHED = ("is_live", "is_upcoming", "post_live")


class Wanted(Strict):
    """Settings of a stage that chooses videos: to be inherited beside `Stage`."""

    min_seconds: float = Field(0.0, ge=0, description="shorter videos are refused, seconds")
    max_hours: float = Field(6.0, gt=0, description="longer videos are refused, hours")
    languages: tuple[str, ...] = Field(
        (), description="codes such as en or zh-TW of the languages wanted; empty: any. Untagged videos pass"
    )
    licences: tuple[str, ...] = Field(
        (), description='words of the licences wanted, such as "Creative Commons"; empty: any'
    )

    def check(self, info: Mapping[str, Any], *, complete: bool) -> None:
        """Pass, or say why not.

        Args:
            info: what yt-dlp says of a video.
            complete: it is the video's own page, where a licence that is not stated is none; a line of search results
                says little, and what it does not say passes.

        Raises:
            Reject: TOO_BRIEF, TOO_LONG, WRONG_LANGUAGE, WRONG_LICENCE.
            Failure: NOT_FINISHED, for what is live or to come.
        """
        if info.get("is_live") or info.get("live_status") in _UNFINISHED:
            raise Failure(Reason.NOT_FINISHED, f"{info.get('live_status') or 'live'}: not a finished video yet")
        seconds = info.get("duration")
        if isinstance(seconds, int | float) and seconds < self.min_seconds:
            raise Reject(Reason.TOO_BRIEF, f"{seconds:.0f} s announced, wanted from {self.min_seconds:.0f} s")
        if isinstance(seconds, int | float) and seconds > self.max_hours * 3600:
            raise Reject(Reason.TOO_LONG, f"{seconds:.0f} s announced, limit {self.max_hours * 3600:.0f} s")
        language, licence = info.get("language"), info.get("license")
        if self.languages and isinstance(language, str) and not any(_speaks(language, w) for w in self.languages):
            raise Reject(Reason.WRONG_LANGUAGE, f"in {language[:20]!r}, wanted {', '.join(self.languages)}")
        stated = licence if isinstance(licence, str) else ""
        if self.licences and (stated or complete) and not any(w.lower() in stated.lower() for w in self.licences):
            raise Reject(Reason.WRONG_LICENCE, f"licence {stated[:80]!r}" if stated else "no licence stated")


def _speaks(language: str, wanted: str) -> bool:
    """Whether a tag is the wanted one or a part of it: en-US is en, and en may be en-US."""
    a, b = language.lower().replace("_", "-"), wanted.lower().replace("_", "-")
    return a == b or a.startswith(b + "-")
