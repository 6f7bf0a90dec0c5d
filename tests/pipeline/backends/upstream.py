"""Functions out of the public back-ends' own files, without importing the rest of them.

Set CSG405_BACKENDS to a folder that holds their checkouts StableAnimator, echomimic_v2, MimicMotion, Wan2.2, VACE, UniAnimate-DiT
and SteadyDancer; without it these tests are skipped.
"""

import ast
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = os.environ.get("CSG405_BACKENDS", "")


def source(path: str) -> Path:
    """A file of the checkouts; skips the test when it is not there."""
    if not FOLDER:
        pytest.skip("CSG405_BACKENDS names no folder with the back-ends' checkouts")
    found = Path(FOLDER) / path
    if not found.is_file():
        pytest.skip(f"{found} is not there: clone it to run this test")
    return found


def taken(path: str, **given: Any) -> dict[str, Any]:
    """The functions, classes and plain constants of a file.

    Args:
        path: below the folder of checkouts.
        given: the modules and names that they use.
    """
    tree = ast.parse(source(path).read_text(encoding="utf-8"))
    kept: list[ast.stmt] = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
    ]
    names: dict[str, Any] = dict(given)
    exec(compile(ast.Module(kept, []), path, "exec"), names)
    return names


def options(path: str) -> set[str]:
    """The command-line options that a file's parsers take."""
    calls = [
        node for node in ast.walk(ast.parse(source(path).read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    return {
        str(argument.value)
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
