"""The storage is the only way to raw videos, clips, previews and shards: nothing else joins a run's folder to them."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.storage import FOLDERS
from pipeline.tables.kinds import KINDS, is_path
from tests.run_joins import ROOT, constant, joins, modules

# What is joined by a value that is no key of the storage.
OTHER = {
    "film": "of an evaluation: its own videos, or a file where it was found",
    "name": "of a place on the list of a run's folders; of a film; of a note",
    "slug": "of a language model's answers",
}
COLUMNS = {column.name for kind in KINDS.values() for column in kind.columns if is_path(column)} - {"film"}


def first_step(path: Path, tree: ast.Module, joined: ast.expr) -> str:
    """The first step of what is joined; of a value that is known only when it runs, the name of the column or variable."""
    if isinstance(joined, ast.Constant):
        return str(joined.value).split("/")[0]
    if isinstance(joined, ast.JoinedStr):
        return first_step(path, tree, joined.values[0])
    if isinstance(joined, ast.Subscript):
        return ast.unparse(joined.slice).strip("'")
    if isinstance(joined, ast.BoolOp):
        return first_step(path, tree, joined.values[0])
    name = joined.attr if isinstance(joined, ast.Attribute) else ast.unparse(joined)
    return constant(path, tree, name).split("/")[0] if name.isupper() else f"${name}"


def found(trees: Mapping[Path, ast.Module]) -> Iterator[tuple[str, str]]:
    """(room or stage, join) of everything that goes past the storage."""
    for path, node in joins(trees.items()):
        step = first_step(path, trees[path], node.right)
        past = step in FOLDERS or step in COLUMNS or (step.startswith("$") and step[1:] not in OTHER)
        if past and not path.is_relative_to(ROOT / "pipeline" / "storage"):
            yield "/".join(path.relative_to(ROOT).with_suffix("").parts[:2]), ast.unparse(node)


def test_nothing_goes_past_the_storage() -> None:
    past = set(found(dict(modules())))
    assert past == set(), "ask the storage for these: context.storage.local(key), storage_of(run)"


def test_the_search_sees_every_form() -> None:
    code = ast.parse(
        'FOLDER = "clips"\n'
        "def f(run, row, context, video): "
        'return run / "raw", run / "shards/_index.json", context.run / FOLDER, run / row["path"], run / (row["video"] or ""), '
        'self._run / video, run / f"previews/{video}", run / "report", run / row["film"]'
    )
    assert [join for _, join in found({ROOT / "pipeline" / "new.py": code})] == [
        *("run / 'raw'", "run / 'shards/_index.json'", "context.run / FOLDER", "run / row['path']"),
        *("run / (row['video'] or '')", "self._run / video", "run / f'previews/{video}'"),
    ]
