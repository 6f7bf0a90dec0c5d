"""The versions that are written beside results."""

import re
from importlib.metadata import version
from pathlib import Path

from pipeline.base.version import version_of

ROOT = Path(__file__).parents[3]


def test_versions_are_those_that_are_installed() -> None:
    assert version_of() == version("csg405")
    assert version_of("numpy") == version("numpy")


def test_a_package_that_is_not_installed_has_an_unknown_version() -> None:
    assert version_of("no-such-package") == "unknown"


def test_no_other_module_asks_for_versions() -> None:
    """But the doctor, which looks at what is installed."""
    modules = [p for room in ("pipeline", "stages") for p in (ROOT / room).rglob("*.py")]
    found = {str(p.relative_to(ROOT)) for p in modules if re.search(r"importlib.metadata|__version__", p.read_text())}
    assert {name for name in found if not name.startswith("pipeline/views/doctor/")} == {"pipeline/base/version.py"}
