"""Removing what opted out from finished shards: one command that a kill at any moment leaves whole.

Files that hold such rows are written anew beside the old ones. A journal then says what is to be renamed, deleted and written
into the index: from there on the removal counts, and the next removal, or the stage `shards`, brings it to its end. Readers
refuse the folder until then: a published copy comes from others, and reading deletes nothing on their word. Before the journal
nothing has changed. Each Parquet file is complete at any moment, the old one or the new one.
"""

import errno
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.base import files
from pipeline.base.damage import Damage, run_option
from pipeline.base.hashes import sha256_of
from pipeline.base.units import FPS
from pipeline.shards.checked import Reader
from pipeline.shards.format import ROWS_A_GROUP, ShardError, check_version, shard_schema
from pipeline.shards.grouping import groups_of
from pipeline.shards.index import INDEX, build_index, check_same, parsed, read_index, write_index
from pipeline.shards.opened import opened
from pipeline.shards.write import shard_writer
from pipeline.storage import Edited, Storage, storage_of
from pipeline.tables import opt_out, opt_out_seen
from pipeline.tables.kinds import KINDS
from pipeline.tables.lock import driving, no_program
from pipeline.tables.opt_out import OptOut
from pipeline.tables.person_files import forget, noted_of
from pipeline.tables.seal import DamagedFile, DiskError, told
from pipeline.tables.store import SPEAK_OF_CHANNELS, Store

JOURNAL = ".removing.json"
TEMPORARY = ".removing-"
CHANNEL_COLUMNS = ("channel", "channel_id", "channel_handle")  # files of version 1.0 have the first alone

_MOST_BYTES = 32 << 20  # an index, and the names of half a million clips
_BAD_JOURNAL = "delete it, and run the stage `shards` again, or get the folder again from where it came"
_SHARDS = "shards"
_SHARD = re.compile(r"(train|validation|test)-\d{5}-of-\d{5}\.parquet", re.ASCII)
_TEMPORARY = re.compile(r"\.removing-[0-9a-f]{12}\.parquet", re.ASCII)


@dataclass(frozen=True)
class Removed:
    """What a removal took away.

    Attributes:
        clips: rows of shards.
        rewritten, emptied: shards that lost some of their rows, or all and with them the file.
        files: whatever else was made of them: clips, previews, downloads, pictures, caches.
        bytes: of those files.
        told: what cannot be undone or was not looked into, and what has to be made again; a line each.
        undone: what could not be cleaned, because something stored is damaged, and how to go on; a line each.
    """

    clips: int = 0
    rewritten: int = 0
    emptied: int = 0
    files: int = 0
    bytes: int = 0
    told: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()

    def __str__(self) -> str:
        shards = f"{self.clips} clips out of {self.rewritten + self.emptied} shards ({self.emptied} emptied)"
        return f"{shards}; {self.files} files of {self.bytes / 1e6:.1f} MB deleted"


def remove(folder: Path, who: OptOut, edited: Edited | None = None, storage: Storage | None = None) -> Removed:
    """Take the clips of videos and channels out of a folder of shards, with the mp4 files that lie beside it.

    The folder may be a run's or a published copy. A removal that was cut short is brought to its end first, so that the same
    command again ends in the same state.

    Args:
        folder: where `_index.json` lies; the `video` paths of its rows are relative to the folder above.
        who: whose clips go.
        edited: where the folder is a copy of one in a storage: what makes the journal lasting.
        storage: of the clips; that of the folder above by default.

    Raises:
        ShardError: the folder holds no shards that this version reads, or a file that the index lists is missing.
    """
    folder = Path(folder)
    storage = storage or storage_of(folder.parent)
    complete(folder, storage)
    for leftover in folder.glob(f"{TEMPORARY}*.parquet"):
        leftover.unlink()  # of a kill before the journal
    index = read_index(folder)
    listed = {entry["path"]: entry for entry in index["files"]}
    steps: list[dict[str, Any]] = []
    companions: list[str] = []
    clips = 0
    for path in _shards(folder, set(listed)):
        entry = listed.get(path.name)
        gone, videos = _opted_out(path, entry and entry["rows"], who)
        if not gone.any():
            continue
        clips += int(gone.sum())
        companions += videos
        step = {"path": path.name, "temporary": None, "bytes": 0}
        listed.pop(path.name, None)
        if not gone.all():
            temporary = folder / f"{TEMPORARY}{uuid.uuid4().hex[:12]}.parquet"
            frames = _rewrite(path, temporary, ~gone, entry and entry["sha256"])
            step |= {"temporary": temporary.name, "bytes": temporary.stat().st_size}
            renewed = {"bytes": step["bytes"], "sha256": sha256_of(temporary), "rows": int((~gone).sum())}
            if entry is not None:
                listed[path.name] = {**entry, **renewed, "seconds": frames / FPS}
        steps.append(step)
    if not steps:
        return Removed()
    size = _bytes_of(storage, companions)
    head = {
        name: value for name, value in index.items() if name not in ("clips", "hours", "splits", "columns", "files")
    }
    renewed_index = build_index(list(listed.values()), index.get("columns", []), **head)
    _commit(folder, {"files": steps, "companions": companions, "index": renewed_index})
    if edited is not None:
        edited.keep()
    complete(folder, storage)
    emptied = sum(step["temporary"] is None for step in steps)
    return Removed(clips, len(steps) - emptied, emptied, *size)


