"""What is wrong with the results outside the tables: names and sizes, and with `deep` every byte of which a hash is known."""

import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.damage import Damage, run_option
from pipeline.base.hashes import checked
from pipeline.base.progress import Progress
from pipeline.engine.inputs import damage_of
from pipeline.engine.stamps import FOLDER as STAMPS
from pipeline.engine.stamps import left_by
from pipeline.shards.format import ShardError
from pipeline.shards.index import INDEX, read_index
from pipeline.tables import run_folder
from pipeline.tables.calls import repeated
from pipeline.tables.losses import EVALUATION
from pipeline.tables.results import BrokenPromise, Promise, altered, broken, promised
from pipeline.tables.store import Store
from pipeline.tables.stores import NamedStore, stores_of

SHARDS = "shards"
_FETCHED = "what the web no longer holds; `csg405 opt-out ID` then leaves the video out"
_LOST = {"videos": _FETCHED}  # by kind: what may not come back


def damages(store: Store, deep: bool) -> list[Damage]:
    """The files outside the tables that are missing or not what was written, by path.

    Args:
        store: the run's main one; evaluations are found below it.
        deep: also read every file whose sha256 is known, and compare; this shows progress.

    Raises OSError where the disk cannot be read: that is no damage.
    """
    looking = Store(store.run, store.opt_out, damages={})  # what is wrong with tables is told elsewhere
    found = [damage for one in stores_of(looking) for damage in _of_store(one, deep)]
    found += _of_checkpoints(store.run, deep)
    found += _of_caches(store.run)
    found += _of_summaries(store.run)
    return sorted(_lost_folders(found, store.run), key=lambda damage: damage.path)


def _of_store(one: NamedStore, deep: bool) -> Iterator[Damage]:
    """What the rows and stamps of a store promise."""
    for kind in one.store.kinds:
        promises = promised(one.store, kind, live=True, hashes=True)
        for item, seen in _checked(one.store, promises, f"check {kind}", deep):
            if kind != SHARDS or not _written_anew(one.store, item.promise):
                yield _told(one, item, seen, _LOST.get(kind, "") if item.promise.ours else "")
    for stamp in sorted((one.store.run / STAMPS).glob("*.json")):
        for item, seen in _checked(one.store, left_by(one.store, stamp.stem), f"check {stamp.stem}", deep):
            yield _told(one, item, seen)
    yield from _of_index(one)


def _told(one: NamedStore, item: BrokenPromise, seen: bool, lost: str = "") -> Damage:
    """A broken result, by its path in the run. What planning does not see, by name and size, has to be moved away first."""
    home = one.store.run.parents[len(Path(one.name).parts) - 1] if one.name else one.store.run
    damage = replace(damage_of(item, one.store, home), lost=lost)
    if not seen and item.promise.ours:
        first = f"csg405 check --deep --set-aside {run_option(home)}"
        damage = replace(damage, set_aside=True, remedy=" && ".join(filter(None, (first, damage.remedy))))
    return damage


def _checked(store: Store, promises: list[Promise], name: str, deep: bool) -> Iterator[tuple[BrokenPromise, bool]]:
    """The broken ones among promises, and of each whether name and size tell."""
    found = broken(store.storage, promises)
    yield from ((item, True) for item in found)
    bad = {item.promise.path for item in found}
    whole = [one for one in promises if one.path not in bad and one.sha256] if deep else []
    if not whole:
        return
    with Progress(name, len(whole)) as progress:
        for item in altered(store.storage, whole):
            progress.advance("ok" if item is None else "changed")
            if item:
                yield item, False


def _written_anew(store: Store, promise: Promise) -> bool:
    """Whether a shard is what the index says, though not what its row says: an opt-out took people out of it."""
    try:
        entries = {entry["path"]: entry for entry in _index(store)["files"]}
        known = entries[Path(promise.path).name]
        listed = [Promise(promise.unit, promise.path, int(known["bytes"]), str(known["sha256"]))]
    except (ShardError, ValueError, KeyError, TypeError):
        return False
    return not broken(store.storage, listed) and not any(altered(store.storage, listed))


def _index(store: Store) -> dict[str, Any]:
    """The index of a store's shards, without the shards. Raises ShardError, ValueError."""
    return read_index(store.storage.local(f"{SHARDS}/{INDEX}").parent)


