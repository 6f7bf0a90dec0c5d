"""Keeping a run folder small: removing what no winning row needs."""

import logging
import time
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow.compute as pc

from pipeline.base import files
from pipeline.shards import removal
from pipeline.shards.features import HUB
from pipeline.shards.format import ShardError
from pipeline.shards.index import INDEX, read_index
from pipeline.tables import people, run_folder
from pipeline.tables.kinds import KINDS, is_path
from pipeline.tables.lock import Occupied, driving, no_program
from pipeline.tables.run_folder import Collect
from pipeline.tables.stale import stale
from pipeline.tables.store import Store
from pipeline.tables.stores import NamedStore, stores_of
from pipeline.tables.table import SIDES, Table

log = logging.getLogger(__name__)

YOUNG_SECONDS = 3600.0  # a file younger than this may belong to a stage that runs right now


@dataclass(frozen=True)
class Waste:
    """A file, or a folder that was to become one thing, that no winning row needs.

    Attributes:
        path: on this machine.
        bytes: in it.
        why: nothing needs it.
        remove: takes it away; nothing happens where it is gone already.
        mapped: a program that is at work may have it open: it goes only while none is.
        stored: its address, where it lies in a bucket.
    """

    path: Path
    bytes: int
    why: str
    remove: Callable[[], object] = field(repr=False, compare=False)
    mapped: bool = False
    stored: str = ""


def _waste(path: Path, size: int, why: str) -> Waste:
    """Waste outside of the storage."""
    folder = path.is_dir() and not path.is_symlink()
    return Waste(path, size, why, partial(people.delete, path) if folder else partial(path.unlink, missing_ok=True))


def waste(store: Store, now: float | None = None) -> Iterator[Waste]:
    """Files that `gc` would remove: replaced and orphaned parts, leftovers of kills, and stage files that no row names.

    Raises: Damaged where a table is not what was promised: what a lost row names is no waste.
    """
    limit = (now or time.time()) - YOUNG_SECONDS
    for one in stores_of(store):
        for kind in one.store.kinds:
            one.store.table(kind).rows([])
    for path in store.run.rglob(f"{files.TEMPORARY}*"):
        held = [item.stat() for item in (path, *path.rglob("*"))]  # of a folder, such as a checkpoint that was begun
        if max(item.st_mtime for item in held) < limit:
            size = sum(item.st_size for item in held)
            yield _waste(path, size, "left by a process that was killed")
    yield from _left_in_caches(store, limit)
    for one in stores_of(store):
        for kind in one.store.kinds:
            yield from _wasted_parts(one.store.table(kind), limit)
        yield from _wasted_files(one, limit)
    yield from _stale_caches(store.run, limit)
    for path in (store.run / place.name for place in run_folder.collected(Collect.ANEW)):
        held = [item.stat() for item in path.rglob("*") if item.is_file()]
        size = sum(item.st_size for item in held)
        if size and max(item.st_mtime for item in held) < limit:
            yield replace(_waste(path, size, "decoded for stages, which do so again where they need it"), mapped=True)


def _left_in_caches(store: Store, limit: float) -> Iterator[Waste]:
    """Downloads that nobody goes on with, where they do not lie in the run."""
    for path in store.storage.scratches() if store.storage.remote else ():
        held = [item.stat() for item in (path, *path.rglob("*"))]
        if max(item.st_mtime for item in held) < limit:
            yield _waste(path, sum(item.st_size for item in held), "left by a process that was killed")


def _wasted_parts(table: Table, limit: float) -> Iterator[Waste]:
    """Parts replaced by a compaction, and row parts whose commit wins for no unit."""
    generation = table.generation()
    commits = set(pc.unique(table.winners()["commit"]).to_pylist())
    for side in SIDES:
        for path in sorted((table.folder / side).glob("*.parquet")):
            if path.name.startswith("merged-") and path.name not in generation.of(side):
                yield _waste(path, path.stat().st_size, "of a compaction that is not in use")
            elif path.name in generation.replaced:
                yield _waste(path, path.stat().st_size, "joined into a newer file")
            elif _orphaned(path, side, commits) and path.stat().st_mtime < limit:
                yield _waste(path, path.stat().st_size, "its rows count for no unit")


def _orphaned(path: Path, side: str, commits: set[str]) -> bool:
    return side == "rows" and path.name.startswith("part-") and path.stem.removeprefix("part-") not in commits