def _commit(folder: Path, journal: dict[str, Any]) -> None:
    """From here on the removal counts."""
    files.sync(folder)
    files.write_text(folder / JOURNAL, json.dumps(journal))


def complete_stored(storage: Storage, name: str) -> bool:
    """As `complete`, for a folder of a storage; it costs one look where there is nothing to complete."""
    if not storage.exists(f"{name}/{JOURNAL}"):
        return False
    with storage.editing(name) as edited:
        return complete(edited.path, storage)


def complete(folder: Path, storage: Storage | None = None) -> bool:
    """Bring a removal that was cut short to its end; whether there was one.

    Raises:
        ShardError: the folder may not be written, or the journal does not fit it.
    """
    folder = Path(folder)
    if not (folder / JOURNAL).exists():
        return False
    journal = parsed(folder / JOURNAL, _MOST_BYTES, _BAD_JOURNAL)
    try:
        _replay(folder, _checked(folder, journal), storage or storage_of(folder.parent))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        text = f"a removal was cut short in {folder}, and it may not be written: run this once as somebody who may"
        raise ShardError(text) from error
    return True


def check_finished(folder: Path) -> None:
    """Raises ShardError where a removal was cut short: the folder may hold clips of people who opted out."""
    if (folder / JOURNAL).exists():
        raise ShardError(
            f"in {folder} a removal of clips was cut short: `csg405 opt-out {run_option(folder.parent)}` brings it to its end; "
            "a copy of shards has to be got again from where it came"
        )


def _checked(folder: Path, journal: dict[str, Any]) -> dict[str, Any]:
    """The journal, if all it names are files of this folder and clips beside it: a published copy comes from others."""
    try:
        fits = all(
            _SHARD.fullmatch(step["path"])
            and (step["temporary"] is None or _TEMPORARY.fullmatch(step["temporary"]))
            and isinstance(step["bytes"], int)
            for step in journal["files"]
        )
        fits = fits and all(map(_is_clip, journal["companions"]))
        check_version(str(journal["index"]["version"]), folder / JOURNAL)
    except (KeyError, TypeError):
        fits = False
    if not fits:
        raise ShardError(f"{folder / JOURNAL} is not the journal of a removal: {_BAD_JOURNAL}")
    return journal


def _replay(folder: Path, journal: dict[str, Any], storage: Storage) -> None:
    for step in journal["files"]:
        target = folder / step["path"]
        if step["temporary"] is None:
            target.unlink(missing_ok=True)
            continue
        temporary = folder / step["temporary"]
        if temporary.exists():
            temporary.replace(target)
        elif not target.is_file() or target.stat().st_size != step["bytes"]:
            raise ShardError(f"{target} got lost in a removal that was cut short: write the shards again")
    files.sync(folder)
    for key in journal["companions"]:
        storage.delete(key)
    storage.keep_deleted(journal["companions"])
    write_index(folder, journal["index"])
    (folder / JOURNAL).unlink()
    files.sync(folder)


