"""What a GPU makes of annotation and of training, in parts of at most 90 s, the most valuable first, six minutes together.

python -m tests.bench gpu [--part server|train|stage|half|nets|sessions] [--out FILE]

A part runs in processes of its own, and is cut when its time is over, whatever it does. Nothing is downloaded: nets of the size of
YOLOX-l and DWPose-l, footage of 1280 x 720, and skeletons to train on are made here. Where there is no GPU the same lines run with
little nets on the processor, so that no minute of a GPU is spent on a typing error. Peers: `bench_annotate`, `bench_train`.
"""

import multiprocessing
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.engine.executors.forked import data_bytes
from pipeline.media.probe import probe
from pipeline.media.video import write_video
from pipeline.nets import session as sessions_room
from pipeline.nets.card import CannotAsk, free_bytes
from pipeline.nets.pose import prepare
from pipeline.nets.server.client import open_net
from pipeline.nets.server.held import How
from pipeline.nets.server.keeper import Keeper
from pipeline.nets.server.wire import Address
from pipeline.nets.session import open_session
from stages.annotate import Annotate
from stages.annotate.worker import AnnotateWorker
from tests.bench import bench_train
from tests.bench.bench_annotate import device
from tests.bench.big_nets import build_corner, build_detector, build_pose_net
from tests.bench.footage import Footage, context, unit
from tests.bench.half_precision import halves, moved
from tests.bench.parts import Times, told
from tests.bench.table import Goal, Row, Skipped, cores

PART_SECONDS = 90.0
TIMES = Times(PART_SECONDS, together=360.0, least=30.0)
WIDTH, HEIGHT, FRAMES = 1280, 720, 251
LITTLE_FRAMES = 17
CANVAS = (384, 640)
SEARCHES = ("HEURISTIC", "DEFAULT", "EXHAUSTIVE")
FRAMES_A_SECOND = 850  # 405 h of clips in 12 h, on one GPU


@dataclass(frozen=True)
class Bench:
    """What parts share.

    Attributes:
        nets: {"detector", "pose"}: prepared files; none for a part that looks at no pictures.
        frames: of the film.
        seconds: for which a measurement runs.
    """

    folder: Path
    nets: Mapping[str, Path] = field(default_factory=dict)
    film: Path = Path()
    frames: int = 0
    seconds: float = 0.0

    @property
    def on_gpu(self) -> bool:
        return device() == "cuda"

    def resolve(self, names: tuple[str, ...]) -> Path:
        return self.nets[names[0]]


def measured(folder: Path, parts: Sequence[str]) -> Iterator[Row]:
    """Rows as they become known; a part that there is no time for is told.

    Args:
        parts: names of `PARTS`; all where there is none.
    """
    if unknown := set(parts) - {*PARTS}:
        raise Skipped(f"no part is called {', '.join(sorted(unknown))}: {', '.join(PARTS)}")
    names = [*(parts or PARTS)]
    bench = Bench(folder) if names == ["train"] else made(folder)
    yield from told({name: partial(PARTS[name], bench) for name in names}, TIMES)


def made(folder: Path) -> Bench:
    """Nets of full size where there is a GPU, else little ones; footage with moving bands."""
    on_gpu = device() == "cuda"
    frames = FRAMES if on_gpu else LITTLE_FRAMES
    if on_gpu:
        released = {"detector": build_detector(folder / "d.onnx"), "pose": build_pose_net(folder / "p.onnx")}
    else:
        little = (8, 8, 16, 16)
        released = {
            "detector": build_detector(folder / "d.onnx", 0.05, little),
            "pose": build_pose_net(folder / "p.onnx", 0.1, little),
        }
    nets = {}
    for name, path in released.items():
        nets[name] = path.with_name(f"prepared-{path.name}")
        refused = (prepare.detector if name == "detector" else prepare.pose)(path, nets[name])
        assert not refused, f"{path.name} cannot be prepared: {refused}"
    film = folder / "film.mp4"
    bands = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint32).reshape(HEIGHT, WIDTH, 3) // 999
    pictures = ((bands + 3 * number).astype(np.uint8) for number in range(frames))
    write_video(film, pictures, None, size=(WIDTH, HEIGHT))
    return Bench(folder, nets, film, frames, 3.0 if on_gpu else 0.2)


