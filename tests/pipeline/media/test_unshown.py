"""Frames that no picture shows are left out, and what is shown stays what it was to the bit."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.base.units import FPS
from pipeline.media.fit import Fitter
from pipeline.media.frames import FrameSource, decoded_frames
from pipeline.media.guard import Limits
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.unshown import Economy, unshown
from pipeline.media.video import GridReader
from tests.pipeline.media.footage import constant_times, has_encoder, write_footage

CODED = {"preset": "fast", "bf": "3"}


@dataclass
class Packet:
    """What is asked of one."""

    pts: int | None
    size: int = 1
    is_corrupt: bool = False
    is_discard: bool = False


def left_out(times: list[int | None], wanted: range | list[int], ticks: int = 2) -> list[int | None]:
    """Times of packets that are shown in no wanted picture, of which each lasts so many ticks."""
    told = unshown([Packet(time) for time in times], lambda pts: pts // ticks, wanted)
    return [packet.pts for packet, idle in told if idle]


def test_what_another_frame_replaces_before_a_picture_is_told() -> None:
    assert left_out([0, 2, 4, 6, 8], range(9)) == [], "one a picture"
    assert left_out([0, 1, 2, 3, 4, 5], range(9)) == [0, 2], "4 may be the last but one, by which the end is told"
    assert left_out([0, 3, 1, 2, 6, 4, 5, 7], range(9)) == [0, 2, 4], "whatever their order in the file"
    assert left_out([0, 2, 4, 6, 8, 10], [2, 4]) == [0, 2, 6], "nobody asks for pictures 0, 1 and 3"
    assert left_out([0, 2, 4, 6, 8, 10], range(2, 9)) == [0, 2], "and for none before the first"


def test_doubtful_times_are_shown() -> None:
    assert left_out([0, None, 1, 1, 2, 4, 6], range(9)) == [0], "what has no time of its own"
    packets = [Packet(0), Packet(1, is_corrupt=True), Packet(2), Packet(4), Packet(6), Packet(None, size=0)]
    assert not any(idle for _, idle in unshown(packets, lambda pts: pts // 2, range(9))), "1 may not decode"


def by_the_rule(path: Path) -> tuple[list[NDArray[np.uint8]], int]:
    """Every picture out of all frames of a file, the last before each moment, and how many frames there are."""
    source = FrameSource(path, Limits(), 1)
    frames = list(source.frames())
    convert = Fitter(source, frames[0], Limits(), None, "rgb24")
    base = source.stream.time_base
    end = source.clock.seconds(frames[-1].pts) + frames[-1].duration * base
    pictures, at = [], 0
    for n in range(int(end * FPS + Fraction(1, 2))):
        while at + 1 < len(frames) and source.clock.seconds(frames[at + 1].pts) < Fraction(2 * n + 1, 2 * FPS):
            at += 1
        pictures.append(convert(frames[at]))
    source.close()
    return pictures, len(frames)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize(("fps", "most"), [(Fraction(30), 0.95), (Fraction(60), 0.85)], ids=str)
def test_pictures_are_those_of_all_frames(shelf: Path, codec: str, fps: Fraction, most: float, threads: int) -> None:
    if not has_encoder(codec):
        pytest.skip(f"no {codec}")
    options = CODED | ({"x265-params": "log-level=none:pools=1"} if codec == "libx265" else {})
    path = shelf / f"{codec}-{fps}.mp4"
    if not path.exists():
        write_footage(path, constant_times(fps, int(4 * fps)), codec=codec, options=options, gop=70)
    wanted, frames = by_the_rule(path)
    before = decoded_frames()
    with GridReader(path, threads=threads, reading=AS_IT_STANDS) as reader:
        got = [frame.pixels for frame in reader]
    assert decoded_frames() - before <= most * frames
    assert len(got) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
    with GridReader(path, 61, 30, threads=threads, reading=AS_IT_STANDS) as reader:
        assert all(np.array_equal(frame.pixels, wanted[frame.n]) for frame in reader)
    with GridReader(path, threads=threads, reading=AS_IT_STANDS) as reader:
        some = list(reader.at([3, 40, 41, 47, 88, 99]))
        assert [frame.n for frame in some] == [3, 40, 41, 47, 88, 99]
        assert all(np.array_equal(frame.pixels, wanted[frame.n]) for frame in some)


class Frame:
    """A decoded one."""

    def __init__(self, interlaced: bool) -> None:
        self.interlaced_frame = interlaced


class Context:
    """Notes what it is told."""

    skip_frame = "NONKEY"


def test_nothing_is_left_out_before_the_first_frame_and_after_an_interlaced_one() -> None:
    context, said = Context(), list[str]()
    economy = Economy(context)
    for idle, out in ((True, []), (True, [Frame(False)]), (True, []), (False, []), (True, [Frame(True)]), (True, [])):
        economy.before(idle)
        said.append(context.skip_frame)
        economy.after(out)
    assert said == ["DEFAULT", "DEFAULT", "NONREF", "DEFAULT", "NONREF", "DEFAULT"]
