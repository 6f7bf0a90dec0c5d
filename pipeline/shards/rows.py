"""What the rows of a shard must be, checked column by column over a row group: lists as long as their clips, numbers in range.

NaN stands for what was not seen in keypoints, local coordinates, neck and scores, and is refused everywhere else. Infinity is
refused everywhere.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.base.ids import check_clip_id
from pipeline.base.reasons import Reject
from pipeline.base.text import printable
from pipeline.base.units import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.shards.footer import MOST_FRAMES
from pipeline.shards.format import ShardError

MOST_PX = 16_384.0  # 32 crops: no real point lies further out, and float16 holds twice as much
MOST_SCORE = 100.0  # ours are within 0..1; other nets' are heights of a map, or sums of two
MOST_SECONDS = 1e7
_MOST_SIDE = 1 << 20
_MOST_PERSON = 999_999
_MOST_TEXT = 1 << 16
_HALF_EXPONENT = np.uint16(0x7C00)
_SIGNLESS, _INFINITY = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)  # of float32; NaN is above infinity
_FLAC = b"fLaC\0\0\0\x22"  # and then STREAMINFO, the first block of each FLAC stream
_INFO_BYTES = 42
_WORDS = re.compile(r"[\x00-\x1f\x7f]")

_Limits = tuple[float, float]
_LISTS: Mapping[str, float | None] = {  # the largest size of a number
    "keypoints": MOST_PX,
    "local": 2 * MOST_PX,
    "neck": MOST_PX,
    "scores": MOST_SCORE,
    "audio_features": None,  # float16 has its own
}
_NUMBERS: Mapping[str, _Limits] = {
    "fps": (FPS, FPS),
    "start_seconds": (0, MOST_SECONDS),
    "source_width": (1, _MOST_SIDE),
    "source_height": (1, _MOST_SIDE),
}


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; Arrow would copy one that is in one piece already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class Rows:
    """The rows of one row group.

    Args:
        path: of the shard, for errors.
        table: columns as they are stored, with `clip_id`, `person` and `frames` where one of the lists over frames or `audio` is.
    """

    def __init__(self, path: Path, table: pa.Table) -> None:
        self.path, self.table = path, table
        self.columns: dict[str, pa.Array] = {name: whole(table[name]) for name in table.column_names}

    def check(self) -> None:
        """Raise ShardError, which names shard, clip and column, for the first thing that no shard holds."""
        checks: dict[str, Callable[[str], None]] = {
            "clip_id": self._check_clip_ids,
            "person": self._check_persons,
            "frames": self._check_frames,
            "crop_box": self._check_boxes,
            "audio": self._check_sound,
            **dict.fromkeys(_NUMBERS, self._check_numbers),
            **dict.fromkeys(_LISTS, self._check_lists),
        }
        for name, values in self.columns.items():
            if pa.types.is_string(values.type):
                self._check_text(name)
        for name, check in checks.items():  # ids and frames first: the others lean on them
            if name in self.columns:
                check(name)
        for name in self.columns:
            if name not in checks and pa.types.is_floating(self.columns[name].type):
                self._check_measure(name)

    def names(self) -> list[str]:
        """`<clip_id>#<person>` of each row, where both were read."""
        ids, persons = self.columns["clip_id"].to_pylist(), self.columns["person"].to_pylist()
        return [f"{clip}#{person}" for clip, person in zip(ids, persons, strict=True)]

    def _check_text(self, name: str) -> None:
        if name in ("clip_id", "video_id"):
            self._check_known(name)
        for row, text in enumerate(self.columns[name].to_pylist()):
            if text is not None and (len(text) > _MOST_TEXT or (name in _PLAIN and _WORDS.search(text))):
                self._refuse(name, row, "holds text that no shard holds")

    def _check_clip_ids(self, name: str) -> None:
        videos = self.columns.get("video_id")
        for row, text in enumerate(self.columns[name].to_pylist()):
            try:
                clip = check_clip_id(text)
            except Reject:
                self._refuse(name, row, "is no clip id")
            if videos is not None and videos[row].as_py() != clip.video_id:
                self._refuse("video_id", row, "is not the video of its clip_id")

    def _check_persons(self, name: str) -> None:
        self._check_known(name)
        self._check_range(name, (0, _MOST_PERSON))

    def _check_frames(self, name: str) -> None:
        self._check_known(name)
        self._check_range(name, (1, MOST_FRAMES))

    def _check_numbers(self, name: str) -> None:
        self._check_range(name, _NUMBERS[name])

    def _check_range(self, name: str, limits: _Limits) -> None:
        """Numbers within the limits, or null."""
        for row, value in enumerate(self.columns[name].to_pylist()):
            if value is not None and not limits[0] <= value <= limits[1]:
                self._refuse(name, row, f"is {value}, and may be {limits[0]:g} to {limits[1]:g}")

    def _check_measure(self, name: str) -> None:
        for row, value in enumerate(self.columns[name].to_pylist()):
            if value is not None and np.isinf(value):
                self._refuse(name, row, f"is {value}")

    def _check_boxes(self, name: str) -> None:
        for row, box in enumerate(self.columns[name].to_pylist()):
            if box is None:
                continue
            if None in box or max(map(abs, box)) > _MOST_SIDE or box[0] >= box[2] or box[1] >= box[3]:
                self._refuse(name, row, f"is {box}, no box")

    def _check_sound(self, name: str) -> None:
        for row, (flac, frames) in enumerate(zip(self.columns[name], self._frames(), strict=True)):
            if flac.is_valid and (problem := flac_problem(memoryview(flac.as_buffer()), int(frames))):
                self._refuse(name, row, problem)

    def _check_lists(self, name: str) -> None:
        values = self.columns[name]
        if name != "audio_features":
            self._check_known(name)
        lengths = pc.list_value_length(values).fill_null(-1).to_numpy()
        other = np.flatnonzero((lengths >= 0) & (lengths != self._frames()))
        if len(other):
            row = int(other[0])
            self._refuse(name, row, f"has {lengths[row]} frames, its clip {self._frames()[row]}")
        within = values.flatten()
        numbers = within.flatten()
        if within.null_count or numbers.null_count:
            row = next(n for n, value in enumerate(values) if value.is_valid and _has_nulls(value.values))
            self._refuse(name, row, "lacks numbers within a frame")
        self._check_values(name, numbers.to_numpy(zero_copy_only=False), np.maximum(lengths, 0))

    def _check_values(self, name: str, numbers: NDArray[Any], lengths: NDArray[Any]) -> None:
        most, width = _LISTS[name], self.columns[name].type.value_type.list_size
        if most is None:
            bad, what = _unfinite_halves(numbers), "a number that is not finite"
        else:
            bad, what = _beyond(numbers, most), f"a number beyond {most:g}"
        if bad is not None:
            ends = np.cumsum(lengths)
            row = int(np.searchsorted(ends, bad // width, side="right"))
            frame = bad // width - int(ends[row] - lengths[row])
            self._refuse(name, row, f"holds {what} in frame {frame} ({numbers[bad]})")

    def _check_known(self, name: str) -> None:
        if self.columns[name].null_count:
            row = int(np.flatnonzero(self.columns[name].is_null().to_numpy(zero_copy_only=False))[0])
            self._refuse(name, row, "is null")

    def _frames(self) -> NDArray[np.int32]:
        return np.asarray(self.columns["frames"].to_numpy(zero_copy_only=False), np.int32)

    def _refuse(self, name: str, row: int, problem: str) -> NoReturn:
        clip = self.columns["clip_id"][row].as_py() if "clip_id" in self.columns else None
        where = f"clip {printable(str(clip))[:60]}" if clip else f"row {row}"
        raise ShardError(f"{self.path}: {where}: {name} {problem}: get this file again, or write the shards again")


_PLAIN = ("clip_id", "video_id", "audio_features_of", "video", "video_sha256")  # they become paths and labels


def flac_problem(flac: memoryview, frames: int) -> str:
    """What is wrong with the sound of a clip, by the head of its stream; "" when it is 16 kHz, mono and as long as the clip."""
    if len(flac) < _INFO_BYTES or flac[:4] != _FLAC[:4] or flac[5:8] != _FLAC[5:] or flac[4] & 0x7F:
        return "is no FLAC"
    packed = int.from_bytes(flac[18:26], "big")  # 20 bits rate, 3 channels - 1, 5 depth - 1, 36 samples
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & ((1 << 36) - 1)
    if (rate, channels) != (SAMPLE_RATE, 1):
        return f"has {channels} channels at {rate} Hz, not 1 at {SAMPLE_RATE}"
    if samples != frames * SAMPLES_PER_FRAME:
        return f"has {samples} samples, its {frames} frames have {frames * SAMPLES_PER_FRAME}"
    return ""


def _has_nulls(frames: pa.Array) -> bool:
    return bool(frames.null_count or frames.flatten().null_count)


def _beyond(numbers: NDArray[np.float32], most: float) -> int | None:
    """The place of the first number further from 0 than `most`, infinity included and NaN not.

    Told by the bits, which are in the order of the numbers: NaNs cost NumPy's own maximum four times as much.
    """
    size = np.ascontiguousarray(numbers).view(np.uint32) & _SIGNLESS
    edge = np.float32(most).view(np.uint32) + np.uint32(1)
    size -= edge  # wraps round where the number is small enough
    bad = size <= _INFINITY - edge
    return int(bad.argmax()) if bad.any() else None


def _unfinite_halves(numbers: NDArray[np.float16]) -> int | None:
    """The place of the first NaN or infinity, told by the bits: NumPy asks halves one by one."""
    bad = (np.ascontiguousarray(numbers).view(np.uint16) & _HALF_EXPONENT) == _HALF_EXPONENT
    return int(bad.argmax()) if bad.any() else None
