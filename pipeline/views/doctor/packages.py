"""Python and its packages: which are here, and whether they are those that were asked for and tested."""

import platform
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pipeline
from pipeline.base import install
from pipeline.engine.profile import Profile
from pipeline.engine.runner import importable
from pipeline.views.doctor.finding import MISSING, OK, WARN, Finding

PROJECT = "csg405"
OLDEST, TESTED = (3, 11), "3.11"
RUNTIMES = ("cpu", "gpu")  # the extras of which exactly one is wanted; `accelerators` looks at them
_HIDDEN = (*RUNTIMES, "dev")
_SHOWN = 6


def python() -> Iterator[Finding]:
    """The interpreter."""
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < OLDEST:
        yield Finding(MISSING, "python", text, f"install Python {TESTED} or newer")
    elif platform.system() != "Linux":
        yield Finding(WARN, "python", text, "only Linux is tested; on Windows use WSL")
    else:
        yield Finding(OK, "python", text)


def versions() -> Iterator[Finding]:
    """What the project asks for, and the versions that were tested together."""
    wanted = [one for one in _requirements() if not one.marker]
    if not wanted:
        yield Finding(
            WARN, "packages", f"{PROJECT} is not installed: what it needs is not known", install.with_extra("cpu")
        )
        return
    wrong = [f"{one.name} {_installed(one.name) or 'absent'}, not {one.specifier}" for one in wanted if not _fits(one)]
    if wrong:
        yield Finding(MISSING, "packages", _some(wrong), install.pip(_quoted(wanted, wrong)))
    else:
        yield Finding(OK, "packages", f"{PROJECT} {version(PROJECT)}, and all {len(wanted)} packages that it needs")
    pins = Path(pipeline.__file__).parents[1] / "docker" / "constraints-cpu.txt"
    if pins.is_file():  # in a checkout
        yield _compared(pins)


def _quoted(wanted: list[Requirement], wrong: list[str]) -> str:
    names = {text.partition(" ")[0] for text in wrong}
    return " ".join(f'"{one}"' for one in wanted if one.name in names)


def _compared(pins: Path) -> Finding:
    """Whether what is installed is what was tested together."""
    pinned = dict(
        line.strip().split("==", 1) for line in pins.read_text().splitlines() if "==" in line and line[0] != "#"
    )
    there = {name: found for name in pinned if (found := _installed(name))}
    # a wheel's local part (+cpu) says how it was built, not which version it is
    other = [
        f"{name} {found}, not {pinned[name]}"
        for name, found in there.items()
        if found.partition("+")[0] != pinned[name]
    ]
    if not other:
        return Finding(OK, "pins", f"all {len(there)} that are installed are as docker/{pins.name} has them")
    advice = f"to have what was tested: {install.with_extra('cpu')}"
    return Finding(WARN, "pins", f"not as docker/{pins.name} has them: {_some(other)}", advice)


def extras(profile: Profile) -> Iterator[Finding]:
    """Which optional parts are installed, and which of them the profile's stages need."""
    by_extra: dict[str, list[Requirement]] = defaultdict(list)
    for one in _requirements():
        for name in _extra_names():
            if one.marker and one.marker.evaluate({"extra": name}) and not one.marker.evaluate({"extra": ""}):
                by_extra[name].append(one)
    shown = {name: all(map(_fits, asked)) for name, asked in by_extra.items() if name not in _HIDDEN}
    here = [name for name, whole in shown.items() if whole]
    away = [name for name, whole in shown.items() if not whole]
    yield Finding(
        OK,
        "extras",
        f"installed: {', '.join(here) or 'none'}; not: {', '.join(away) or 'none'}",
        install.with_extra("NAME") if away else "",
    )
    for stage in profile.all_stages:
        settings = profile.settings(stage)
        absent = [module for module in settings.needed_modules() if not importable(module)]
        if absent:
            status = MISSING if stage in profile.required else WARN
            skipped = "the profile requires it" if stage in profile.required else "it will be skipped"
            advice = install.with_extra(settings.extra)
            yield Finding(status, "extras", f"{stage} needs {', '.join(absent)}: {skipped}", advice)


def _requirements() -> list[Requirement]:
    try:
        return [Requirement(text) for text in requires(PROJECT) or ()]
    except PackageNotFoundError:
        return []


def _extra_names() -> list[str]:
    return list(metadata(PROJECT).get_all("Provides-Extra") or ())


def _installed(name: str) -> str:
    try:
        return version(canonicalize_name(name))
    except PackageNotFoundError:
        return ""


def _fits(wanted: Requirement) -> bool:
    found = _installed(wanted.name)
    return bool(found) and wanted.specifier.contains(found, prereleases=True)


def _some(texts: list[str]) -> str:
    return "; ".join(texts[:_SHOWN]) + (f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")
