"""Half precision against single: how fast, and how far points move; a part of `bench_gpu`.

python -m tests.bench.half_precision (on a processor: how far, over all pictures, with values rounded and with weights alone)

Speed is that of nets of full size, whose answers are planted and do not move. How far points move is told of small released nets,
on drawn pictures and on real clips, where they are among the assets.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.base.arrays import Floats64, Picture
from pipeline.nets.pose import prepare
from pipeline.nets.pose.half import trial
from pipeline.nets.pose.half.graph import halved, share_of
from pipeline.nets.pose.half.pictures import COUNT, pictures
from pipeline.nets.pose.yolox import Detector
from pipeline.nets.session import Device, open_session
from tests.bench.footage import ASSETS
from tests.bench.rounded import rounded
from tests.bench.table import Row

SMALL: Mapping[trial.Kind, str] = {"detector": "models/yolox_nano_416.onnx", "pose": "models/lite133.onnx"}
CLIPS = ("csgpage_demo1", "csgpage_demo3", "facerec_hamilton", "mmpose_demo", "signpose_test", "dj_video4")
HEIGHT, EVERY = 720, 25


def halves(folder: Path, nets: Mapping[str, Path]) -> dict[str, Path]:
    """Nets in half precision, whatever a trial would say."""
    made = {}
    for name, path in nets.items():
        made[name] = folder / f"half-{path.name}"
        made[name].write_bytes(halved(path.read_bytes()).SerializeToString())
    return made


def moved(folder: Path, device: Device, most: int, *, values: bool = True) -> Iterator[Row]:
    """How far the points of released nets move, %.

    Args:
        folder: for prepared nets.
        device: that rounds.
        most: pictures of each kind.
        values: on a processor round every value as a GPU does, by arithmetic; else weights alone, as onnxruntime does there.
    """
    boxes: list[Floats64] = []
    shown: list[Picture] = []
    for kind, name in SMALL.items():
        if not (ASSETS / name).is_file():
            print(f"gpu, half: {name} is not among the assets (CSG405_TEST_ASSETS), and is left out", flush=True)
            continue
        net = folder / Path(name).name
        refused = (prepare.detector if kind == "detector" else prepare.pose)(ASSETS / name, net)
        assert not refused, refused
        single = net.read_bytes()
        model = halved(single)
        half = (rounded(model) if values and device == "cpu" else model).SerializeToString()
        if kind == "detector":
            shown = clips(most)
            boxes = [np.asarray(one[:, :4], np.float64) for one in Detector(open_session(single, device)).detect(shown)]
        counts = share_of(model)
        yield Row(f"{net.stem}: convolutions in half precision", "%", 100 * counts["half"] / sum(counts.values()))
        yield from _told(kind, net.stem, single, half, device, {"drawn": _drawn(most), "clips": (shown, boxes)})


Seen = tuple[Sequence[Picture], Sequence[Floats64]]


def _drawn(most: int) -> Seen:
    seen, boxes = pictures()
    return seen[:most], boxes[:most]


def _told(
    kind: trial.Kind, name: str, single: bytes, half: bytes, device: Device, seen: Mapping[str, Seen]
) -> Iterator[Row]:
    for where, (shown, boxes) in seen.items():
        if kind == "detector":
            distances = trial.corners(single, half, device, shown)
        else:
            distances = trial.keypoints(single, half, device, shown, boxes)
        if len(distances):
            near = float((distances <= trial.NEAR_PX).mean())
            what = f"{name}, {where}: of {len(distances)} points within {trial.NEAR_PX} px"
            yield Row(what, "%", 100 * near)
            yield Row(f"{name}, {where}: median distance", "px", float(np.nanmedian(distances)))


def clips(most: int) -> list[Picture]:
    """Pictures of real clips, one a second, 720 lines high, so many in all; none where there are no such assets."""
    found: list[Picture] = []
    for name in CLIPS:
        path = ASSETS / "clips" / f"{name}.mp4"
        if path.is_file():
            found += _pictures(path, -(-most // len(CLIPS)))
    return found[:most]


def _pictures(path: Path, count: int) -> Iterator[Picture]:
    with av.open(str(path)) as film:
        for number, frame in enumerate(film.decode(video=0)):
            if number >= EVERY * count:
                return
            if number % EVERY == 0:
                picture = frame.to_ndarray(format="rgb24")
                width = round(HEIGHT * picture.shape[1] / picture.shape[0])
                yield np.asarray(cv2.resize(picture, (width, HEIGHT)), np.uint8)


def main() -> None:
    """Print a table of the processor's figures."""
    for values in (False, True):
        print("every value rounded, as by a GPU" if values else "weights alone rounded, as by a processor", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for row in moved(Path(folder), "cpu", COUNT, values=values):
                print(f"  {row.what:72} {row.ours:8.2f} {row.unit}", flush=True)


if __name__ == "__main__":
    main()
