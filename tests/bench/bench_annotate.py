"""Annotation against a loop of rtmlib (the peer) and the bare nets on made-up input in the same batches (the limit).

Ours runs the nets as the registry prepares them, rtmlib the same nets as they were released; a second row has ours with those, too.

python -m tests.bench annotate [--rounds N]
"""

import contextlib
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.base.arrays import Picture
from pipeline.nets.pose import prepare
from pipeline.nets.pose.factory import open_detector
from pipeline.nets.pose.yolox import iou
from pipeline.nets.session import Device, open_session
from stages.annotate import Annotate
from stages.annotate.worker import AnnotateWorker
from tests.bench.footage import SPEAKER, Footage, asset, clip, context, speaker, unit
from tests.bench.table import LIMIT, OURS, PEER, Goal, Row, Skipped, contest, cores, rows

SMALL_FRAMES, BIG_FRAMES = 150, 31
GPU_FRAMES = 251  # of either kind of net
DETECTIONS = 4  # pictures in which people are detected together, once a clip is on its way
SPARSE = 10  # frames from one detection to the next, where people move little


@dataclass(frozen=True)
class Nets:
    """A detector and a pose net on disk, as released and as prepared, and their inputs' sizes (height, width)."""

    name: str
    detector: Path
    pose: Path
    folder: Path
    detector_size: tuple[int, int]
    pose_size: tuple[int, int] = (384, 288)

    def released(self, names: tuple[str, ...]) -> Path:
        return self.detector if names == ("detector",) else self.pose

    def resolve(self, names: tuple[str, ...]) -> Path:
        """The prepared form, made at the first call."""
        path = self.released(names)
        target = self.folder / f"prepared-{path.name}"
        if not target.exists():
            recipe = prepare.detector if names == ("detector",) else prepare.pose
            refused = recipe(path, target)
            assert not refused, f"{path.name} cannot be prepared: {refused}"
        return target


