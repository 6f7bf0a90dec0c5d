"""The people of a test set: their pictures, skeletons and voices, read from the table `subjects` when they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.base.arrays import Floats32, Picture
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import FPS
from pipeline.media.sequence import frame_shown, read_frames
from pipeline.media.video import GridReader
from pipeline.model.generation.inputs import Person
from pipeline.shards.read import decode_audio
from pipeline.skeleton.layout import UPPER_BODY, K
from pipeline.tables.arrow import HASH
from pipeline.tables.hashing import row_hashes
from pipeline.tables.parts import read_places
from pipeline.tables.store import Store
from stages.evaluate.collection import SAID_FPS

_LIGHT = ("subject", "speaker", "film", "film_sha256", "fps", "frames", "side", "reference_frame")
_HEAVY = ("keypoints", "scores", "audio")


@dataclass(frozen=True)
class Subject:
    """One clip of a test set, its pictures brought to a square.

    Attributes:
        name: of the row.
        speaker: who it is.
        film: the video, or the folder of its frames.
        frames: of it, at 25 fps.
        side: of the square, px.
        keypoints: (F, 133, 2) px of the square, NaN where unseen; scores (F, 133).
        wave: (F x 640,) at 16 kHz, or None.
        reference_frame: whose picture and skeleton are the reference.
        fps: frames a second at which the film was taken; None where it says it itself.
    """

    name: str
    speaker: str
    film: Path
    frames: int
    side: int
    keypoints: Floats32
    scores: Floats32
    wave: Floats32 | None
    reference_frame: int
    fps: float | None = None

    def pictures(self) -> Iterator[Picture]:
        """(side, side, 3) RGB, one a frame; a frame that does not decode is the one before."""
        yield from squares(self.film, self.frames, self.side, self.fps)

    def picture(self) -> Picture:
        """(side, side, 3) RGB of the reference frame."""
        *_, last = squares(self.film, self.reference_frame + 1, self.side, self.fps)
        return last

    def person(self) -> Person:
        """As a generation takes it."""
        at = self.reference_frame
        return Person(self.name, self.keypoints[at], self.scores[at], (self.side, self.side), picture=self.picture)


class Cast:
    """The subjects of an evaluation by name.

    Args:
        store: where the table `subjects` is.
        run: folder that films of the run are relative to.
    """

    def __init__(self, store: Store, run: Path) -> None:
        rows = store.live("subjects", [*(name for name in _LIGHT if name != "subject"), "video_id"], places=True)
        self._parts = [str(path) for path in store.table("subjects").parts("rows")]
        self._rows = {row["subject"]: row for row in rows.to_pylist()}
        self._run = run

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def light(self, name: str) -> dict[str, Any]:
        """What is known of a subject without skeleton and sound, and its video."""
        row: dict[str, Any] = self._rows[name]
        return row

    def __getitem__(self, name: str) -> Subject:
        row = self._rows[name]
        [heavy] = read_places([(self._parts[row["file"]], row["place"])], _HEAVY)
        frames = row["frames"]
        wave = None if heavy["audio"] is None else decode_audio(heavy["audio"])
        return Subject(
            name,
            row["speaker"],
            self._run / row["film"],
            frames,
            row["side"],
            np.asarray(heavy["keypoints"], np.float32).reshape(frames, K, 2),
            np.asarray(heavy["scores"], np.float32),
            wave,
            row["reference_frame"],
            row["fps"],
        )


def squares(film: Path, frames: int, side: int, fps: float | None = None) -> Iterator[Picture]:
    """A film's pictures on the 25-fps grid, laid whole into the middle of a square.

    Args:
        film: a local video, or a folder of frames.
        frames: how many; what the film lacks at its end is its last picture again.
        side: of the square, px.
        fps: frames a second at which they were taken, which a folder does not say, and a video of `SAID_FPS` says wrong.

    Yields:
        (side, side, 3) RGB.

    Raises:
        Reject: it is no video, or no picture of it decodes; of a folder, what `frames_in` and `read_frames` raise.
    """
    for picture in held(film, frames, fps):
        yield letterboxed(picture, side)


def held(film: Path, frames: int, fps: float | None = None) -> Iterator[Picture]:
    """As `squares`, in the film's own size."""
    if film.is_dir():
        assert fps is not None, "a folder of frames says no rate"
        yield from read_frames(film, frames, fps)
    elif fps is not None:
        yield from _at_rate(film, frames, fps)
    else:
        yield from _as_it_says(film, frames)


def _at_rate(film: Path, frames: int, fps: float) -> Iterator[Picture]:
    """Of a video that says `SAID_FPS`: picture n is the frame that was taken at that time, wherever the video shows it."""
    places = [(2 * FPS * frame_shown(number, fps) + SAID_FPS) // (2 * SAID_FPS) for number in range(frames)]
    pictures = enumerate(_as_it_says(film, places[-1] + 1 if places else 0))
    at, picture = -1, None
    for place in places:
        while at < place:
            at, picture = next(pictures)
        assert picture is not None
        yield picture


def _as_it_says(film: Path, frames: int) -> Iterator[Picture]:
    last, shown = None, 0
    with GridReader(film, 0, frames) as reader:
        for frame in reader:
            last = frame.pixels
            while shown <= frame.n:
                yield last
                shown += 1
    if last is None:
        raise Reject(Reason.CORRUPT, f"no picture of {film} decodes")
    for _ in range(shown, frames):
        yield last


def letterboxed(picture: Picture, side: int) -> Picture:
    """A whole picture in the middle of a black square; `onto_square` maps its points."""
    height, width = picture.shape[:2]
    if (width, height) == (side, side):
        return picture
    (wide, tall), (x, y) = _within(width, height, side)
    how = cv2.INTER_AREA if side < max(width, height) else cv2.INTER_LINEAR
    square = np.zeros((side, side, 3), np.uint8)
    square[y : y + tall, x : x + wide] = cv2.resize(picture, (wide, tall), interpolation=how)
    return square


def onto_square(points: Floats32, width: int, height: int, side: int) -> Floats32:
    """Points (..., 2) px of a picture as points of the square that `letterboxed` makes of it: whole pixels are kept whole."""
    size, corner = (np.array(pair) for pair in _within(width, height, side))
    return np.asarray((points + 0.5) * size / (width, height) - 0.5 + corner, np.float32)


def _within(width: int, height: int, side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size and upper left corner of a picture in the middle of a square, px."""
    scale = side / max(width, height)
    wide, tall = max(1, round(width * scale)), max(1, round(height * scale))
    return (wide, tall), ((side - wide) // 2, (side - tall) // 2)


def whole_body_frame(scores: Floats32, min_score: float = 0.3) -> int:
    """The first frame whose upper body is seen best: every joint of it where there is such a frame. scores (F, 133)."""
    return int((scores[:, list(UPPER_BODY.values())] >= min_score).sum(1).argmax())


def contents(store: Store) -> dict[str, str]:
    """{subject: a hash of all that is known of it}; neither skeletons nor sounds are read."""
    names = [name for name in _LIGHT if name != "film"]
    table = store.live("subjects", [*names, *(name + HASH for name in _HEAVY)])
    hashes = row_hashes(table, [*names, *(name + HASH for name in _HEAVY)])
    return {name: f"{value:016x}" for name, value in zip(table["subject"].to_pylist(), hashes, strict=True)}
