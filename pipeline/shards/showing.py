"""Pictures of an item of shards: its clip's, its skeleton drawn, a film of both. Only these need OpenCV and a decoder."""

from collections.abc import Iterator
from pathlib import Path

import cv2

from pipeline.base.arrays import Picture
from pipeline.base.reasons import Failure, Reject
from pipeline.base.text import printable
from pipeline.base.units import CLIP_SIDE_PX
from pipeline.media.grid import GridReader
from pipeline.media.writer import write_clip
from pipeline.shards.format import ShardError
from pipeline.shards.item import Item
from pipeline.skeleton.draw import draw

_SIZE = (CLIP_SIDE_PX, CLIP_SIDE_PX)


class Showing:
    """What can be seen of an item; pictures are (512, 512, 3) uint8 RGB."""

    def __init__(self, item: Item) -> None:
        self._item = item

    def pictures(self, first: int, frames: int) -> Iterator[Picture]:
        """Yield these frames of the clip, in order. Raises ShardError as `Item.clip`, and where it does not decode."""
        clip = self._item.clip
        try:
            with GridReader(clip, first, frames) as reader:
                for picture in reader:
                    yield picture.pixels
        except (Reject, Failure) as error:
            raise ShardError(f"{clip}: {printable(str(error.detail))[:200]}") from error

    def drawn(self, frame: int, background: Picture | None) -> Picture:
        """The skeleton of one frame, over a picture or on black."""
        return draw(self._item.keypoints[frame], self._item.scores[frame], _SIZE, background)

    def write(self, target: Path, *, over_pictures: bool) -> None:
        """Write an mp4 of the skeleton, over the clip's pictures or on black, with the sound."""
        frames = range(len(self._item))
        behind: Iterator[Picture | None] = self._item.pictures() if over_pictures else iter([None] * len(frames))
        drawn = (self.drawn(frame, picture) for frame, picture in zip(frames, behind, strict=True))
        write_clip(target, drawn, self._item.sound, size=_SIZE, preset="veryfast")

    @staticmethod
    def png(picture: Picture) -> bytes:
        """A picture as a PNG file."""
        return bytes(cv2.imencode(".png", picture[..., ::-1])[1])
