"""Annotation of films that hold pictures: a picture that is shown again is posed once (ours), against every picture (the peer).

The same passage of a real clip at several rates, as a still, and as a screen that is recorded only when something changes; at 25
pictures a second nothing is held. Told beside: how far the points of both are apart, of the people that both see.

python -m tests.bench repeats [--rounds N]
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import Row as TableRow
from pipeline.engine.unit import Unit
from pipeline.media.probe import probe
from pipeline.media.video import GridReader, ffmpeg_exe
from stages.annotate import Annotate, worker
from stages.annotate.worker import AnnotateWorker, Film
from tests.bench.bench_annotate import Nets
from tests.bench.footage import Footage, asset, clip, context, unit
from tests.bench.table import OURS, PEER, Row, contest, rows

SPEAKER = "csgpage_demo1"
FRAMES = 75
FREEZE = "fps=25,loop=40:1:20,setpts=N/25/TB"  # the 20th picture, 40 times more
FILMS = {
    "25 fps": "fps=25",
    "24 fps": "fps=24",
    "12 fps": "fps=12",
    "5 fps": "fps=5",
    "1 fps": "fps=1",
    "still, coded": FREEZE,
    "still, screen": f"{FREEZE},mpdecimate",
}
POINTS = "points that differ, px at 95 %"


class Forgetful(Film):
    """A film of which every picture counts as new."""

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for number, pixels in super().__iter__():
            self.repeats.clear()
            yield number, pixels


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    nets = Nets("nano + lite133", asset("models/yolox_nano_416.onnx"), asset("models/lite133.onnx"), folder, (416, 416))
    source = clip(SPEAKER).path
    for name, chain in FILMS.items():
        yield from compare(filmed(source, folder / f"{name.replace(' ', '')}.mp4", chain, name), nets, folder, rounds)


def filmed(source: Path, target: Path, chain: str, name: str) -> Footage:
    """A clip's first seconds through these filters of ffmpeg; pictures keep the times that the filters give them."""
    call = [ffmpeg_exe(), "-nostdin", "-v", "error", "-y", "-t", "3.2", "-i", str(source), "-an", "-vf", chain]
    coded = ["-fps_mode", "vfr", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"]
    subprocess.run([*call, *coded, str(target)], check=True, timeout=120)
    return Footage(name, target, probe(target))


def compare(footage: Footage, nets: Nets, folder: Path, rounds: int) -> Iterator[Row]:
    """One film: crops that are posed, frames a second, and how far the points are apart."""
    annotator = AnnotateWorker.from_context(
        Annotate(detector=("detector",), pose=("pose",)), context(folder, nets.resolve)
    )
    chosen = unit(footage, 0, FRAMES)
    runs = {OURS: annotated(annotator, chosen, Film), PEER: annotated(annotator, chosen, Forgetful)}
    crops = {name: posed(annotator, run) for name, run in runs.items()}
    costs = contest(runs, rounds, warm=False)
    what = f"annotate {footage.name}, {held(footage)} held of {FRAMES}"
    yield Row(f"{what}: crops", "posed", float(crops[OURS]), float(crops[PEER]))
    yield from rows(what, costs, None, FRAMES)
    if apart := distances(*(run() for run in runs.values())):
        yield Row(f"{what}: {POINTS}", "px", float(np.percentile(apart, 95)), None)


def held(footage: Footage) -> int:
    """Pictures of the grid for which the source has no frame of its own."""
    with GridReader(footage.path, 0, FRAMES) as reader:
        return sum(frame.repeated for frame in reader)


def annotated(annotator: AnnotateWorker, of: Unit, film: type[Film]) -> Callable[[], list[TableRow]]:
    """A clip's rows, by a worker that reads it as such a film."""

    def run() -> list[TableRow]:
        worker.Film = film  # type: ignore[misc]
        try:
            return list(annotator.process(of))
        finally:
            worker.Film = Film  # type: ignore[misc]

    return run


def distances(ours: list[TableRow], peer: list[TableRow]) -> list[float]:
    """Pixels between the points of the same people, where they are not the same."""
    found: list[float] = []
    for one, other in zip(ours, peer, strict=True):
        apart = np.linalg.norm((one["keypoints"] - other["keypoints"]).reshape(-1, 2), axis=1)
        found += apart[np.isfinite(apart) & (apart > 0)].tolist()
    return found


def posed(annotator: AnnotateWorker, run: Callable[[], object]) -> int:
    """Crops that the pose net runs."""
    net: Any = annotator._pose
    found, count = net.run, 0

    def counted(crops: Any) -> Any:
        nonlocal count
        count += len(crops)
        return found(crops)

    vars(net)["run"] = counted
    try:
        run()
    finally:
        del vars(net)["run"]
    return count
