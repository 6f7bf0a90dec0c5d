"""What the code joins to a run's folder, found in its syntax trees: for tests of what may lie where."""

import ast
import contextlib
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for package in ("pipeline", "stages"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def constant(path: Path, tree: ast.Module, name: str) -> str:
    """What a module's constant says, as `FOLDER`; "?FOLDER" when it cannot be told, which no list has."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == name
            and isinstance(node.value, ast.Constant)
        ):
            return str(node.value.value)
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = [node.module for node in imported if name in [one.name for one in node.names]]
    homes += [f"{node.module}.{one.name}" for node in imported for one in node.names if one.name.islower()]
    for home in [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), *homes]:
        with contextlib.suppress(ImportError):
            if isinstance(value := getattr(importlib.import_module(str(home)), name, None), str):
                return value
    return f"?{name}"


def is_run(node: ast.expr) -> bool:
    """`run`, `session.run`, `self._run`, `context.run`, `store.run` ...: whatever is called a run."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in ("run", "_run", "run_folder")


def joins(trees: Iterable[tuple[Path, ast.Module]]) -> Iterator[tuple[Path, ast.BinOp]]:
    """Every `run / ...`, with the file that it stands in."""
    for path, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and is_run(node.left):
                yield path, node
