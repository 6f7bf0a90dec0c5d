"""The command over toy stages: in a process of its own (`python -m tests.pipeline.engine.toy_cli run ...`), or in the test's."""

import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.cli.main import main
from pipeline.engine.stage import Stage
from tests.pipeline.engine import toys

PROFILE = """
description = "toys"
required = ["toy_crawl"]
[targets]
crawl = ["toy_crawl", "toy_split"]
annotate = ["toy_annotate"]
filter = ["toy_measure", "toy_judge", "toy_export"]
"""


def modules(stages: Iterable[type[Stage]]) -> dict[str, types.ModuleType]:
    """A module `stages.NAME` for each stage, as if the file were there."""
    found = {}
    for cls in stages:
        name = f"stages.{cls.name}"
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        setattr(module, cls.__name__, cls)
        found[name] = module
    return found


def register(put: Callable[[dict[str, Any], str, Any], None], *stages: type[Stage]) -> None:
    """Make the toys known as stages; `put` is monkeypatch.setitem, or its like."""
    for name, module in modules([*toys.CHAIN, *stages]).items():
        put(sys.modules, name, module)


if __name__ == "__main__":
    register(lambda where, name, what: where.__setitem__(name, what))
    sys.exit(main())