def sessions(bench: Bench) -> Iterator[Row]:
    """How long until a worker's first clip: opening both nets, and their first run."""
    for name, path in bench.nets.items():
        began = time.perf_counter()
        session = open_session(path, device(), 1)
        opened = time.perf_counter() - began
        yield Row(f"{name}: opened on {session.get_providers()[0]}", "s", opened)
        began = time.perf_counter()
        session.run(None, feed(session, 1))
        yield Row(f"{name}: first run", "s", time.perf_counter() - began)
    yield Row("private memory of this process, as it is limited", "GB", data_bytes() / 1e9)
    try:
        yield Row("memory of the card that is free", "GB", free_bytes() / 1e9)
    except CannotAsk as error:
        print(f"gpu, sessions: the card's memory cannot be asked: {error}", flush=True)


def bare(bench: Bench) -> Iterator[Row]:
    """Pictures and people a second through the nets alone, by batch; on a GPU, by search of algorithms, too."""
    for search in SEARCHES if bench.on_gpu else SEARCHES[:1]:
        before = dict(sessions_room.OPTIONS["cuda"])
        sessions_room.OPTIONS["cuda"]["cudnn_conv_algo_search"] = search
        try:
            for name, path in bench.nets.items():
                session = open_session(path, device(), 1)
                for batch in (1, 4, 8) if name == "detector" else (16, 64):
                    how = f", {search.lower()}" if bench.on_gpu else ""
                    yield from rate(bench, f"{name}, batch {batch}{how}", session, batch)
        finally:
            sessions_room.OPTIONS["cuda"].update(before)


def half(bench: Bench) -> Iterator[Row]:
    """Nets in half precision beside single: their rates, and how far their points move."""
    for name, path in halves(bench.folder, bench.nets).items():
        batch = (8 if name == "detector" else 64) if bench.on_gpu else 2
        for precision, file in (("single", bench.nets[name]), ("half", path)):
            session = open_session(file, device(), 1)
            yield from rate(bench, f"{name}, batch {batch}, {precision} precision", session, batch)
    yield from moved(bench.folder, "cuda" if bench.on_gpu else "cpu", 24 if bench.on_gpu else 3)


def rate(bench: Bench, what: str, session: Any, batch: int) -> Iterator[Row]:
    """The first run of a shape, which pays for the search, and the rate after it."""
    inputs = feed(session, batch)
    began = time.perf_counter()
    session.run(None, inputs)
    yield Row(f"{what}: first run", "s", time.perf_counter() - began)
    runs, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < bench.seconds:
        session.run(None, inputs)
        runs += 1
    yield Row(what, "a second", runs * batch / spent)


def feed(session: Any, batch: int) -> dict[str, np.ndarray]:
    """Noise of the input's form: (N, H, W, 3) bytes."""
    source = session.get_inputs()[0]
    size = [side if isinstance(side, int) else most for side, most in zip(source.shape[1:3], CANVAS, strict=True)]
    return {source.name: np.random.default_rng(405).integers(0, 256, (batch, *size, 3), np.uint8)}


def stage(bench: Bench) -> Iterator[Row]:
    """The whole stage with several workers on one card, each with nets of its own."""
    for workers in (1, 4, 8, 16) if bench.on_gpu else (1, 2):
        yield from together(bench, workers, f"annotate, {workers} workers")


def server(bench: Bench) -> Iterator[Row]:
    """The same with one server of nets behind the workers; and what it costs to hand a crop over."""
    yield handed_over(bench)
    for workers in (14, 8, 4) if bench.on_gpu else (2, 4):
        with Keeper(_how(bench), 1, _nothing) as address:
            yield from together(bench, workers, f"annotate, a server and {workers} decoders", address)