def device() -> Device:
    """cuda where this onnxruntime and this machine have it."""
    import onnxruntime

    there = Path("/proc/driver/nvidia/version").exists()
    return "cuda" if there and "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    rtmlib_is_here()
    try:
        yield from small(folder, rounds)
    except Skipped as reason:
        print(f"annotate with small nets: skipped: {reason}", flush=True)
    yield from large(folder, max(1, rounds // 2))
    try:
        yield alike(folder)
    except Skipped as reason:
        print(f"boxes of prepared detectors: skipped: {reason}", flush=True)


def small(folder: Path, rounds: int) -> Iterator[Row]:
    """Nets for a processor without a GPU."""
    nets = Nets("nano + lite133", asset("models/yolox_nano_416.onnx"), asset("models/lite133.onnx"), folder, (416, 416))
    yield from compare(clip(SPEAKER), nets, SMALL_FRAMES, rounds, folder, Goal("share", 0.9))


def large(folder: Path, rounds: int) -> Iterator[Row]:
    """Nets of the size that people use, made by code."""
    from tests.bench.big_nets import build_detector, build_pose_net

    nets = Nets("large nets", build_detector(folder / "d.onnx"), build_pose_net(folder / "p.onnx"), folder, (640, 640))
    yield from compare(speaker(folder), nets, BIG_FRAMES, rounds, folder, Goal("ratio", 5.5), sparse=True)


def alike(folder: Path) -> Row:
    """How much the boxes of a prepared detector lie on the released one's: every 25th picture of every real clip."""
    nets = Nets("nano", asset("models/yolox_nano_416.onnx"), asset("models/lite133.onnx"), folder, (416, 416))
    before, after = (open_detector(path, threads=cores()) for path in (nets.detector, nets.resolve(("detector",))))
    shares: list[float] = []
    for path in sorted(asset("clips").glob("*.mp4")):
        for picture in every_25th(path):
            (old,), (new,) = before.detect([picture]), after.detect([picture])
            if len(old):
                shares += iou(old, new).max(1, initial=0.0).tolist()
    assert shares, "nobody is in any clip"
    what = f"boxes on the fitted canvas, {len(shares)} of nano"
    return Row(what, "median IoU", float(np.median(shares)), samples={OURS: shares})


def every_25th(path: Path) -> Iterator[Picture]:
    capture = cv2.VideoCapture(str(path))
    for number in itertools.count():
        there, picture = capture.read()
        if not there:
            return
        if number % 25 == 0:
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def compare(
    footage: Footage, nets: Nets, frames: int, rounds: int, folder: Path, goal: Goal, *, sparse: bool = False
) -> Iterator[Row]:
    """One contest; with `sparse`, ours once more with fewer detections."""
    on_gpu = device() == "cuda"
    frames = GPU_FRAMES if on_gpu else frames
    stage = Annotate(detector=("detector",), pose=("pose",))
    ours = annotate(stage, footage, nets.resolve, frames, folder)
    work = ours()
    contestants: dict[str, Callable[[], object]] = {
        OURS: ours,
        PEER: rtmlib_loop(footage, nets, frames),
        LIMIT: bare_nets(nets, work),
        "released": annotate(stage, footage, nets.released, frames, folder),
    }
    if sparse:
        seldom = stage.model_copy(update={"detect_every_frames": SPARSE})
        contestants["sparse"] = annotate(seldom, footage, nets.resolve, frames, folder)
        contestants["sparse limit"] = bare_nets(nets, replace(work, pictures=-(-(frames - 1) // SPARSE) + 1))
    # Runs are long; on a processor the first does not stand out. A GPU's tries out convolutions.
    costs = contest(contestants, rounds, warm=on_gpu)
    what = f"annotate {footage.name}, {nets.name}" + (", GPU" if on_gpu else "")
    yield from rows(what, {name: costs[name] for name in (OURS, PEER, LIMIT)}, goal, frames)
    yield from rows("... nets as released", {OURS: costs["released"], PEER: costs[PEER]}, None, frames)
    if sparse:
        fewer = {OURS: costs["sparse"], PEER: costs[PEER], LIMIT: costs["sparse limit"]}
        yield from rows(f"... detecting every {SPARSE} frames, not {stage.detect_every_frames}", fewer, None, frames)


@dataclass(frozen=True)
class Work:
    """What the nets were asked."""

    pictures: int
    people: int
    detector_batch: int
    pose_batch: int
    canvas: tuple[int, int]


def annotate(
    stage: Annotate, footage: Footage, resolve: Callable[[tuple[str, ...]], Path], frames: int, folder: Path
) -> Callable[[], Work]:
    """The whole stage on one clip; `resolve` finds its nets."""
    worker = AnnotateWorker.from_context(stage, context(folder, resolve, device()))
    detector, pose = worker._detector, worker._pose
    asked = {"pictures": 0, "people": 0}
    detect, run_pose = detector.detect, pose.run

    def counted_detect(pictures: Any) -> Any:
        asked["pictures"] += len(pictures)
        return detect(pictures)

    def counted_run(crops: Any) -> Any:
        asked["people"] += len(crops)
        return run_pose(crops)

    vars(detector)["detect"], vars(pose)["run"] = counted_detect, counted_run  # before the methods of their classes
    chosen = unit(footage, 0, frames)

    def run() -> Work:
        asked.update(pictures=0, people=0)
        [*people] = worker.process(chosen)
        assert people, "nobody was found"
        canvas = detector.canvas((footage.facts.height, footage.facts.width))
        return Work(asked["pictures"], asked["people"], min(DETECTIONS, detector.batch), pose.batch, canvas)

    return run


def bare_nets(nets: Nets, work: Work) -> Callable[[], None]:
    """As many pictures and people through the same sessions' kind, in full batches, with nothing around them."""
    rng = np.random.default_rng(405)
    detector, pose = (open_session(nets.resolve((name,)), device(), cores()) for name in ("detector", "pose"))
    jobs = []
    sides = ((detector, work.pictures, work.detector_batch, work.canvas),
             (pose, work.people, work.pose_batch, nets.pose_size))  # fmt: skip
    for session, count, batch, size in sides:
        tensor = rng.integers(0, 256, (batch, *size, 3), np.uint8)
        name = session.get_inputs()[0].name
        jobs += [(session, {name: tensor})] * (count // batch)
        if count % batch:
            jobs.append((session, {name: tensor[: count % batch]}))

    def run() -> None:
        for session, feed in jobs:
            session.run(None, feed)

    return run


def rtmlib_is_here() -> None:
    try:
        import rtmlib  # noqa: F401
    except ImportError as error:
        raise Skipped("rtmlib is not installed: pip install --no-deps rtmlib==0.0.16 tqdm") from error


def rtmlib_loop(footage: Footage, nets: Nets, frames: int) -> Callable[[], None]:
    """What its users write: each frame of the file through `rtmlib.Wholebody`'s two steps, with the same nets."""
    from rtmlib import YOLOX, RTMPose

    with contextlib.redirect_stdout(io.StringIO()):  # they announce themselves
        find = YOLOX(str(nets.detector), model_input_size=nets.detector_size, score_thr=0.3, device=device())
        pose = RTMPose(str(nets.pose), model_input_size=nets.pose_size[::-1], device=device())

    def run() -> None:
        capture = cv2.VideoCapture(str(footage.path))
        for _ in range(frames):
            there, picture = capture.read()
            assert there, "the file is shorter"
            pose(picture, bboxes=find(picture))
        capture.release()

    return run
