"""Whether a machine of a cluster would compute what the driver's would: code, Python, and the packages that results depend on."""

import hashlib
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pipeline.base.version import UNKNOWN, version_of

ROOMS = ("pipeline", "stages", "manifests")
# Of those of one line a machine has one, or one that stands for another; a version of a build, such as +cpu, counts as the version.
PACKAGES = (
    ("numpy",),
    ("pyarrow",),
    ("scipy",),
    ("av",),
    ("opencv-python-headless", "opencv-contrib-python-headless"),
    ("onnxruntime", "onnxruntime-gpu"),
    ("soxr",),
    ("soundfile",),
    ("torch",),
    ("transformers",),
)


def installed() -> dict[str, str]:
    """{what: version} of all that two machines must have alike, "" for a package that is not there."""
    packages = {names[0]: _first(names) for names in PACKAGES}
    python, system = ".".join(platform.python_version_tuple()[:2]), f"{sys.platform} {platform.machine()}"
    return {"csg405": version_of(), "its code": code_hash(), "Python": python, "system": system, **packages}


def lacking(modules: Iterable[str]) -> list[str]:
    """Those of these modules that are not installed here."""
    return [name for name in modules if find_spec(name.partition(".")[0]) is None]


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What a machine has otherwise than this one, as a clause; "" where results would be equal.

    A package that only one of them has does no harm: what a stage needs is asked for by name.
    """
    unlike = [
        f"{what} {there[what]} there, {here[what]} here"
        for what in here
        if there.get(what, "") != here[what] and there.get(what) and here[what]
    ]
    return "; ".join(unlike)


@cache
def code_hash() -> str:
    """A hash over csg405's own code, which has one version for many days of work."""
    state = hashlib.sha256()
    for folder in folders_of_code():
        for path in sorted(folder.rglob("*.py")):
            state.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return state.hexdigest()[:12]


def folders_of_code() -> list[Path]:
    """Where the packages lie that are csg405."""
    specs = [find_spec(room) for room in ROOMS]
    return [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or []]


def _first(packages: Iterable[str]) -> str:
    known = [version_of(name) for name in packages]
    return next((found.partition("+")[0] for found in known if found != UNKNOWN), "")
