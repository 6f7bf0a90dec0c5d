"""What we write, given to the public back-ends' own loaders, and our drawing beside theirs."""

import argparse
import math
import os
import random
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
import soundfile

from pipeline.backends.geometry import cut_view, into_view
from pipeline.backends.inputs import motion
from pipeline.backends.job import Options
from pipeline.backends.run import backend, plan
from pipeline.media.writer import write_video
from pipeline.skeleton import layout
from pipeline.skeleton.control import draw_control
from tests.pipeline.backends.fakes import job
from tests.pipeline.backends.upstream import options, taken

FRAMES = 12  # the tens digit: "frame_10" sorts before "frame_2" as text


def theirs(points: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """A frame as their detectors hand it to their drawing: shares of the picture, -1 where nothing is seen."""
    share = np.nan_to_num(points / np.array(size), nan=-1)
    seen = np.where(layout.seen(points), scores, 0)
    joints, found = layout.openpose_18(share, seen)
    found[1] = float((seen[[5, 6]] > 0.3).all())
    return {
        "bodies": {"candidate": joints, "subset": np.where(found > 0.3, np.arange(18), -1)[None], "score": found[None]},
        "hands": np.stack([share[layout.LEFT_HAND], share[layout.RIGHT_HAND]]),
        "hands_score": np.stack([seen[layout.LEFT_HAND], seen[layout.RIGHT_HAND]]),
        "faces": share[None, layout.FACE],
        "faces_score": seen[None, layout.FACE],
    }


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(cv2.PSNR(np.ascontiguousarray(a), np.ascontiguousarray(b)))


def drawing(path: str) -> dict[str, Any]:
    pytest.importorskip("matplotlib.colors")
    return taken(path, cv2=cv2, np=np, math=math, matplotlib=sys.modules["matplotlib"])


@pytest.mark.parametrize("size", [(512, 512), (576, 1024), (1024, 576)])
@pytest.mark.parametrize(
    ("path", "function", "order"),
    [
        ("StableAnimator/DWPose/skeleton_extraction.py", "draw_pose", "stableanimator"),
        ("StableAnimator/DWPose/training_skeleton_extraction.py", "draw_pose_aligned", "stableanimator"),
        ("MimicMotion/mimicmotion/dwpose/util.py", "draw_pose", "mimicmotion"),
    ],
)
def test_our_drawing_is_theirs(path: str, function: str, order: Any, size: tuple[int, int]) -> None:
    draw = drawing(path)[function]
    rng = np.random.default_rng(0)
    work = job(20)
    for n in range(0, 20, 7):
        points = work.keypoints[n] * (min(size) / 512)
        points[rng.random(133) < 0.05] += min(size) / 2
        points[rng.random(133) < 0.05] = np.nan
        scores = rng.uniform(0, 1.15, 133)
        drawn = draw(theirs(points, scores, size), size[1], size[0]).transpose(1, 2, 0)
        if order == "stableanimator":  # its program hands the array to OpenCV's writer, and its loader reads with PIL
            drawn = drawn[..., ::-1]
        ours = draw_control(points, scores, size, order)
        assert drawn.max() > 100
        assert psnr(ours, drawn) >= 35
        np.testing.assert_array_equal(ours, drawn)


def test_stableanimator_loads_the_poses_in_order(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    load = taken("StableAnimator/inference_basic.py", os=os, Image=image, np=np)["load_images_from_folder"]
    work = job(FRAMES)
    made = plan("stableanimator", work, Options(checkout=Path("x")), tmp_path / "work")
    poses = load(made.work / "poses", *made.view.size)
    assert len(poses) == made.view.made == 16
    points, scores = motion(work, made.view)
    for n in (0, 2, 10, 15):
        np.testing.assert_array_equal(np.array(poses[n]), draw_control(points[n], scores[n], made.view.size))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("stableanimator", "StableAnimator/inference_basic.py"),
        ("echomimicv2", "echomimic_v2/infer.py"),
        ("echomimicv2-acc", "echomimic_v2/infer_acc.py"),
    ],
)
def test_every_option_is_known_to_them(name: str, path: str, tmp_path: Path) -> None:
    known = options(path)
    made = plan(name, job(FRAMES), Options(checkout=Path("x")), tmp_path / "work")
    given = {part.split("=")[0] for part in made.command if part.startswith("-")}
    assert given and given <= known


