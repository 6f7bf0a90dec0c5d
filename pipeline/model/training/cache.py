"""Memory-mapped cache of what training reads from the shards, built once, in one streaming pass.

Parquet gives 0.1 to 0.3 GB/s a core; training at full speed asks for more (`pipeline/model/README.md`). Coordinates are stored as
float16 deviations from their mean over the clip, so that a step is at most 1/16 px where a wrist is 100 px away, and far less in a
mouth. A frame takes 2,209 bytes: 364 h of training data 72 GB.
"""

import hashlib
import json
import logging
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np
from numpy.typing import NDArray

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.base.units import FPS
from pipeline.model.training.integrity import (
    CacheError,
    checksum_of,
    compare_shards,
    damaged,
    is_checked,
    read_index,
    states_of,
    write_index,
)
from pipeline.model.training.statistics import Statistics, Sums
from pipeline.shards.format import AUDIO_FEATURES
from pipeline.shards.read import Shards, open_shards
from pipeline.skeleton import layout
from pipeline.skeleton.local import rooted
from pipeline.tables import people

log = logging.getLogger(__name__)

VERSION = 2
SHOWN = 20  # speakers in a message
INDEX = "index.json"
CLIPS = "clips.npz"
ARRAYS: dict[str, tuple[type, tuple[int, ...]]] = {  # by frame: type and shape
    "skeleton": (np.float16, (layout.K, 2)),
    "valid": (np.bool_, (layout.K,)),
    "neck": (np.float32, (2,)),
    "audio": (np.float16, (AUDIO_FEATURES,)),
}
FRAME_BYTES = sum(np.dtype(kind).itemsize * int(np.prod(shape)) for kind, shape in ARRAYS.values())
_COLUMNS = ("clip_id", "person", "frames", "local", "scores", "neck", "audio_features", "audio_features_of")
_CHECKED_ONLY = ("audio",)  # the reader compares its length with the features', which were made of it
_WRITING = re.compile(rf"{re.escape(files.TEMPORARY)}(?P<cache>[a-z]+-[0-9a-f]{{16}})-[0-9a-f]{{12}}", re.ASCII)


class UnknownSpeaker(CacheError):
    """Raised for a speaker of whom a split has no row."""


class Cache:
    """A memory-mapped split.

    Attributes:
        folder: path of the cache.
        index: counts, provenance, statistics.
        first, frames: (clips,) int64, first frame and number of frames of each clip.
        offset: (clips, 133, 2) float32 px, added to `skeleton` to get local coordinates.
        skeleton (N, 133, 2) float16, valid (N, 133) bool, neck (N, 2) float32 px, audio (N, 768) float16: N frames in all. Points
        masked for a low score keep their coordinates, because other points may be measured from them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, Any] = read_index(folder / INDEX)
        if not (folder / CLIPS).is_file() or sha256_of(folder / CLIPS) != self.index["clips_sha256"]:
            raise damaged(folder / CLIPS, "is not the file that was written")
        with np.load(folder / CLIPS, allow_pickle=False) as clips:
            self.first, self.frames, self.offset = clips["first"], clips["frames"], clips["offset"]
            self.ids: NDArray[np.str_] = clips["ids"]
            self._checksums: NDArray[np.uint32] = clips["checksums"]
        self._unchecked = np.ones(len(self.frames), np.bool_)
        total = int(self.frames.sum())
        for name, (kind, shape) in ARRAYS.items():
            path, size = folder / f"{name}.raw", total * np.dtype(kind).itemsize * int(np.prod(shape))
            if (found := path.stat().st_size if path.is_file() else 0) != size:
                raise damaged(path, f"has {found} bytes, not {size}")
        # Spelt out for the type checker; the pages are read in any order.
        self.skeleton = self._map("skeleton", total)
        self.valid = self._map("valid", total)
        self.neck = self._map("neck", total)
        self.audio = self._map("audio", total)

    def _map(self, name: str, total: int) -> NDArray[Any]:
        kind, shape = ARRAYS[name]
        return np.memmap(self.folder / f"{name}.raw", dtype=kind, mode="r", shape=(total, *shape))

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def statistics(self) -> Statistics:
        return Statistics.from_json(self.index["statistics"])

    @property
    def audio_of(self) -> str:
        """What made the audio features, such as `logmel768`."""
        return str(self.index["audio_features_of"])

    @property
    def videos(self) -> list[str]:
        """The video of each clip."""
        return [people.video_of(str(name)) for name in self.ids]

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return int(self.frames.sum()) * FRAME_BYTES

    def check(self, clip: int) -> None:
        """Compare a clip's frames with their checksum, the first time that this process asks. Raises CacheError."""
        if self._unchecked[clip]:
            span = slice(self.first[clip], self.first[clip] + self.frames[clip])
            if checksum_of(getattr(self, name)[span] for name in ARRAYS) != self._checksums[clip]:
                raise damaged(self.folder / INDEX, f"lists other frames of {self.ids[clip]} than lie beside it")
            self._unchecked[clip] = False

    def local(self, clip: int) -> NDArray[np.float32]:
        """Local coordinates of a whole clip, (F, 133, 2) px, NaN where masked."""
        self.check(clip)
        span = slice(self.first[clip], self.first[clip] + self.frames[clip])
        values: NDArray[np.float32] = self.skeleton[span].astype(np.float32) + self.offset[clip]
        values[~self.valid[span]] = np.nan
        return values


