"""What the workers of a command will import, for the fork server, which imports it once for all of them."""

import sys
from collections.abc import Iterable
from importlib.util import find_spec

from pipeline.engine.stage import Stage

_expected: list[Stage] = []


def expect(stages: Iterable[Stage]) -> None:
    """Say which stages this process runs, in their order, in place of what was said before."""
    _expected[:] = stages


def modules(stage: Stage) -> list[str]:
    """What workers of a stage import, and of those expected after it: where one has work, they mostly have work too."""
    at = next((index for index, each in enumerate(_expected) if type(each) is type(stage)), 0)
    names = [name for each in (stage, *_expected[at:]) for name in imported(each)]
    return list(dict.fromkeys(names))


def imported(stage: Stage) -> tuple[str, ...]:
    """What workers of a stage import, beside its declaration."""
    declared = type(stage).__module__
    is_room = hasattr(sys.modules[declared], "__path__")
    worker = f"{declared}.worker" if is_room and find_spec(f"{declared}.worker") else declared
    return (worker, *stage.preloads())