def test_echomimicv2_loads_and_draws_the_poses(tmp_path: Path) -> None:
    draw = pose_drawing()
    work = job(FRAMES)
    work.keypoints[3, layout.RIGHT_HAND] = np.nan
    made = plan("echomimicv2", work, Options(checkout=Path("x"), fps=25), tmp_path / "work")
    poses = made.work / "poses" / "motion"
    assert len(list(poses.iterdir())) == made.view.made
    points, _ = motion(work, made.view)
    for n in (0, 3, made.view.made - 1):
        raw = (poses / f"{n}.npy").read_bytes()
        assert b"numpy._core" not in raw, "numpy 1 does not know that name"
        pose = np.load(poses / f"{n}.npy", allow_pickle=True).tolist()
        shapes = {key: np.shape(value) for key, value in {**pose, **pose["bodies"]}.items() if key != "bodies"}
        assert shapes == {
            "candidate": (18, 2),
            "subset": (1, 18),
            "score": (1, 18),
            "num": (),
            "hands": (2, 21, 2),
            "hands_score": (2, 21),
            "faces": (1, 68, 2),
            "faces_score": (1, 68),
            "draw_pose_params": (6,),
        }
        height, width, top, bottom, left, right = pose["draw_pose_params"]
        square = np.zeros((768, 768, 3), np.uint8)
        square[top:bottom, left:right] = draw(pose, height, width, ref_w=800).transpose(1, 2, 0)
        lit = np.argwhere(square.any(-1))[:, ::-1]
        hands = points[n][91:][layout.seen(points[n][91:])]
        inside = hands[((hands > 4) & (hands < 764)).all(-1)]
        assert len(inside) > 10
        for point in inside:
            assert np.abs(lit - point).max(-1).min() < 3, "every hand point is drawn where it is"
        far = np.abs(lit[:, None] - hands).max(-1).min(1)
        assert far.max() < 80, "and nothing but hands"