def open_cache(
    shards: Path,
    split: str,
    folder: Path,
    min_score: float = 0.7,
    speakers: Sequence[str] = (),
    *,
    say: Callable[[str], None] = log.info,
) -> Cache:
    """Open the cache of a split, building it if needed; of several processes, one builds and the others wait.

    Args:
        shards: folder of the shards.
        split: train, validation or test.
        folder: folder of the caches, each named by the hashes of its shards.
        min_score: points scored lower, and points measured from a missing root, are masked.
        speakers: only clips of these, by the column `speaker`, have a place in the cache; none: all clips.
        say: receives a line when another process is waited for, and how many rows the speakers have.

    Raises:
        CacheError: clips with different kinds of audio features, or none with any; not enough disk space; a DamagedCache is not
            what was written, or of shards whose bytes are others by now.
        ShardError: the shards cannot be read.
    """
    opened = open_shards(shards, split)
    made_from = {
        "version": VERSION,
        "split": split,
        "min_score": min_score,
        "shards": {e["path"]: e["sha256"] for e in opened.index["files"] if e["split"] == split},
        **({"speakers": sorted({*speakers})} if speakers else {}),
    }
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
    target = Path(folder) / f"{split}-{key}"
    _sweep(target.parent)
    if not _is_there(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _building(target, say):
            if not _is_there(target):  # or another process has made it meanwhile
                if (target / INDEX).is_file():
                    say(
                        f"writing {target} again: when it was made, the bytes of its shards were not compared with their hashes"
                    )
                _check_room(opened, target.parent)
                with people.noting(target.parent, [target], _videos(opened)), _replacing(target) as temporary:
                    _build(opened, temporary, made_from, min_score, frozenset(speakers))
    cache = Cache(target)
    if speakers:
        say(f"{split}: {len(cache)} of {cache.index['rows']} rows are of {', '.join(sorted({*speakers}))}")
    compare_shards(target / INDEX, cache.index, opened.paths)
    return cache


def _is_there(target: Path) -> bool:
    """Whether the cache is there; one whose shards were not compared with their hashes is written again."""
    index = target / INDEX
    return index.is_file() and is_checked(index)


def _videos(opened: Shards) -> list[str]:
    return [row["video_id"] for row in opened.rows(("video_id",))]


def _lock_of(target: Path) -> filelock.BaseFileLock:
    """The lock that the builder of a cache holds; the system releases it however the process ends."""
    return filelock.FileLock(target.with_name(f".{target.name}.lock"))


@contextmanager
def _building(target: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the right to build this cache, waiting for another builder if there is one."""
    lock = _lock_of(target)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        say(f"another process is building {target}: waiting for it")
        lock.acquire()
    try:
        for path, cache in _unfinished(target.parent):
            if cache == target:  # left by a builder that was killed while this one waited
                shutil.rmtree(path, ignore_errors=True)
        yield
    finally:
        lock.release()


def _unfinished(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Folders that builders are writing, or that a kill left behind, each with its target."""
    for path in list(folder.glob(f"{files.TEMPORARY}*")):
        if (match := _WRITING.fullmatch(path.name)) and path.is_dir():
            yield path, folder / match["cache"]


def _sweep(folder: Path) -> None:
    """Remove what killed builders left. A live builder holds its lock, as far as this disk's locks reach."""
    for path, target in _unfinished(folder):
        with suppress(filelock.Timeout, OSError), _lock_of(target).acquire(timeout=0):
            shutil.rmtree(path, ignore_errors=True)


def _check_room(opened: Shards, folder: Path) -> None:
    names = {path.name for path in opened.paths}
    seconds = sum(entry["seconds"] for entry in opened.index["files"] if entry["path"] in names)
    needed, free = seconds * FPS * FRAME_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise CacheError(
            f"the cache of {seconds / 3600:.1f} h takes {needed / 2**30:.1f} GiB, and {folder} has {free / 2**30:.1f}: "
            "choose another folder with train.cache=FOLDER"
        )


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces the target on success."""
    temporary = target.parent / f"{files.TEMPORARY}{target.name}-{uuid.uuid4().hex[:12]}"
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        files.sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _named(shards: Path, run: Path) -> str:
    """Where shards lay, for gc, which deletes a cache whose shards are no longer there: "" where they are those of the run."""
    return "" if shards.parent == run else str(shards)


def _check_speakers(opened: Shards, speakers: frozenset[str]) -> int:
    """Count the rows of a split. Raises UnknownSpeaker where one of the speakers has none, saying who is there."""
    named = [row["speaker"] for row in opened.rows(("speaker",))]
    there = {name for name in named if name is not None}
    if unknown := sorted(speakers - there):
        known = ", ".join(sorted(there)[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
        raise UnknownSpeaker(
            f"no row of {opened.folder} in this split is of speaker {', '.join(unknown)}; "
            + (f"there are {known}" if there else "its rows name no speakers: run the stage `speakers`, then `shards`")
        )
    return len(named)


def _build(
    opened: Shards, folder: Path, made_from: Mapping[str, Any], min_score: float, speakers: frozenset[str]
) -> None:
    rows = _check_speakers(opened, speakers) if speakers else 0
    sums, lists, states = Sums(), _Lists(), states_of(opened.paths)
    out: dict[str, BinaryIO] = {name: (folder / f"{name}.raw").open("wb") for name in ARRAYS}
    try:
        for row in opened.rows((*_COLUMNS, *_CHECKED_ONLY, *(("speaker",) if speakers else ()))):
            if speakers and row["speaker"] not in speakers:
                continue
            if row["audio_features"] is None:
                lists.silent += 1
                continue
            local, neck = np.asarray(row["local"], np.float32), np.asarray(row["neck"], np.float32)
            lists.made_by(str(row["audio_features_of"]))
            sure = np.asarray(np.nan_to_num(row["scores"]) >= min_score)
            known = rooted(local) & np.isfinite(neck).all(axis=1, keepdims=True)
            valid = known & sure
            local, neck = np.where(known[..., None], local, 0), np.nan_to_num(neck)
            offset = np.where(valid[..., None], local, 0).sum(0) / np.maximum(valid.sum(0), 1)[:, None]
            deviation = np.where(known[..., None], local - offset, 0).astype(np.float16)
            made = {"skeleton": deviation, "valid": valid, "neck": neck, "audio": row["audio_features"]}
            arrays: dict[str, NDArray[Any]] = {
                name: np.ascontiguousarray(made[name], kind) for name, (kind, _) in ARRAYS.items()
            }
            for name, values in arrays.items():
                out[name].write(values.data)
            sums.add(local, neck, valid)
            lists.add(f"{row['clip_id']}#{row['person']}", len(local), offset, checksum_of(arrays.values()))
    finally:
        for file in out.values():
            file.close()
    if not lists.frames:
        raise CacheError(_empty(f"split {made_from['split']} of {opened.folder}", lists.silent))
    np.savez(folder / CLIPS, **lists.arrays())
    index = {
        **made_from,
        "shards": dict(opened.read),  # of the bytes that passed, which were compared with the shards' own index
        "states": states,
        "clips_sha256": sha256_of(folder / CLIPS),
        "folder": _named(opened.folder.resolve(), folder.resolve().parents[1]),
        **lists.about(),
        **({"rows": rows} if speakers else {}),
        "statistics": sums.result().to_json(),
    }
    for path in folder.iterdir():
        files.sync(path)
    write_index(folder / INDEX, index)


class _Lists:
    """What a cache stores of every clip."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.frames: list[int] = []
        self.offsets: list[NDArray[np.float32]] = []
        self.checksums: list[int] = []
        self.silent = 0
        self.label = ""

    def made_by(self, label: str) -> None:
        if self.label and label != self.label:
            raise CacheError(
                f"audio features of two kinds, {self.label} and {label}, cannot be mixed: run `make filter` until the "
                "stage audio_features has made all of them anew"
            )
        self.label = label

    def add(self, clip: str, frames: int, offset: NDArray[np.float32], checksum: int) -> None:
        self.checksums.append(checksum)
        self.ids.append(clip)
        self.frames.append(frames)
        self.offsets.append(offset.astype(np.float32))

    def arrays(self) -> dict[str, Any]:
        """What `clips.npz` holds, an entry a clip; `first` is its first frame in the other files."""
        frames = np.array(self.frames, np.int64)
        return {
            "first": np.concatenate([[0], np.cumsum(frames)[:-1]]),
            "frames": frames,
            "offset": np.stack(self.offsets),
            "ids": np.array(self.ids),
            "checksums": np.array(self.checksums, np.uint32),
        }

    def about(self) -> dict[str, Any]:
        """What the index says of all clips."""
        frames = sum(self.frames)
        return {
            "audio_features_of": self.label,
            "clips": len(self.frames),
            "left_out_without_features": self.silent,
            "frames": frames,
            "hours": frames / FPS / 3600,
            "bytes": frames * FRAME_BYTES,
        }


def _empty(split: str, silent: int) -> str:
    """Why there is nothing in a cache: no clips, or `silent` ones that have no audio features."""
    if not silent:
        return f"no clip is in the {split}"
    return (
        f"no clip in the {split} has audio features ({silent} without): run `make filter` with the stage audio_features; without "
        "its net and torch: `make filter SET=audio_features.features=logmel768`"
    )