def _shards(folder: Path, listed: set[str]) -> list[Path]:
    """Every shard of the folder: a stage that was cut short may have left some that the index does not list yet."""
    names = {path.name for path in folder.iterdir() if _SHARD.fullmatch(path.name)}
    if missing := sorted(listed - names):
        raise ShardError(f"{folder / missing[0]} is listed and not there: write the shards again")
    return [folder / name for name in sorted(names)]


def _opted_out(path: Path, rows: int | None, who: OptOut) -> tuple[NDArray[np.bool_], list[str]]:
    """(rows,) which rows go, and the clips that they name and that lie beside the shards."""
    gone: list[bool] = []
    videos: list[str] = []
    for table in Reader(path, rows).tables(("video_id", "video", *CHANNEL_COLUMNS)):
        known = table.to_pydict()
        channels = [known[name] for name in CHANNEL_COLUMNS if name in known]
        goes = [who.names(*row) for row in zip(known["video_id"], *channels, strict=True)]
        videos += [name for name, out in zip(known["video"], goes, strict=True) if out and _is_clip(name)]
        gone += goes
    return np.array(gone, dtype=bool), videos


def _is_clip(name: Any) -> bool:
    """Whether a row names one of `clips/` beside the shards: a published copy comes from others, and says what it likes."""
    pure = PurePosixPath(name) if isinstance(name, str) and "\0" not in name else PurePosixPath()
    return not pure.is_absolute() and ".." not in pure.parts and pure.parts[:1] == ("clips",) and pure.suffix == ".mp4"


def _rewrite(path: Path, temporary: Path, keep: NDArray[np.bool_], sha256: str | None) -> int:
    """Write a shard without some of its rows, in groups as the stage would make them of what is left. Returns: frames in it.

    Raises:
        ShardError: the shard is damaged, or another than that of the hash; a rewritten one would hide it.
    """
    try:
        with told(path):
            layout = _as_written(pq.read_schema(path))
    except DamagedFile as error:
        raise ShardError(f"{path} {error}: write the shards again") from None
    held, first, total = layout.empty_table(), 0, 0
    reader = Reader(path, len(keep))
    sizes = _group_sizes(path, keep)
    with shard_writer(temporary, layout) as out:
        for rows in reader.tables():
            held = pa.concat_tables([held, rows.filter(pa.array(keep[first : first + len(rows)])).cast(layout)])
            first += len(rows)
            while sizes and len(held) >= sizes[0]:
                piece, held = held.slice(0, sizes[0]), held.slice(sizes.pop(0))
                total += sum(piece["frames"].to_pylist())
                out.write_table(piece.combine_chunks(), row_group_size=len(piece))
    if sha256 is not None:
        check_same(path, reader.sha256, sha256)
    with opened(temporary):  # raises where no reader would take it: smaller groups have a larger footer
        pass
    files.sync(temporary)
    return total


def _group_sizes(path: Path, keep: NDArray[np.bool_]) -> list[int]:
    """Rows of each group of what is kept; where rows stand in another order, as in older files, all but the last are full."""
    tables = list(Reader(path, len(keep)).tables(("clip_id", "person", "video_id")))
    ids = pa.concat_tables(tables).filter(pa.array(keep))
    people = [
        f"{clip}#{person}" for clip, person in zip(*(ids[n].to_pylist() for n in ("clip_id", "person")), strict=True)
    ]
    groups = groups_of(ids["video_id"], pa.chunked_array([people], pa.string()))
    if np.array_equal(np.concatenate(groups), np.arange(len(ids))):
        return [len(group) for group in groups]
    return [min(ROWS_A_GROUP, len(ids) - first) for first in range(0, len(ids), ROWS_A_GROUP)]


def _as_written(found: pa.Schema) -> pa.Schema:
    """The schema that a file was written with: Parquet gives the items of lists another name, and with it other bytes."""
    ours = {field.name: field for field in shard_schema()}
    same = [ours[f.name] if f.name in ours and ours[f.name].type.equals(f.type) else f for f in found]
    return pa.schema(same, metadata=found.metadata)


def _bytes_of(storage: Storage, clips: Sequence[str]) -> tuple[int, int]:
    """(files, bytes) of those that are there."""
    wanted = set(clips)
    sizes = [entry.bytes for entry in storage.list("clips") if entry.key in wanted]
    return len(sizes), sum(sizes)


