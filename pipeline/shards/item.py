"""One person in one clip, for whoever reads shards from Python or a notebook: arrays, sound, pictures, a drawing, a film."""

import base64
import html
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.base.hashes import sha256_of
from pipeline.base.ids import disk_name
from pipeline.base.text import printable
from pipeline.base.units import CLIP_SIDE_PX, FPS
from pipeline.shards.format import ShardError, shard_measures
from pipeline.storage import storage_of

if TYPE_CHECKING:
    from pipeline.shards.showing import Showing

_LISTS = ("keypoints", "scores", "local", "neck", "audio", "audio_features")
_CLIPS = "clips"  # the first step of the names of all clips
_ABOUT_PEOPLE = ("attributes", "speakers")


def clip_path(run: Path, name: str) -> Path | None:
    """Where the clip that a row names lies; None outside of the run's clips, whose folder may be a link to another disk."""
    return storage_of(run).contained(name) if PurePosixPath(name).parts[:1] == (_CLIPS,) else None


class Item:
    """A row of a shard.

    Args:
        row: as `Shards.rows` gives it, with every column that is asked for.
        folder: of the shards; the clips lie beside it, where they are here at all.

    Attributes:
        row: the same.
        keypoints: (T, 133, 2) float32, px of the 512x512 crop at 25 frames/s, NaN where unseen.
        scores: (T, 133) float32, confidence of each point.
        local: (T, 133, 2) float32, px: body from the neck, face from the nose, hands from the wrists.
        neck: (T, 2) float32, px: the neck's path; `local` and `neck` give `keypoints` back.
    """

    def __init__(self, row: Mapping[str, Any], folder: Path) -> None:
        self.row, self._folder = row, folder
        self.keypoints: NDArray[np.float32] = row["keypoints"]
        self.scores: NDArray[np.float32] = row["scores"]
        self.local: NDArray[np.float32] = row["local"]
        self.neck: NDArray[np.float32] = row["neck"]

    def __len__(self) -> int:
        """Frames."""
        return int(self.row["frames"])

    def __getitem__(self, name: str) -> Any:
        return self.row[name]

    def __repr__(self) -> str:
        seconds = len(self) / FPS
        words = "" if self.row["speech_type"] is None else f", {printable(self.row['speech_type'])[:60]}"
        return f"Item({self.person_id}: {len(self)} frames, {seconds:.1f} s{words})"

    @property
    def person_id(self) -> str:
        """`<clip_id>#<rank of the person in the clip>`."""
        return f"{self.row['clip_id']}#{self.row['person']}"

    @cached_property
    def sound(self) -> NDArray[np.float32] | None:
        """(T x 640,) in -1..1, mono at 16 kHz; None where the clip has none. Raises ShardError where it does not decode."""
        from pipeline.shards.read import decode_audio

        return None if self.row["audio"] is None else decode_audio(self.row["audio"])

    @property
    def audio_features(self) -> NDArray[np.float16] | None:
        """(T, 768) float16 on the frame grid; None where they were not made."""
        features: NDArray[np.float16] | None = self.row["audio_features"]
        return features

    @property
    def measures(self) -> dict[str, Any]:
        """What the checks measured; None: not measured."""
        return self._of(tuple(kind for kind in shard_measures() if kind not in _ABOUT_PEOPLE))

    @property
    def attributes(self) -> dict[str, Any]:
        """What nets guessed about the person (age, sex, descent, emotion), and which speaker of the run it is; None: not asked."""
        return self._of(_ABOUT_PEOPLE)

    @property
    def about(self) -> dict[str, Any]:
        """Everything else that is no list over frames: ids, link, times, crop, licence, versions."""
        others = {*_LISTS, *self.measures, *self.attributes}
        return {name: value for name, value in self.row.items() if name not in others}

    def _of(self, kinds: tuple[str, ...]) -> dict[str, Any]:
        names = [name for kind, of in shard_measures().items() if kind in kinds for name in of]
        return {name: self.row.get(name) for name in names}

    @cached_property
    def clip(self) -> Path:
        """The 512x512 mp4. Raises ShardError where it is not here, or not the one that the shards were made with."""
        run, name = self._folder.parent, self.row["video"]
        if not name:
            raise ShardError(f"{self.person_id}: its shard names no clip")
        path = clip_path(run, name)
        if path is None:
            raise ShardError(f"{self.person_id}: its shard names a clip outside of {_CLIPS}/ in {run}")
        if not path.is_file():
            raise ShardError(f"{path} is not here: `csg405 run export` makes clips, published shards come without them")
        if self.row["video_sha256"] and sha256_of(path) != self.row["video_sha256"]:
            raise ShardError(f"{path} is not the clip that the shards were made with")
        return path

    def pictures(self, first: int = 0, frames: int | None = None) -> Iterator[Picture]:
        """(512, 512, 3) uint8 RGB of each frame, in order. Raises ShardError as `clip`, and where it does not decode."""
        return self._showing.pictures(first, len(self) - first if frames is None else frames)

    def picture(self, frame: int = 0) -> Picture:
        """(512, 512, 3) uint8 RGB of one frame. Raises ShardError as `pictures`, IndexError beyond the clip."""
        for picture in self.pictures(self._frame(frame), 1):
            return np.array(picture)
        raise ShardError(f"{self.clip} has no frame {frame}")

    def draw(self, frame: int = 0, *, over_picture: bool | None = None) -> Picture:
        """(512, 512, 3) uint8 RGB: the skeleton of one frame.

        Args:
            frame: from 0, or from the end when negative.
            over_picture: over the clip's picture, or on black; None: over the picture where the clip is here.
        """
        at = self._frame(frame)
        background = self.picture(at) if self._has_pictures(over_picture) else None
        return self._showing.drawn(at, background)

    def play(self, path: str | Path | None = None, *, over_picture: bool | None = None) -> "Film":
        """Write an mp4 of the skeleton with the sound; a notebook shows it.

        Args:
            path: of the mp4; a name made of the person's id, in this folder, by default.
            over_picture: as of `draw`.
        """
        target = Path(path) if path is not None else Path(f"{disk_name(self.person_id)}.mp4")
        self._showing.write(target.absolute(), over_pictures=self._has_pictures(over_picture))
        return Film(target)

    @property
    def _showing(self) -> "Showing":
        from pipeline.shards.showing import Showing  # OpenCV and a decoder, which readers of arrays do without

        return Showing(self)

    def _has_pictures(self, wanted: bool | None) -> bool:
        if wanted is None:
            try:
                return bool(self.clip)
            except ShardError:
                return False
        return wanted

    def _frame(self, frame: int) -> int:
        if not -len(self) <= frame < len(self):
            raise IndexError(f"frame {frame} of {len(self)}")
        return frame % len(self)

    def _repr_html_(self) -> str:
        """A frame from the middle, and what is known of the clip."""
        facts = {**self.about, **self.measures}
        known = ((_said(name), _said(value)) for name, value in facts.items() if value is not None)
        rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in known)
        picture = base64.b64encode(self._showing.png(self.draw(len(self) // 2))).decode()
        return (
            f"<details><summary>{_said(repr(self))}<br><img width=256 src='data:image/png;base64,{picture}'></summary>"
            f"<table>{rows}</table></details>"
        )


class Film:
    """An mp4 that a notebook shows.

    Attributes:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Film({str(self.path)!r})"

    def _repr_html_(self) -> str:
        film = base64.b64encode(self.path.read_bytes()).decode()
        return f"<video controls width={CLIP_SIDE_PX} src='data:video/mp4;base64,{film}'></video>"


def _said(value: Any) -> str:
    return html.escape(printable(str(value))[:300])
