"""The examination: every check in order, none of which can keep another from being made."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.engine.profile import Profile
from pipeline.registry.models import Registry
from pipeline.views.doctor import accelerators, nets, packages, place, programs, web
from pipeline.views.doctor.finding import MISSING, Finding


def examine(profile: Profile, run: Path, models: Registry) -> Iterator[Finding]:
    """Look at this machine with the eyes of a profile.

    Args:
        profile: what is to be run.
        run: where; need not exist yet.
        models: the nets; nothing is fetched or built.
    """
    looking = models.looking()
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("python", packages.python),
        ("packages", packages.versions),
        ("extras", lambda: packages.extras(profile)),
        ("ffmpeg", programs.ffmpeg),
        ("gpu", lambda: accelerators.gpu(profile)),
        ("onnxruntime", lambda: accelerators.onnxruntime(profile)),
        ("torch", lambda: accelerators.torch(profile)),
        ("nets", lambda: nets.nets(profile, looking)),
        ("keys", lambda: web.keys(profile, looking)),
        ("yt-dlp", lambda: web.downloader(profile)),
        ("disk", lambda: place.room(profile, run, looking.cache)),
        ("file system", lambda: place.file_system(run)),
        ("clock", lambda: place.clock(run)),
    ]
    for subject, check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - whatever is broken here is what the doctor is asked about
            yield Finding(MISSING, subject, f"looking at it failed: {type(error).__name__}: {error}")