def remove_from_run(
    run: Path,
    entries: Sequence[str] = (),
    listed: str = "",
    works: frozenset[str] = frozenset(),
    names: frozenset[str] = frozenset(),
) -> Removed:
    """Put entries on the run's list, and take what they name out of shards and of every folder that may hold data of people.

    The list is written first and holds whatever happens; the same command again, with or without entries, goes on where a kill
    stopped it. Rows in tables stop counting at once, and `compact` and `gc` erase them. What cannot be undone is told. Damage
    keeps nobody in the run: what can be cleaned is, and what cannot be is told with the way to go on.

    Args:
        run: the run's folder.
        entries: video ids, links, channels; those on the list already are not added again.
        listed: the profile's own list, whose people go as well; "" when it has none.
        works: ids of videos that go too and get on no list: the ledger of takedowns knows them.
        names: links and names of files of these, by which pages and lines of logs are found too.

    Raises:
        OptOutError: an entry names nobody; nothing was done.
        Occupied: a stage or a program is at work; the list holds already.
        DiskError: the disk does not give the bytes of a table; the list holds already.
    """
    _add(run / opt_out.RUN_LIST, entries)
    who = opt_out.of_run(run, listed)
    lost = opt_out_seen.forgotten(run, who)
    opt_out_seen.remember(run, who)
    with ExitStack() as locks:
        locks.enter_context(no_program(run))
        for kind in KINDS:
            locks.enter_context(driving(run, kind))
        store = Store(run, replace(who, videos=who.videos | works), damages={})
        videos = who.videos | works | set(store.opted_out.to_pylist()) | noted_of(run, who)
        removed = _from_shards(run, store.storage, replace(who, videos=videos))
        gone = forget(store, videos, names)
    return replace(
        removed,
        files=removed.files + gone.files,
        bytes=removed.bytes + gone.bytes,
        told=tuple(gone.told),
        undone=(*([f"{lost}; {lost.remedy}"] if lost else ()), *removed.undone, *_unsaid(run, who, gone.damages)),
    )


def _from_shards(run: Path, storage: Storage, who: OptOut) -> Removed:
    """Remove from shards, if there are any; where they do not read, that is left to do."""
    names = [PurePosixPath(entry.key).name for entry in storage.list(_SHARDS)]
    if not any(name in (INDEX, JOURNAL) or _SHARD.fullmatch(name) for name in names):
        return Removed()
    try:
        with storage.editing(_SHARDS) as edited:
            return remove(edited.path, who, edited, storage)
    except (ShardError, DiskError, OSError) as error:
        text = f"the shards were not cleaned: {error}; then `{_again(run)}` takes them out"
        return Removed(undone=(text,))


def _unsaid(run: Path, who: OptOut, damages: Mapping[str, Damage]) -> Iterator[str]:
    """What cannot be known because parts of tables are missing or damaged: a line each."""
    for damage in (damages[path] for path in sorted(damages)):
        about = "what only its rows tell of them could not be found (files were found by their names)"
        if who.channels and PurePosixPath(damage.path).parts[:2] in [("tables", kind) for kind in SPEAK_OF_CHANNELS]:
            about = "which videos the channels on the list have is not all known without it"
        yield f"{damage}: {about}; `{damage.remedy}` mends it; when its rows are made anew, `{_again(run)}` does the rest"


def _again(run: Path) -> str:
    return f"csg405 opt-out {run_option(run)}"


def _add(path: Path, entries: Sequence[str]) -> None:
    """Append what the list does not hold yet, atomically."""
    known = {
        parsed for _, entry in (opt_out.entries(path) if path.is_file() else ()) for parsed in [opt_out.parse(entry)]
    }
    fresh = []
    for entry in (" ".join(text.split()) for text in entries):
        parsed = opt_out.parse(entry)
        if re.search(r"(^|\s)#", entry):
            raise opt_out.OptOutError(f"{entry[:100]!r}: what follows # is a comment; give the channel's id instead")
        if parsed and parsed not in known:
            known.add(parsed)
            fresh.append(entry)
    if fresh:
        text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
        gap = "\n" if text and not text.endswith("\n") else ""
        files.write_text(path, text + gap + "".join(f"{entry}\n" for entry in fresh))
