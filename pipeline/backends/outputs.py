"""Reading of back-end outputs: frames are counted, bounded and checked for size; the files are untrusted, as any."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import View
from pipeline.base.arrays import Picture
from pipeline.base.reasons import Failure, Reject
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits
from pipeline.media.picture import Converter, geometry_of
from pipeline.media.still import read_picture

_FRAME = re.compile(r"frame_(0|[1-9]\d{0,6})\.png")


def numbered(folder: Path, name: str, view: View) -> Iterator[Picture]:
    """The film's pictures out of a folder of frame_0.png, frame_1.png ...; there must be as many as were asked for.

    Args:
        folder: where the back-end wrote.
        name: of the back-end, for messages.
        view: what was asked for.

    Raises:
        BackendError: NOTHING_WRITTEN, WRONG_FRAMES, BAD_OUTPUT.
    """
    there: set[int] = set()
    if folder.is_dir():
        with os.scandir(folder) as entries:
            there = {int(match[1]) for entry in entries if (match := _FRAME.fullmatch(entry.name))}
    if not there:
        raise _nothing(name, f"no frame_0.png in {folder}")
    if there != set(range(view.made)):
        raise _wrong(name, len(there), view.made)
    for n in range(view.frames):
        path = folder / f"frame_{n}.png"
        try:
            picture = read_picture(path)
        except (Reject, OSError) as error:
            raise BackendError(Trouble.BAD_OUTPUT, f"{name} wrote a picture that cannot be read: {error}") from error
        yield _sized(picture, name, view)


def filmed(path: Path, name: str, view: View, spare: int) -> Iterator[Picture]:
    """The film's pictures out of a video, frame by frame as they are stored.

    Args:
        path: what the back-end wrote.
        name: of the back-end, for messages.
        view: what was asked for.
        spare: how many more or fewer than asked for are no error: some writers lose or repeat the last one.

    Raises:
        BackendError: NOTHING_WRITTEN, WRONG_FRAMES, BAD_OUTPUT.
    """
    if not path.is_file():
        raise _nothing(name, f"no {path}")
    limits = Limits(max_pixels=4 * view.size[0] * view.size[1], max_streams=4)
    count = 0
    try:
        source = FrameSource(path, limits)
        try:
            convert: Converter | None = None
            for frame in source.frames():
                convert = convert or Converter(geometry_of(source.stream, frame, limits), None, "rgb24")
                count += 1
                if count <= view.frames:
                    yield _sized(convert(frame), name, view)
                if count > view.made + spare:
                    break
        finally:
            source.close()
    except (Reject, Failure) as error:
        raise BackendError(Trouble.BAD_OUTPUT, f"{name} wrote a video that cannot be read: {error}") from error
    if count < view.frames or abs(count - view.made) > spare:
        raise _wrong(name, count, view.made)


def _nothing(name: str, what: str) -> BackendError:
    return BackendError(Trouble.NOTHING_WRITTEN, f"{name} ended without an error, but left nothing: {what}")


def _wrong(name: str, count: int, asked: int) -> BackendError:
    return BackendError(
        Trouble.WRONG_FRAMES,
        f"{name} made {count} pictures, asked for {asked}: the voice would not fit them, so that no film is written",
    )


def _sized(picture: Picture, name: str, view: View) -> Picture:
    height, width = picture.shape[:2]
    if (width, height) != view.size:
        raise BackendError(
            Trouble.WRONG_FRAMES,
            f"{name} made a picture of {width}x{height} px, asked for {view.size[0]}x{view.size[1]}",
        )
    return picture
