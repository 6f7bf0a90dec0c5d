"""Lip-sync against syncnet-python: its whole pipeline and its `evaluate()` alone (peers), and the bare net (the limit).

python -m tests.bench lip_sync [--rounds N]

Nets have SyncNet's and S3FD's sizes and random weights: their cost counts, not their answers. S3FD runs on every frame, as the
pipeline has it, and is then told where the face is, so that what follows has something to work on.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import soundfile

from pipeline.media.audio import read_wave
from pipeline.media.video import GridReader, ffmpeg_exe, write_video
from pipeline.nets.session import open_session
from pipeline.nets.syncnet import SIDE, WINDOW, SyncNet, to_onnx, windows_of
from pipeline.skeleton.face_crop import cut_face, face_boxes, face_track
from pipeline.theatre import Film, take_named
from stages.lip_sync import LipSync
from tests.bench.footage import CLIP, VIDEO, Footage, ready, take, unit
from tests.bench.table import LIMIT, OURS, PEER, Goal, Row, Skipped, contest, cores, cost_of, rows

TAKE, FRAMES = "talk-1", 100  # four seconds
BATCHES = (4, 8, 16, 32)


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    syncnet, s3fd = reference_nets()
    state = {name: value.numpy() for name, value in syncnet.state_dict().items()}
    net = folder / "syncnet.onnx"
    net.write_bytes(to_onnx(state))
    whole, footage = person(), take(folder, TAKE)
    ours = stage(footage, whole, net, folder)
    best = min(BATCHES, key=lambda size: cost_of(bare(net, size)).wall)
    crops = cropped(footage, whole)
    contestants: dict[str, Callable[[], object]] = {
        OURS: ours,
        PEER: pipeline(footage, whole, syncnet, s3fd, folder),
        LIMIT: bare(net, best),
        "evaluate": evaluate(crops, footage, syncnet, folder),
        "net part": net_part(net, crops, footage),
    }
    found = contest(contestants, rounds, warm=False)
    yield from rows("lip-sync, 4 s clip, whole", {k: found[k] for k in (OURS, PEER, LIMIT)}, Goal("ratio", 10), FRAMES)
    part = {OURS: found["net part"], PEER: found["evaluate"], LIMIT: found[LIMIT]}
    yield from rows("lip-sync, 4 s clip, from crops to score", part, Goal("share", 0.9), FRAMES)


def reference_nets() -> tuple[Any, Any]:
    """SyncNet and S3FD with random weights."""
    try:
        import torch
        from syncnet_python.detectors.s3fd.nets import S3FDNet
        from syncnet_python.SyncNetModel import S
    except ImportError as error:
        raise Skipped(f"needs syncnet-python and torch: {error}") from error
    torch.manual_seed(405)
    torch.set_num_threads(cores())
    syncnet, s3fd = S().eval(), S3FDNet(device="cpu").eval()
    for layer in s3fd.conf:  # sees no face anywhere, so that no false one has to be sorted out
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, -9.0)
        with torch.no_grad():
            layer.bias[-2] = 9.0
    return syncnet, s3fd


def person() -> dict[str, Any]:
    """The puppet of the take, as a row of `persons`."""
    truth = Film(take_named(TAKE), 405).truth()
    points = truth.keypoints[0][:FRAMES].astype(np.float32)
    ids = {"person_id": f"{CLIP}#0", "clip_id": CLIP, "video_id": VIDEO, "frames": FRAMES}
    return {**ids, "keypoints": points.reshape(FRAMES, -1), "scores": np.full((FRAMES, 133), 0.9, np.float32)}


def track_of(whole: dict[str, Any]) -> tuple[np.ndarray, Any]:
    boxes = face_boxes(whole["keypoints"].reshape(FRAMES, -1, 2), whole["scores"])
    return boxes, face_track(boxes)


def cropped(footage: Footage, whole: dict[str, Any]) -> np.ndarray:
    """(100, 224, 224, 3) BGR."""
    _, track = track_of(whole)
    with GridReader(footage.path, 0, FRAMES) as reader:
        return np.stack([cut_face(picture.pixels, track, picture.n)[..., ::-1] for picture in reader])


def stage(footage: Footage, whole: dict[str, Any], net: Path, folder: Path) -> Callable[[], object]:
    """The whole stage: decoding, crops, sound, nets, score."""
    worker = ready(LipSync(), folder, lambda names: net)
    work = unit(footage, 0, FRAMES, persons=whole)
    return lambda: list(worker.process(work))


def bare(net: Path, batch: int) -> Callable[[], None]:
    """As many windows through both towers, in runs of this size, with nothing around them."""
    session, windows = open_session(net, "cpu", cores()), windows_of(FRAMES)
    lips = np.zeros((1, batch + WINDOW - 1, SIDE, SIDE, 3), np.uint8)
    mfcc = np.zeros((windows, 1, 13, 20), np.float32)
    sizes = [batch] * (windows // batch) + [windows % batch] * (windows % batch > 0)

    def run() -> None:
        for size in sizes:
            session.run(["lip"], {"lips": lips[:, : size + WINDOW - 1], "mfcc": mfcc[:0]})
        session.run(["sound"], {"lips": lips[:0], "mfcc": mfcc})

    return run


def net_part(net: Path, crops: np.ndarray, footage: Footage) -> Callable[[], object]:
    """What `evaluate()` does, from the same crops and sound."""
    from pipeline.nets.syncnet import distances, score

    found, wave = SyncNet(open_session(net, "cpu", cores())), read_wave(footage.path)
    assert wave is not None
    windows, step = windows_of(FRAMES), 16

    def run() -> object:
        starts = range(0, windows, step)
        lips = [found.lips(crops[None, at : min(at + step, windows) + WINDOW - 1])[0] for at in starts]
        return score(distances(np.concatenate(lips), found.sound(wave[: FRAMES * 640], windows)))

    return run


def evaluate(crops: np.ndarray, footage: Footage, syncnet: Any, folder: Path) -> Callable[[], object]:
    from syncnet_python.SyncNetInstance import SyncNetInstance

    place = folder / "crops"
    place.mkdir(exist_ok=True)
    for number, crop in enumerate(crops):
        cv2.imwrite(str(place / f"{number:06d}.jpg"), crop)
    wave = read_wave(footage.path)
    assert wave is not None
    soundfile.write(place / "audio.wav", wave[: FRAMES * 640], 16_000, subtype="PCM_16")
    options = SimpleNamespace(tmp_dir=str(place), batch_size=20, vshift=15)
    return quietly(lambda: SyncNetInstance(syncnet, device="cpu").evaluate(options))


def pipeline(footage: Footage, whole: dict[str, Any], syncnet: Any, s3fd: Any, folder: Path) -> Callable[[], object]:
    """syncnet-python's own way from a file to the score."""
    import torch
    from syncnet_python import SyncNetPipeline

    boxes, _ = track_of(whole)
    torch.save(s3fd.state_dict(), folder / "s3fd.pth")
    torch.save(syncnet.state_dict(), folder / "syncnet.model")
    (folder / "bin").mkdir(exist_ok=True)
    link = folder / "bin" / "ffmpeg"
    link.unlink(missing_ok=True)
    link.symlink_to(ffmpeg_exe())
    short = folder / "short.mp4"
    with GridReader(footage.path, 0, FRAMES) as reader:
        wave = read_wave(footage.path)
        assert wave is not None
        size = footage.facts.width, footage.facts.height
        write_video(short, (picture.pixels for picture in reader), wave[: FRAMES * 640], size=size)
    given = {"s3fd_weights": str(folder / "s3fd.pth"), "syncnet_weights": str(folder / "syncnet.model")}
    peer = SyncNetPipeline({**given, "ffmpeg_bin": str(link)}, device="cpu")
    detect = peer.s3fd.detect_faces
    seen: Iterator[int] = iter(())

    def told(*arguments: Any, **options: Any) -> list[np.ndarray]:
        detect(*arguments, **options)
        return [np.append(boxes[next(seen)], 1.0)]

    peer.s3fd.detect_faces = told

    def run() -> object:
        nonlocal seen
        seen = iter([min(n, FRAMES - 1) for n in range(FRAMES + 5)])
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{link.parent}{os.pathsep}{before}"
        try:
            found = peer.inference(str(short), cache_dir=str(folder / "work"))
        finally:
            os.environ["PATH"] = before
        assert found[0], "it compared nothing"
        return found

    return quietly(run)


def quietly(run: Callable[[], object]) -> Callable[[], object]:
    """Without the reference's chatter."""

    def hushed() -> object:
        with contextlib.redirect_stdout(io.StringIO()):
            return run()

    return hushed
