"""A run's stores: the main one, and those that `evaluate` keeps under `evaluation/`, one a test set and one a method."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.tables.losses import EVALUATION
from pipeline.tables.store import Store


@dataclass(frozen=True)
class NamedStore:
    """A store of a run.

    Attributes:
        name: "" for the main one; else its folder in the run, such as `evaluation/csg405` or `evaluation/csg405/true`.
        store: its tables.
    """

    name: str
    store: Store


def stores_of(main: Store) -> list[NamedStore]:
    """The main store, then every other one that holds tables, by name; all leave out the same videos and channels."""
    found = [NamedStore("", main)]
    place = main.run / EVALUATION
    for folder in sorted(tables.parent for pattern in ("*/tables", "*/*/tables") for tables in place.glob(pattern)):
        name = folder.relative_to(main.run).as_posix()
        found.append(NamedStore(name, Store(folder, main.opt_out, damages=main.damages)))
    return found


def read_everywhere(main: Store, kind: str, columns: Sequence[str] | None = None) -> tuple[pa.Table, list[str]]:
    """Live rows of a kind in all stores that hold it, as `Store.read` gives them, and the names of those stores.

    Where another than the main one holds it, a first column `store` says which: one pair is scored for every method.
    """
    holding = [one for one in stores_of(main) if kind in one.store.kinds]
    if not any(one.name for one in holding):
        return main.read(kind, columns), [one.name for one in holding]
    parts = [one.store.read(kind, columns) for one in holding]
    named = [
        rows.add_column(0, "store", pa.array([one.name] * len(rows), pa.string()))
        for one, rows in zip(holding, parts, strict=True)
    ]
    return pa.concat_tables(named), [one.name for one in holding]
