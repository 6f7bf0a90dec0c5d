"""Shards as tar files in the WebDataset convention: files of one sample stand together and share the name up to the first dot.

A sample is `KEY.json` (everything that is no array), `KEY.keypoints.npy`, `scores`, `local`, `neck` and, where they were made,
`audio_features`; `KEY.flac`, and `KEY.mp4` where the clip is here. The same shards give the same bytes.
"""

import io
import json
import math
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base import files
from pipeline.base.ids import disk_name
from pipeline.shards.format import SPLITS, ShardError
from pipeline.shards.item import Item
from pipeline.shards.read import open_shards

SIZES = "sizes.json"  # tar file -> samples, as loaders of WebDatasets ask for
_ARRAYS = ("keypoints", "scores", "local", "neck", "audio_features")


@dataclass
class Exported:
    """What was written.

    Attributes:
        samples: tar file -> samples in it.
        bytes: of all tar files.
        without_clip: samples whose clip is not here.
    """

    samples: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    without_clip: int = 0


def beside(out: Path) -> Path:
    """A new name beside the target for what is not whole yet."""
    return out.absolute().parent / f"{files.TEMPORARY}{uuid.uuid4().hex[:12]}"


def write_webdataset(
    shards: Path, out: Path, most_bytes: int = 1_000_000_000, *, clips: bool = True, temporary: Path | None = None
) -> Exported:
    """Write `{split}-{number}.tar` into a new folder, which is whole or not there.

    Args:
        shards: their folder; clips lie in the folder above it.
        out: the target; must not exist.
        most_bytes: of a tar file; one sample that is larger has a file of its own.
        clips: whether mp4 files go along.
        temporary: the folder that is filled and then renamed, on the target's disk; None: one that `beside` names.

    Raises:
        ShardError: the target is there, or the shards do not read.
    """
    if out.exists():
        raise ShardError(f"{out} is there already: name a folder that is not there yet")
    temporary = temporary or beside(out)
    found = Exported()
    try:
        files.make_folder(temporary)
        for split in SPLITS:
            writer = _Tars(temporary, split, most_bytes, found)
            for item in open_shards(shards, split):
                writer.add(_members(item, clips, found))
            writer.close()
        files.write_text(temporary / SIZES, json.dumps(found.samples, indent=1) + "\n")
        temporary.rename(out)
        files.sync(out.absolute().parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


class _Tars:
    """The tar files of one split, one after the other."""

    def __init__(self, folder: Path, split: str, most_bytes: int, found: Exported) -> None:
        self._folder, self._split, self._most, self._found = folder, split, most_bytes, found
        self._number, self._held = 0, 0
        self._tar: tarfile.TarFile | None = None

    def add(self, members: list[tuple[str, bytes]]) -> None:
        """Put the files of one sample into the tar file at hand, or into the next one where it is full."""
        size = sum(1024 + len(data) for _, data in members)
        if self._tar is not None and self._held + size > self._most:
            self.close()
        if self._tar is None:
            name = f"{self._split}-{self._number:06d}.tar"
            self._tar = tarfile.open(self._folder / name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by `close`
            self._found.samples[name] = self._held = 0
            self._number += 1
        for name, data in members:
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(data), 0o644
            self._tar.addfile(about, io.BytesIO(data))
        self._held += size
        self._found.samples[Path(str(self._tar.name)).name] += 1

    def close(self) -> None:
        """Finish the tar file at hand."""
        if self._tar is not None:
            self._tar.close()
            path = Path(str(self._tar.name))
            files.sync(path)
            self._found.bytes += path.stat().st_size
            self._tar = None


def _members(item: Item, clips: bool, found: Exported) -> list[tuple[str, bytes]]:
    key = disk_name(item.person_id)
    words = {name: _plain(value) for name, value in {**item.about, **item.measures, **item.attributes}.items()}
    members = [(f"{key}.json", json.dumps(words, ensure_ascii=False).encode())]
    arrays = [(name, item.row[name]) for name in _ARRAYS if item.row[name] is not None]
    members += [(f"{key}.{name}.npy", _npy(array)) for name, array in arrays]
    if item.row["audio"] is not None:
        members.append((f"{key}.flac", item.row["audio"]))
    if clips:
        members += [(f"{key}.mp4", clip) for clip in _clip(item, found)]
    return members


def _clip(item: Item, found: Exported) -> Iterator[bytes]:
    try:
        yield item.clip.read_bytes()
    except ShardError:
        found.without_clip += 1


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()
