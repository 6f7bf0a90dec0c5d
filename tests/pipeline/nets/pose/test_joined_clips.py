"""Two real speakers joined in one shot, as where a cut or a dissolve was missed, are two tracks with real nets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.probe import probe
from pipeline.media.video import GridReader
from pipeline.nets.pose.factory import open_detector, open_pose
from pipeline.nets.pose.whole_body import annotate_frames
from tests.bench import planted_shots
from tests.pipeline.nets.fakes import asset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = {kind.name: kind for kind in planted_shots.KINDS}
PAIRS = [
    ("csgpage_demo2", "csgpage_demo3", "hard cut"),
    ("csgpage_demo4", "latentsync_demo1", "hard cut"),
    ("latentsync_demo1", "latentsync_demo2", "dissolve 0.48 s"),
    ("csgpage_demo3", "csgpage_demo4", "dissolve 1 s"),
]
STRAY = 3  # frames of the other person that a track may have: its points there are of both


@pytest.mark.parametrize(("one", "other", "kind"), PAIRS)
def test_two_speakers_are_two_tracks(one: str, other: str, kind: str, tmp_path: Path) -> None:
    films = [planted_shots.small(asset(f"clips/{name}.mp4"), tmp_path) for name in (one, other)]
    lengths = tuple(probe(film).grid_frames for film in films)
    film = planted_shots.planted(KINDS[kind], *films, (lengths[0], lengths[1]), tmp_path)
    detector, pose = open_detector(asset("models/yolox_nano_416.onnx")), open_pose(asset("models/lite133.onnx"))

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        with GridReader(film.path, 0, film.frames) as reader:
            yield from ((k, frame.pixels) for k, frame in enumerate(reader))

    first, stop = film.mixed
    sides = [(int(t.seen[:first].sum()), int(t.seen[stop:].sum())) for t in annotate_frames(frames(), detector, pose)]
    print(f"{one}, {other}, {kind}: frames before and after by track {sides}")
    assert all(min(side) <= STRAY for side in sides), "no track goes from one to the other"
    assert max(before for before, _ in sides) > 0.9 * first
    assert max(after for _, after in sides) > 0.9 * (film.frames - stop)
