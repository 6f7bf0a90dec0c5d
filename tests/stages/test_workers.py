"""Every declaration finds what does its work, and finds it without importing it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stages
from pipeline.engine.lookup import settings_class
from pipeline.engine.settings import Settings
from pipeline.engine.stage import Context, Stage

NAMES = sorted(folder.parent.name for folder in Path(stages.__file__).parent.glob("*/__init__.py"))


def defined_in(path: Path) -> set[str]:
    """Names that a module defines or assigns."""
    body = ast.parse(path.read_text()).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    return functions | {ast.unparse(to) for node in body if isinstance(node, ast.Assign) for to in node.targets}


def own(cls: type[Settings], method: str) -> bool:
    """Whether a declaration says itself how its work begins."""
    return any(method in vars(base) for base in cls.__mro__ if base.__module__.startswith("stages."))


@pytest.mark.parametrize("name", NAMES)
def test_the_work_of_a_declaration_is_where_it_is_looked_for(name: str) -> None:
    cls = settings_class(name)
    module, entry = ("worker", "open_worker") if issubclass(cls, Stage) else ("run", "run")
    if not own(cls, module):
        assert entry in defined_in(Path(stages.__file__).parent / name / f"{module}.py")


def test_few_declarations_say_it_themselves() -> None:
    methods = {name: "worker" if issubclass(settings_class(name), Stage) else "run" for name in NAMES}
    assert {name for name in NAMES if own(settings_class(name), methods[name])} == {"speech_types"}


def test_what_does_the_work_is_not_imported_with_its_declaration() -> None:
    code = (
        "import sys; from pipeline.engine.lookup import settings_class; settings_class('annotate'); print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "stages.annotate" in found
    assert not {"stages.annotate.worker", "cv2", "onnxruntime"} & set(found)


def test_a_worker_is_opened_with_its_stage(tmp_path: Path) -> None:
    judge = settings_class("judge")()
    assert isinstance(judge, Stage)
    work = judge.worker(Context(tmp_path))
    assert type(work).__module__ == "stages.judge.worker"
    assert judge in vars(work).values()
