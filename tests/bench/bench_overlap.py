"""Overlapped speech against pyannote's own Inference (the peer) and the bare net at its best batch (the limit).

python -m tests.bench overlap [--rounds N]

Figures are seconds an hour of sound. The net has the layers and sizes of segmentation-3.0, and random weights: its cost counts,
not its answers.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.base.units import SAMPLE_RATE
from pipeline.engine.unit import Unit
from pipeline.media.probe import probe
from pipeline.media.video import write_video
from pipeline.nets.session import open_session
from stages.overlap import Overlap
from tests.bench.footage import CLIP, VIDEO, Footage, ready
from tests.bench.table import LIMIT, OURS, PEER, Cost, Goal, Row, Skipped, contest, cores, cost_of, rows

SECONDS = 60  # of sound
CLIP_FRAMES = 250
WINDOW, BATCHES = 10 * SAMPLE_RATE, (1, 4, 8, 16, 32, 64)


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    net, checkpoint = nets(folder)
    video = film(folder)
    best, costs = best_batch(net)
    print(f"seconds of 64 windows by batch: {', '.join(f'{n}: {s:.2f}' for n, s in costs.items())}", flush=True)
    contestants = {
        OURS: stage(Overlap(net=("net",)), video, net, folder),
        PEER: stage(Overlap(backend="pyannote", batch=best), video, checkpoint, folder),
        LIMIT: bare_net(net, best, SECONDS - 9),
    }
    found = contest(contestants, rounds, warm=False)
    yield from rows("overlap, an hour of sound", an_hour(found), Goal("share", 0.8))


def nets(folder: Path) -> tuple[Path, Path]:
    """ONNX file and checkpoint of one random net."""
    from pipeline.nets.sound.pyannote_segmentation import import_pyannote
    from tests.pipeline.nets.sound.little_pyannet import export, random_net, save_checkpoint

    try:
        import_pyannote()
    except ImportError as error:
        raise Skipped(str(error)) from error
    net = random_net(lstm={"hidden_size": 128, "num_layers": 4}, linear={"hidden_size": 128, "num_layers": 2})
    return export(net, folder / "net.onnx"), save_checkpoint(net, folder / "net.bin")


def film(folder: Path) -> Footage:
    """Black pictures with noise."""
    path = folder / "noise.mp4"
    wave = 0.1 * np.random.default_rng(405).standard_normal(SECONDS * SAMPLE_RATE, np.float32)
    write_video(path, (np.zeros((32, 32, 3), np.uint8) for _ in range(25 * SECONDS)), wave, size=(32, 32))
    return Footage("noise", path, probe(path))


def stage(stage: Overlap, video: Footage, net: Path, folder: Path) -> Callable[[], None]:
    """The whole stage on all clips of the video."""
    worker = ready(stage, folder, lambda names: net)
    firsts = range(0, 25 * SECONDS, CLIP_FRAMES)
    clips = [{"clip_id": f"{CLIP}{at}", "video_id": VIDEO, "first_frame": at, "frames": CLIP_FRAMES} for at in firsts]
    unit = Unit(VIDEO, {"clips": clips, "videos": [video.row()]})

    def run() -> None:
        assert len(list(worker.process(unit))) == len(clips)

    return run


def bare_net(net: Path, batch: int, windows: int) -> Callable[[], None]:
    """As many windows of noise through the net, in batches of this size, with nothing around it."""
    session = open_session(net, "cpu", cores())
    noise = np.random.default_rng(1).standard_normal((batch, 1, WINDOW), np.float32)
    sizes = [batch] * (windows // batch) + [windows % batch] * (windows % batch > 0)

    def run() -> None:
        for size in sizes:
            session.run(["y"], {"x": noise[:size]})

    return run


def best_batch(net: Path) -> tuple[int, dict[int, float]]:
    """The batch at which the bare net is fastest, and the seconds of each."""
    costs = {n: statistics.median(cost_of(bare_net(net, n, 64)).wall for _ in range(2)) for n in BATCHES}
    return min(costs, key=lambda n: costs[n]), costs


def an_hour(found: Mapping[str, list[Cost]]) -> dict[str, list[Cost]]:
    """The same costs for an hour of sound."""
    more = 3600 / SECONDS
    return {name: [Cost(cost.wall * more, cost.cpu * more) for cost in costs] for name, costs in found.items()}
