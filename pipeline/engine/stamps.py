"""Stamps: what a stage last finished with, the rows and the files that no row names."""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.base import files
from pipeline.engine.stage import Stage
from pipeline.tables.results import BrokenPromise, Promise, broken, stored_listing
from pipeline.tables.store import Store

FOLDER = "stamps"


@dataclass(frozen=True)
class Stamp:
    """What a stage left when it finished.

    Attributes:
        rows: a hash of its rows and settings.
        files: {path: (bytes, sha256)} of its `leaves`; None in stamps of older versions.
    """

    rows: str
    files: dict[str, tuple[int, str]] | None


def read_stamp(store: Store, name: str) -> Stamp | None:
    """The stamp of a stage; None where there is none that can be read, which costs another `finish`."""
    known = files.read_object(_path(store, name))
    try:
        listed = known.get("files")
        held = None if listed is None else {str(p): (int(size), str(sha256)) for p, (size, sha256) in listed.items()}
        return Stamp(str(known["rows"]), held)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def write_stamp(store: Store, name: str, rows: str, leaves: tuple[str, ...]) -> None:
    """Note what a stage finished with."""
    about = {"files": stored_listing(store.storage, leaves)} if leaves else {}
    files.write_text(_path(store, name), json.dumps({"rows": rows, **about}))


def left_by(store: Store, name: str, leaves: tuple[str, ...] = ()) -> list[Promise]:
    """The files that a stage's stamp names; of an older version's stamp, the stage's `leaves`, without size and hash."""
    stamp = read_stamp(store, name)
    if stamp is None:
        return []
    known = stamp.files if stamp.files is not None else dict.fromkeys(leaves, (None, None))
    return [Promise(name, path, *about) for path, about in known.items()]


def broken_leaves(stage: Stage, store: Store) -> list[BrokenPromise]:
    """Which of a stage's `leaves` are missing or have another size."""
    return broken(store.storage, left_by(store, stage.name, stage.leaves)) if stage.leaves else []


def _path(store: Store, name: str) -> Path:
    return store.run / FOLDER / f"{name}.json"
