"""Pictures are made of all frames of a film, whatever its times and its layers say of which are shown."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.base.units import FPS
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.video import GridReader
from tests.pipeline.media.footage import constant_times, has_encoder, write_footage

B_FRAMES = {"preset": "medium", "bf": "3", "refs": "1"}
LAYERS = {"preset": "medium", "x265-params": "log-level=none:pools=1:temporal-layers=3:bframes=3:b-pyramid=1:keyint=60"}


def timed_as_decoded(path: Path, target: Path) -> Path:
    """The film, of which every packet says that it is shown when it is decoded."""
    with av.open(str(path)) as film, av.open(str(target), "w") as out:
        source = film.streams.video[0]
        stream: Any = out.add_stream_from_template(source)
        first: int | None = None
        for packet in film.demux(source):
            if packet.dts is not None:
                first = packet.dts if first is None else first
                packet.pts = packet.dts = packet.dts - first
                packet.stream = stream
                out.mux(packet)
    return target


def by_the_rule(path: Path) -> list[NDArray[np.uint8]]:
    """Every picture out of all frames of a film, the last before each moment; times that run backwards count for nothing."""
    frames: list[Any] = []
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            if not frames or frame.pts > frames[-1].pts:
                frames.append(frame)
        base = film.streams.video[0].time_base
    zero, last = frames[0].pts, frames[-1]
    pictures, at = [], 0
    for n in range(int((last.pts + last.duration - zero) * base * FPS + Fraction(1, 2))):
        while at + 1 < len(frames) and (frames[at + 1].pts - zero) * base < Fraction(2 * n + 1, 2 * FPS):
            at += 1
        pictures.append(frames[at].to_ndarray(format="gray"))
    return pictures


@pytest.fixture(scope="module", params=["times of decoding", "layers", "sixty a second"])
def film(request: pytest.FixtureRequest, shelf: Path) -> Path:
    codec, options = ("libx265", LAYERS) if request.param == "layers" else ("libx264", B_FRAMES)
    if not has_encoder(codec):
        pytest.skip(f"no {codec}")
    path = shelf / f"whole-{codec}.mp4"
    if not path.exists():
        write_footage(path, constant_times(60, 240), codec=codec, options=options, gop=60)
    if request.param == "times of decoding":
        return timed_as_decoded(path, shelf / "whole-decoded.mp4")
    return path


@pytest.mark.parametrize("threads", [1, 3])
def test_pictures_are_those_of_all_frames(film: Path, threads: int) -> None:
    wanted = by_the_rule(film)
    with GridReader(film, pixel_format="gray", threads=threads, reading=AS_IT_STANDS) as reader:
        got = [frame.pixels for frame in reader]
    assert abs(len(got) - len(wanted)) <= 1
    for n, (ours, theirs) in enumerate(zip(got, wanted, strict=False)):
        assert np.abs(ours.astype(int) - theirs).mean() < 2, f"picture {n}"