def _wasted_files(one: NamedStore, limit: float) -> Iterator[Waste]:
    """Files in the stages' folders that no live row names, by one listing of each folder."""
    storage = one.store.storage
    paths = [path for kind in one.store.kinds for path in _paths(one.store, kind)]
    named = {_key(one.store.run, path) for path in paths}
    in_place = {Path(path).resolve() for path in paths if path.startswith("/")}  # a link in the run may lead to them
    for folder in run_folder.unnamed_in(one.name):
        entries = {entry.key: entry for entry in storage.list(folder)}
        for key, entry in entries.items():
            if entry.modified >= limit or _kept(key, entries) or _partner(key) in named:
                continue
            if not in_place or storage.remote or storage.local(key).resolve() not in in_place:
                path = Path(f"{one.store.run}/{key}")
                stored = storage.named(key) if storage.remote else ""
                yield Waste(path, entry.bytes, "no row names it", partial(storage.delete, key), stored=stored)


def _key(run: Path, path: str) -> str:
    """The key of what a row names; of a file of the run itself too that it names by an absolute path."""
    if path.startswith("/") and Path(path).resolve().is_relative_to(run.resolve()):
        return Path(path).resolve().relative_to(run.resolve()).as_posix()
    return path


def _stale_caches(run: Path, limit: float) -> Iterator[Waste]:
    """Training caches of shards that are there no more."""
    places = [place for place in run_folder.collected(Collect.STALE) if (run / place.name).is_dir()]
    for place in places:
        for path, why in stale(run, place, _shards_of):
            held = [item.stat() for item in path.rglob("*")]
            if max((item.st_mtime for item in held), default=0.0) < limit:
                yield replace(_waste(path, sum(item.st_size for item in held), why), mapped=True)


def _shards_of(folder: Path, split: str) -> dict[str, str] | None:
    """{file: sha256} of a split; None where no index says so."""
    try:
        return {entry["path"]: entry["sha256"] for entry in read_index(folder)["files"] if entry["split"] == split}
    except (ShardError, OSError, KeyError):
        return None


def _partner(key: str) -> str:
    """Of files that go together, the one that a row names: of a loop's strip, a note, or a tombstone in place of a source."""
    path = PurePosixPath(key)
    path = people.subject_of(path) if path.name.endswith(people.SUFFIX) else path
    return str(path.with_name(path.name.removesuffix(files.DISCARDED).replace(".loop.webp", ".webp")))


def _kept(key: str, there: Container[str]) -> bool:
    """Whether a file is no result that a row could name: an index, who owns a video, a removal that is not at its end."""
    path = PurePosixPath(key)
    removing = path.name.startswith(removal.TEMPORARY) and str(path.with_name(removal.JOURNAL)) in there
    listed = path.name.startswith(files.TEMPORARY)  # as a leftover
    return removing or listed or path.name in (INDEX, HUB, removal.JOURNAL) or path.suffix == ".owner"


def _paths(store: Store, kind: str) -> list[str]:
    """Every path that winning rows of a kind name, those of dropped verdicts too: a verdict that turns back needs its clip.

    Files of videos that opted out are not among them.
    """
    columns = [f.name for f in KINDS[kind].columns if is_path(f)]
    return [path for name in columns for path in store.rows(kind, [name])[name].to_pylist() if path]


def sweep(store: Store) -> int:
    """Delete the parts of tables that a compaction replaced, at once. Returns: how many. Raises Occupied while anything writes."""
    with ExitStack() as locks:
        for kind in KINDS:
            locks.enter_context(driving(store.run, kind))
        locks.enter_context(no_program(store.run))
        items = [item for kind in store.kinds for item in _wasted_parts(store.table(kind), 0)]
        for item in items:
            item.remove()
        files.sync_all({item.path.parent for item in items})
        return len(items)


def _unmapped(items: list[Waste], busy: Occupied) -> list[Waste]:
    """What may go while a program is at work; what has to wait is told."""
    if waiting := sum(item.mapped for item in items):
        log.warning("%d caches stay for now: %s", waiting, busy)
    return [item for item in items if not item.mapped]


def collect(store: Store) -> tuple[int, int]:
    """Remove what `waste` names. Safe to kill: a removed file counted for nobody. Returns: (files, bytes) removed.

    Raises `pipeline.tables.lock.Occupied` while anything writes to the run: a stage may still read what was replaced.
    """
    count = size = 0
    if not store.run.is_dir():
        return count, size
    with ExitStack() as locks:
        for one in stores_of(store):
            for kind in one.store.kinds if one.name else KINDS:
                locks.enter_context(driving(one.store.run, kind))
        items = list(waste(store))
        try:
            locks.enter_context(no_program(store.run))
        except Occupied as busy:
            items = _unmapped(items, busy)
        for item in items:
            item.remove()
            count, size = count + 1, size + item.bytes
    return count, size