class Config(dict):  # type: ignore[type-arg]
    """As OmegaConf gives a file's mapping: by attribute too."""

    __getattr__ = dict.__getitem__

    @classmethod
    def load(cls, path: str) -> "Config":
        yaml = pytest.importorskip("yaml")
        return cls(yaml.safe_load(Path(path).read_text(encoding="utf-8")) if path.endswith("config.yaml") else {})

    @classmethod
    def to_container(cls, _: object) -> dict[str, Any]:
        return {}

    def __missing__(self, _: str) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("name", "program", "usual"),
    [("echomimicv2", "infer.py", (30, 2.5, 3407)), ("echomimicv2-acc", "infer_acc.py", (6, 1.0, 420))],
)
def test_echomimicv2s_programs_find_their_inputs_and_we_their_output(
    name: str, program: str, usual: tuple[int, float, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own `main`, run as the command says; only the nets are others, and the film is black."""
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("PIL.Image")
    made_films: list[Path] = []
    calls: list[dict[str, Any]] = []
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    work = job(FRAMES)
    made = plan(name, work, Options(checkout=Path(), size="128x128"), tmp_path / "müde \U0001f600 work")
    view = made.view

    def film(
        reference: Any, voice: str, poses: Any, width: int, height: int, length: int, *how: Any, **more: Any
    ) -> Any:
        calls.append({"reference": reference, "voice": voice, "poses": poses, "length": length, "how": how, **more})
        assert (width, height) == view.size
        return SimpleNamespace(videos=torch.zeros(1, 3, length, 2, 2))

    class Clip:
        def __init__(self, path: str) -> None:
            self.duration = soundfile.info(path).duration if path.endswith(".wav") else 0

        def set_duration(self, _: float) -> "Clip":
            return self

        def set_audio(self, _: "Clip") -> "Clip":
            return self

        def write_videofile(self, path: str, **_: Any) -> None:
            made_films.append(Path(path))
            black = np.zeros((*view.size, 3), np.uint8)
            write_video(path, [black] * calls[0]["length"], None, size=view.size, fps=view.fps)

    net = MagicMock()
    net.return_value.to.return_value = film
    shared = {module: MagicMock() for module in ("AutoencoderKL", "UNet2DConditionModel", "EMOUNet3DConditionModel")}
    shared |= {module: MagicMock() for module in ("PoseEncoder", "DDIMScheduler", "load_audio_model")}
    shared |= {"argparse": argparse, "os": os, "np": np, "random": random, "datetime": datetime, "Path": Path}
    shared |= {"OmegaConf": Config, "Image": image, "EchoMimicV2Pipeline": net, "save_videos_grid": MagicMock()}
    shared |= {"AudioFileClip": Clip, "VideoFileClip": Clip}
    theirs = taken(f"echomimic_v2/{program}", torch=torch, **shared, draw_pose_select_v2=pose_drawing())
    monkeypatch.setattr(torch, "load", MagicMock())
    for weights in ("motion_module.pth", "motion_module_acc.pth"):
        Path("pretrained_weights").mkdir(exist_ok=True)
        Path("pretrained_weights", weights).touch()
    assert made.command[1] == program
    monkeypatch.setattr(sys, "argv", list(made.command[1:]))
    theirs["main"]()

    [call] = calls
    assert call["length"] == view.made and call["fps"] == 24 and call["how"][:2] == usual[:2]
    assert call["generator"].initial_seed() == usual[2]
    assert np.array_equal(np.array(call["reference"]), cut_view(work.picture, view))
    assert soundfile.info(call["voice"]).samplerate == 16000
    assert call["poses"].shape == (1, 3, view.made, 128, 128) and call["poses"].max() > 0.3
    [path] = made_films
    assert path.is_file()
    assert sum(1 for _ in backend(name).collect(work, made)) == view.frames


def pose_drawing() -> Any:
    return drawing("echomimic_v2/src/utils/dwpose_util.py")["draw_pose_select_v2"]


def test_mimicmotion_takes_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own `run_pipeline`, by way of our runner; only the net is another: it shows each pose as it is."""
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("PIL.Image")
    given: dict[str, Any] = {}

    def net(images: list[Any], image_pose: Any, **settings: Any) -> Any:
        given.update(settings, images=images, poses=image_pose)
        return SimpleNamespace(frames=((image_pose.float() + 1) / 2)[None])

    inference: Any = ModuleType("inference")
    vars(inference).update(
        taken(
            "MimicMotion/inference.py",
            torch=torch,
            MimicMotionPipeline=object,
            logging=SimpleNamespace(INFO=20),
            to_pil_image=lambda tensor: image.fromarray(tensor.permute(1, 2, 0).numpy()),
        )
    )
    inference.device, inference.create_pipeline = "cpu", lambda config, device: net
    monkeypatch.setitem(sys.modules, "inference", inference)
    work = job(FRAMES)
    made = plan("mimicmotion", work, Options(checkout=Path("x"), size="128x192"), tmp_path / "work")
    from pipeline.backends import mimicmotion_runner

    monkeypatch.setattr(sys, "argv", list(made.command[1:]))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    before = torch.get_default_dtype()
    try:
        mimicmotion_runner.main()
    finally:
        torch.set_default_dtype(before)
    assert given["num_frames"] == 72 == given["tile_size"] and given["tile_overlap"] == 6
    assert (given["width"], given["height"]) == (128, 192) == given["images"][0].size
    assert len(given["poses"]) == 1 + made.view.made
    first = draw_control(into_view(work.reference, made.view), work.reference_scores, (128, 192), "mimicmotion")
    shown = ((given["poses"][0].float() + 1) * 127.5).round().numpy().transpose(1, 2, 0)
    assert np.abs(shown - first).max() <= 1
    points, scores = motion(work, made.view)
    pictures = sorted((made.work / "output").iterdir())
    assert len(pictures) == made.view.made
    for n in (0, 5):
        out = cv2.imread(str(made.work / "output" / f"frame_{n}.png"))[..., ::-1]
        assert psnr(out, draw_control(points[n], scores[n], (128, 192), "mimicmotion")) > 40
