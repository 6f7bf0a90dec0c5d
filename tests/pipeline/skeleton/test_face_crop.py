"""Face crops: the same pixels as SyncNet's own pipeline cuts from the same boxes, and boxes from keypoints."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.face_crop import (
    BORDER,
    FOREHEAD,
    SIDE,
    area_around,
    crop_square,
    cut_face,
    face_boxes,
    face_track,
)

FRAMES = 40


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(405)
    return [cv2.resize(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8), (320, 180)) for _ in range(FRAMES)]


def boxes() -> np.ndarray:
    """A face that walks out of the picture's upper left corner, and grows."""
    step = np.arange(FRAMES)[:, None]
    middle = np.array([[150.0, 90.0]]) - step * np.array([[3.4, 2.1]])
    return np.concatenate([middle - 30 - 0.3 * step, middle + 36 + 0.3 * step], axis=1)


def test_the_crops_are_those_of_syncnets_own_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the reference runs on torch")
    reference = pytest.importorskip("syncnet_python.syncnet_pipeline", reason="needs syncnet-python")
    written: list[np.ndarray] = []

    class Writer:
        def __init__(self, path: str, *_: Any) -> None:
            Path(path).touch()  # it is removed afterwards

        def write(self, crop: np.ndarray) -> None:
            written.append(crop)

        def release(self) -> None: ...

    films = pictures()
    for number, picture in enumerate(films):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    monkeypatch.setattr(reference.cv2, "VideoWriter", Writer)
    monkeypatch.setattr(reference.subprocess, "run", lambda *_, **__: None)  # the sound and the muxing
    config = SimpleNamespace(crop_scale=0.40, frame_rate=25, ffmpeg_bin="ffmpeg")
    track = {"frame": np.arange(FRAMES), "bbox": boxes()}
    names = [str(tmp_path / f"{number}.png") for number in range(FRAMES)]
    reference.SyncNetPipeline._crop(SimpleNamespace(cfg=config), track, names, "sound.wav", tmp_path / "out")

    own = face_track(boxes())
    assert own and len(written) == FRAMES
    for frame in range(6, FRAMES - 6):  # at the ends its median takes zeros into account, and ours does not
        np.testing.assert_array_equal(cut_face(films[frame], own, frame), written[frame])


def face(width: float = 100.0, at: tuple[float, float] = (300.0, 200.0)) -> np.ndarray:
    """(133, 2) with a face from brows at y - 60 to the chin at y + 60."""
    points = np.full((133, 2), np.nan)
    rng = np.random.default_rng(1)
    points[layout.FACE] = np.array(at) + rng.uniform(-0.3, 0.3, (68, 2)) * [width, 120]
    points[23], points[39] = (at[0] - width / 2, at[1]), (at[0] + width / 2, at[1])
    points[40:50, 1], points[31] = at[1] - 60, (at[0], at[1] + 60)
    return points


def test_a_box_spans_cheeks_forehead_and_chin() -> None:
    [box] = face_boxes(face()[None], np.ones((1, 133)))
    np.testing.assert_allclose(box, [250, 140 - FOREHEAD * 120, 350, 260])


def test_faces_that_are_not_there() -> None:
    points = np.stack([face()] * 4)
    scores = np.ones((4, 133))
    scores[1, layout.FACE] = 0.1
    points[2, 23:60] = np.nan
    points[3] = np.nan
    assert np.isfinite(face_boxes(points, scores)).all(1).tolist() == [True, False, False, False]
    assert face_track(np.full((5, 4), np.nan)) is None


def test_gaps_are_filled_and_a_spike_is_smoothed_away() -> None:
    track_of = boxes()
    track_of[15:20] = np.nan
    track_of[30] += 500
    track = face_track(track_of)
    assert track and not track.seen[15:20].any() and track.seen.sum() == FRAMES - 5
    clean = face_track(boxes())
    assert clean
    np.testing.assert_allclose(track.x[5:35], clean.x[5:35], atol=3.5)  # a step of the walk
    assert abs(track.x[30] - clean.x[30]) < 10


