"""Films with one planted transition each, by ffmpeg's xfade, whose mixed pictures are known from its formula."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.base.units import FPS
from pipeline.media.video import ffmpeg_exe

SIDE_PX = 384
LEAD = 60  # pictures of one shot alone on each side of a transition
SKIP = 38  # pictures taken out by a jump cut, 1.5 s
MIXED = 0.05  # share of a picture that each of two shots gives at least
_SOFT = 64  # places at which a circle's share is averaged


@dataclass(frozen=True)
class Kind:
    """A way from one shot to the next.

    Attributes:
        name: as the table says it.
        transition: ffmpeg's, empty for a cut.
        seconds: length, 0 for a cut.
        within: whether it is tried within one talk, too.
        between: whether it is tried between two speakers.
    """

    name: str
    transition: str
    seconds: float
    within: bool = True
    between: bool = True

    @property
    def pictures(self) -> int:
        """Length in pictures."""
        return round(self.seconds * FPS)


KINDS = (
    Kind("hard cut", "", 0, within=False),
    Kind("jump cut", "", 0, between=False),
    Kind("dissolve 0.48 s", "fade", 0.48),
    Kind("dissolve 1 s", "fade", 1),
    Kind("dissolve 2 s", "fade", 2),
    Kind("wipe 0.48 s", "wipeleft", 0.48),
    Kind("wipe 1 s", "wipeleft", 1),
    Kind("circle 1 s", "circleopen", 1),
    Kind("fade through black", "fadeblack", 1, within=False),
    Kind("fade through white", "fadewhite", 1, within=False),
)


@dataclass(frozen=True)
class Planted:
    """A film with one transition.

    Attributes:
        path: of the film.
        kind: of the transition.
        frames: pictures in all.
        mixed: half-open range of the pictures that are of neither shot alone; empty at a cut, where the new shot begins.
    """

    path: Path
    kind: Kind
    frames: int
    mixed: tuple[int, int]


def mixed_range(kind: Kind, first: int) -> tuple[int, int]:
    """The pictures of neither shot alone, of a transition that begins at picture `first`; half open."""
    left, right = shares(kind)
    alone = np.maximum(left, right) >= 1 - MIXED
    mixed = first + np.flatnonzero(~alone)
    return (int(mixed[0]), int(mixed[-1]) + 1) if len(mixed) else (first, first)


def shares(kind: Kind) -> tuple[Floats64, Floats64]:
    """(pictures,) what the earlier and the later shot give to each picture of the transition, by xfade's formulas."""
    if not kind.pictures:
        return np.empty(0), np.empty(0)
    rest = 1 - np.arange(kind.pictures) / kind.pictures  # xfade's progress, which runs backwards
    if kind.transition == "circleopen":
        across = np.linspace(-1, 1, _SOFT)
        radius = np.hypot(*np.meshgrid(across, across)).ravel() / np.hypot(1, 1)
        left = _smooth(0, 1, radius[None] + (rest[:, None] - 0.5) * 3).mean(1)
        return left, 1 - left
    if kind.transition in ("fadeblack", "fadewhite"):
        return rest * _smooth(0.8, 1, rest), (1 - rest) * (1 - _smooth(0, 0.2, rest))
    return rest, 1 - rest


def _smooth(low: float, high: float, values: Floats64) -> Floats64:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def small(path: Path, folder: Path) -> Path:
    """The film as a square of `SIDE_PX`, 25 pictures a second, without sound."""
    target = folder / f"small-{path.stem}.mp4"
    square = (
        f"fps={FPS},scale={SIDE_PX}:{SIDE_PX}:force_original_aspect_ratio=increase,crop={SIDE_PX}:{SIDE_PX},setsar=1"
    )
    return _made(target, ["-i", str(path), "-an", "-vf", square, *_coded(14)])


def planted(kind: Kind, one: Path, other: Path, frames: tuple[int, int], folder: Path) -> Planted:
    """A film that goes from one small film to the other; of one film itself, it goes on `SKIP` pictures later.

    Args:
        kind: of transition.
        one, other: films made by `small`.
        frames: of each.
        folder: for the result; what is there already is used again.
    """
    length, after = LEAD + kind.pictures, 0
    if one == other:
        after = max(0, min(LEAD + SKIP, frames[0] - length))
    filters = ";".join(
        f"[{k}:v]trim=start_frame={start}:end_frame={start + length},setpts=PTS-STARTPTS,settb=1/{FPS},format=yuv420p[{k}]"
        for k, start in enumerate((0, after))
    )
    join = (
        f"[0][1]xfade=transition={kind.transition}:duration={kind.seconds}:offset={LEAD / FPS}"
        if kind.transition
        else "[0][1]concat"
    )
    name = f"{one.stem}-{other.stem}-{kind.name.replace(' ', '_')}.mp4"
    call = ["-i", str(one), "-i", str(other), "-filter_complex", f"{filters};{join}", "-an", *_coded(21)]
    path = _made(folder / name, call)
    return Planted(path, kind, length + LEAD, mixed_range(kind, LEAD))


def _coded(crf: int) -> list[str]:
    return ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-pix_fmt", "yuv420p", "-threads", "2"]


def _made(target: Path, arguments: list[str]) -> Path:
    if not target.exists():
        half = target.with_suffix(".half.mp4")
        call = [ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", *arguments, str(half)]
        subprocess.run(call, check=True, timeout=600)
        half.replace(target)
    return target