def _of_index(one: NamedStore) -> Iterator[Damage]:
    """An index of shards that does not read, where no stamp has said so already."""
    if SHARDS not in one.store.kinds or left_by(one.store, SHARDS):
        return
    try:
        _index(one.store)
    except (ShardError, ValueError) as error:
        there = one.store.storage.exists(f"{SHARDS}/{INDEX}")
        problem = f"does not read: {error}" if there else "is missing"
        yield _told(one, BrokenPromise(Promise(SHARDS, f"{SHARDS}/{INDEX}"), problem), not there)


def _of_checkpoints(run: Path, deep: bool) -> Iterator[Damage]:
    """Checkpoints whose files are not those that their `state.json` names."""
    for folder in sorted(path for path in run.glob("training/*/checkpoints/[!.]*") if path.is_dir()):
        known = files.read_object(folder / "state.json").get("files")
        name = folder.relative_to(run).as_posix()
        lost = "its weights, unless the training goes on from the checkpoint before it"
        remedy = f"rm -r {shlex.quote(str(folder))} && python -m stages.train {run_option(run)}"
        if not isinstance(known, dict):
            yield Damage(f"{name}/state.json", "is missing or does not read", "a training's state", remedy, lost)
            continue
        promises = [Promise(name, f"{name}/{Path(file).name}", None, str(sha256)) for file, sha256 in known.items()]
        for item, _ in _checked(Store(run), promises, f"check {name}", deep):
            yield Damage(item.promise.path, item.problem, "weights", remedy, lost)


def _of_caches(run: Path) -> Iterator[Damage]:
    """Caches of training that are not as large as their index says."""
    others = {run / place.name for place in run_folder.collected(run_folder.Collect.ANEW)}
    for folder in sorted(path for path in run.glob("cache/[!.]*") if path.is_dir() and path not in others):
        index, name = files.read_object(folder / "index.json"), folder.relative_to(run).as_posix()
        remedy = f"rm -r {shlex.quote(str(folder))} && python -m stages.train {run_option(run)}"
        size = sum(path.stat().st_size for path in folder.glob("*.raw"))
        if not index:
            yield Damage(f"{name}/index.json", "is missing or does not read", remedy=remedy)
        elif isinstance(index.get("bytes"), int) and index["bytes"] != size:
            yield Damage(name, f"has {size} of {index['bytes']} bytes", remedy=remedy)


def _of_summaries(run: Path) -> Iterator[Damage]:
    """Summaries of evaluated methods that are not what was written: table 2 would lack them."""
    for path in sorted(run.glob(f"{EVALUATION}/*/*/summary.json")):
        try:
            checked(path.read_text(encoding="utf-8"), path.parent.name)
        except ValueError as error:
            again = repeated(run_folder.EVALUATE, path.parent, run)
            name = path.relative_to(run).as_posix()
            yield Damage(name, f"is not what was written ({error})", "a method's row of table 2", again)


def _lost_folders(found: Sequence[Damage], run: Path) -> list[Damage]:
    """The damages, with one for each of the user's own folders that is gone in place of one for each of its files."""
    rest: list[Damage] = []
    lost: dict[Path, list[Damage]] = {}
    gone: dict[Path, Path | None] = {}
    for damage in found:
        path = Path(damage.path)
        if path.is_absolute() and path.parent not in gone:
            gone[path.parent] = _lost_folder(path.parent)
        folder = gone.get(path.parent)
        (rest if folder is None else lost.setdefault(folder, [])).append(damage)
    for folder, damages in lost.items():
        problem = "is empty: is its disk there?" if folder.is_dir() else "is not there"
        remedy = (
            f"bring it back, or say where it is now: `csg405 run crawl --input FOLDER {run_option(run)}`; "
            "what was made of its videos stays"
        )
        units = tuple(unit for damage in damages for unit in damage.units)
        rest.append(Damage(str(folder), problem, f"{len(damages):,} videos", remedy, units=units))
    return rest


def _lost_folder(folder: Path) -> Path | None:
    """The highest folder on the way to this one that is not there, or this one where nothing lies in it; else None."""
    missing = [place for place in (folder, *folder.parents) if not _is_there(place)]
    if missing:
        return missing[-1]
    return None if any(folder.iterdir()) else folder


def _is_there(folder: Path) -> bool:
    """Whether there is a folder of this name. Raises OSError where the disk cannot say: that is no loss."""
    try:
        return stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