def test_outside_the_picture_is_grey() -> None:
    track = face_track(np.array([[-400.0, -400.0, -300.0, -300.0]] * 5))
    assert track
    crop = cut_face(pictures()[0], track, 2)
    assert crop.shape == (SIDE, SIDE, 3) and (crop == BORDER).all()


def test_what_is_there_of_a_picture_is_enough() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    corners = [[20.5, 30, 90, 110], [250, 120, 330, 190.2], [-40, -30, 30, 50], [0, 0, 1, 1], [5, 5, 290, 190]]
    for corner in corners:
        track = face_track(np.array([corner] * 5))
        assert track
        x1, y1, x2, y2 = crop_square(track, 2)
        x, y = max(x1, 0), max(y1, 0)
        part = picture[y : min(y2, 200), x : min(x2, 300)]
        np.testing.assert_array_equal(cut_face(part, track, 2, (x, y), (300, 200)), cut_face(picture, track, 2))
        assert part.size < picture.size or corner[0] == 5


def test_a_smoothed_crop_lies_in_the_area_around_each_face() -> None:
    """Of a head that walks, nods and comes nearer; who jumps is out of it."""
    n = np.arange(60)
    middle = np.stack([300 + 4 * n + 6 * np.sin(n / 3), 200 + 12 * np.sin(n / 4)], 1)
    shape = np.random.default_rng(0).uniform(-1, 1, (68, 2)) * [40, 50]
    points = np.full((60, layout.K, 2), np.nan)
    points[:, layout.FACE] = middle[:, None] + shape * (1 + n / 200)[:, None, None]
    scores = np.ones((60, layout.K))
    track = face_track(face_boxes(points, scores))
    assert track

    def covered(frame: int) -> bool:
        area, crop = area_around(points[frame], scores[frame]), crop_square(track, frame)
        assert area is not None
        return (
            all(a <= c for a, c in zip(area[:2], crop[:2], strict=True)) and area[2] >= crop[2] and area[3] >= crop[3]
        )

    assert all(covered(frame) for frame in range(60))
    points[30, layout.FACE] += [60, 0]
    assert not covered(30)
    assert area_around(points[0], scores[0] * 0.2) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["csgpage_demo1.mp4", "edtalk_uncrop_obama.mp4", "latentsync_demo2.mp4"])
def test_boxes_are_those_of_a_face_detector(name: str) -> None:
    """YuNet stands for S3FD: both learned the boxes of WIDER FACE."""
    from pipeline.media.video import GridReader
    from pipeline.nets.pose.dwpose import PoseNet
    from pipeline.nets.pose.yolox import Detector
    from pipeline.nets.session import open_session
    from tests.pipeline.nets.fakes import asset

    clip, faces = asset(f"clips/{name}"), asset("models/yunet_n_640_640.onnx")
    with GridReader(clip, 10, 1) as reader:
        [picture] = [np.ascontiguousarray(frame.pixels) for frame in reader]
    find = cv2.FaceDetectorYN.create(str(faces), "", (picture.shape[1], picture.shape[0]), 0.8)
    _, found = find.detect(np.ascontiguousarray(picture[..., ::-1]))
    people = Detector(open_session(asset("models/yolox_nano_416.onnx"), "cpu", 1), 0.3, 0.45, 1).detect([picture])
    [(points, scores)] = PoseNet(open_session(asset("models/lite133.onnx"), "cpu", 1)).estimate([picture], people)
    [ours] = face_boxes(points[:1], scores[:1])
    theirs = np.concatenate([found[0][:2], found[0][:2] + found[0][2:4]])
    overlap = np.prod(np.minimum(ours, theirs)[2:] - np.maximum(ours, theirs)[:2])
    area = np.prod(ours[2:] - ours[:2]) + np.prod(theirs[2:] - theirs[:2]) - overlap
    assert overlap / area > 0.8