def together(bench: Bench, workers: int, what: str, server: Address | None = None) -> Iterator[Row]:
    """Frames and processor seconds of workers that annotate at the same time, and how busy the card is."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(workers)
    with ProcessPoolExecutor(workers, spawn, _hold, (barrier,)) as pool:
        began = time.perf_counter()
        futures = [pool.submit(_annotate_for, bench, 3 * bench.seconds, server) for _ in range(workers)]
        card = _card(futures) if bench.on_gpu else None
        done = [future.result() for future in futures]
    frames, cpu = sum(one[0] / one[1] for one in done), sum(one[2] for one in done)
    yield Row(f"{what}: ready after", "s", time.perf_counter() - began - done[0][1])
    yield Row(what, "frames/s", frames, goal=Goal("rate", FRAMES_A_SECOND) if bench.on_gpu else None)
    yield Row(f"{what}: their processor", "CPU s/1000", 1000 * cpu / sum(one[0] for one in done))
    if card:
        yield Row(f"{what}: card busy", "%", card[0])
        yield Row(f"{what}: memory of the card", "GB", card[1])


def handed_over(bench: Bench) -> Row:
    """Microseconds a crop, of sixteen, through a net that looks at its corner alone: a server's, against a session of our own."""
    path = build_corner(bench.folder / "corner.onnx")
    crops = {"crops": np.random.default_rng(405).integers(0, 256, (16, 384, 288, 3), np.uint8)}
    with Keeper(_how(bench), 1, _nothing) as address:
        served, own = open_net(path, server=address, together=True), open_session(path, device(), 1)
        took: dict[str, list[float]] = {"served": [], "own": []}
        for _ in range(20):
            for name, session in (("served", served), ("own", own)):
                began = time.perf_counter()
                session.run(None, crops)
                took[name].append(1e6 * (time.perf_counter() - began) / len(crops["crops"]))
    ours, limit = (statistics.median(took[name][5:]) for name in ("served", "own"))
    return Row("a crop through a net that does nothing", "us", ours, limit=limit)


def train(bench: Bench) -> Iterator[Row]:
    """A step of the paper's whole batch; eager first, for compiling may take the rest of the time."""
    yield from bench_train.steps_alone(bench.folder)


def _how(bench: Bench) -> How:
    return How.on(device(), 1 if bench.on_gpu else cores(), PART_SECONDS)


def _nothing() -> None:
    """No limits."""


_barrier: Barrier | None = None


def _hold(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _annotate_for(bench: Bench, seconds: float, server: Address | None) -> tuple[int, float, float]:
    """Frames that one worker annotates while all others do, the seconds in which it does, and its processor seconds."""
    run = Annotate(detector=("detector",), pose=("pose",))
    here = replace(context(bench.folder, bench.resolve, device()), net_server=server)
    worker = AnnotateWorker.from_context(run, here)
    clip = unit(Footage("made here", bench.film, probe(bench.film)), 0, bench.frames)
    assert list(worker.process(clip)), "nobody was found"
    assert _barrier is not None, "`_hold` begins every process"
    _barrier.wait(PART_SECONDS)
    frames, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        list(worker.process(clip))
        frames += bench.frames
    return frames, time.perf_counter() - began, time.process_time() - cpu


def _card(futures: Sequence[Any]) -> tuple[float, float] | None:
    """The highest share of time in which the card was busy, %, and its memory in use, GB, until the first worker ends."""
    asked = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--id=0"]
    seen: list[tuple[float, float]] = []
    while not any(future.done() for future in futures):
        try:
            text = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        busy, memory = (float(value) for value in text.strip().split(","))
        seen.append((busy, memory / 1000))
        time.sleep(0.5)
    return (max(one[0] for one in seen), max(one[1] for one in seen)) if seen else None


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "server": server,
    "train": train,
    "stage": stage,
    "half": half,
    "nets": bare,
    "sessions": sessions,
}
