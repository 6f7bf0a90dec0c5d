"""What we write for Wan2.2-S2V and VACE, given to their own programs without the nets, and our drawing beside theirs."""

import argparse
import logging
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from pipeline.backends.geometry import cut_view
from pipeline.backends.inputs import motion
from pipeline.backends.job import Job, Options
from pipeline.backends.run import backend, plan
from pipeline.media.writer import ffmpeg_exe
from pipeline.skeleton import layout
from pipeline.skeleton.control import draw_control
from tests.pipeline.backends.fakes import FLASHES, job
from tests.pipeline.backends.test_upstream import psnr
from tests.pipeline.backends.upstream import options, source, taken

torch = pytest.importorskip("torch")

SIZES = [(832, 480), (624, 624), (480, 832), (1024, 704), (704, 1280)]
VACE, WAN = "VACE/vace", "Wan2.2/wan"
Drawing = Callable[[np.ndarray, np.ndarray, tuple[int, int]], np.ndarray]


def like_torchvision() -> SimpleNamespace:
    """What their readers take of torchvision, which does not go with our torch; by its documentation."""
    functional = torch.nn.functional

    def resize(side: int) -> Callable[[Any], Any]:
        def resized(pictures: Any) -> Any:
            if not torch.is_tensor(pictures):
                assert min(pictures.size) == side, "our picture has its size"
                return pictures
            grown = side / min(pictures.shape[-2:])
            size = [round(length * grown) for length in pictures.shape[-2:]]
            return functional.interpolate(pictures, size, mode="bilinear", antialias=True)

        return resized

    def centre_crop(size: tuple[int, int]) -> Callable[[Any], Any]:
        def cropped(pictures: Any) -> Any:
            assert tuple(pictures.shape[-2:] if torch.is_tensor(pictures) else pictures.size[::-1]) == size
            return pictures

        return cropped

    def to_tensor(picture: Any) -> Any:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255

    def make_grid(pictures: Any, value_range: tuple[int, int], **_: Any) -> Any:
        return (pictures[0] - value_range[0]) / (value_range[1] - value_range[0])

    transforms = SimpleNamespace(Resize=resize, CenterCrop=centre_crop, ToTensor=lambda: to_tensor)
    return SimpleNamespace(transforms=transforms, to_tensor=to_tensor, utils=SimpleNamespace(make_grid=make_grid))


def vace_drawing() -> Drawing:
    """Its annotator of the task `pose`, from where its nets have found the points."""
    colors = pytest.importorskip("matplotlib.colors")
    util = taken(
        f"{VACE}/annotators/dwpose/util.py", cv2=cv2, np=np, math=math, matplotlib=SimpleNamespace(colors=colors)
    )
    whole = taken(f"{VACE}/annotators/dwpose/wholebody.py", cv2=cv2, np=np)
    util["eps"] = 0.01
    theirs = taken(
        f"{VACE}/annotators/pose.py",
        cv2=cv2,
        np=np,
        torch=torch,
        util=SimpleNamespace(**util),
        convert_to_numpy=np.asarray,
        **{name: whole[name] for name in ("Wholebody", "HWC3", "resize_image")},
        os=SimpleNamespace(environ={}),
    )

    def draw(points: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        seen = np.where(layout.seen(points), scores, 0)
        joints, found = layout.openpose_18(np.nan_to_num(points), seen)
        found[1] = float((seen[[5, 6]] > 0.3).all())
        rest = np.r_[17:23, 23:91, 91:133]  # feet, face, hands
        known = np.concatenate([joints, np.nan_to_num(points)[rest]])[None]
        known_scores = np.concatenate([found, seen[rest]])[None]

        def nets(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            grown = np.array(picture.shape[1::-1]) / size
            return known * grown, known_scores.copy(), np.zeros((0, 4))

        annotator = object.__new__(theirs["PoseBodyFaceAnnotator"])
        vars(annotator).update(pose_estimation=nets, resize_size=1024, use_body=True, use_face=True, use_hand=False)
        return np.asarray(annotator.forward(np.zeros((size[1], size[0], 3), np.uint8)))

    return draw


def wan_drawing() -> Drawing:
    """Its repository's drawing at 1080 px, red and blue exchanged as in its example of a pose video, shrunk as it shrinks those."""
    colors = pytest.importorskip("matplotlib.colors")
    file = f"{WAN}/modules/animate/preprocess/human_visualization.py"
    given = {"cv2": cv2, "np": np, "math": math, "matplotlib": SimpleNamespace(colors=colors)}
    given |= {"AAPoseMeta": object, "List": list, "Dict": dict}
    theirs = taken(file, **given, FACE_CUSTOM_STYLE=None)
    shrink = like_torchvision().transforms.Resize

    def draw(points: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        grown = 1080 / min(size)
        large = (int(size[0] * grown), int(size[1] * grown))
        seen = np.where(layout.seen(points), scores, 0)
        known = np.nan_to_num(points) / size * large
        joints, found = layout.openpose_18(known, seen)
        # No toes: Wan-Animate's nets find them, DWPose's drawing has none.
        body, chances = np.zeros((20, 2)), np.zeros(20)
        body[:18], chances[:18] = joints, found
        hands = {}
        for side, part in (("lhand", layout.LEFT_HAND), ("rhand", layout.RIGHT_HAND)):
            hands |= {f"kps_{side}": known[part], f"kps_{side}_p": seen[part]}
        meta = SimpleNamespace(kps_body=body, kps_body_p=chances, **hands)
        drawn = theirs["draw_aapose_by_meta_new"](np.zeros((large[1], large[0], 3), np.uint8), meta)
        tensor = torch.from_numpy(drawn[..., ::-1].copy()).permute(2, 0, 1)[None].float()
        small = torch.nn.functional.interpolate(tensor, size[::-1], mode="bilinear", antialias=True)
        assert shrink(min(size))(tensor).shape[-1] in range(size[0] - 1, size[0] + 2)
        return small[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()

    return draw


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("order", "theirs"), [("vace", vace_drawing), ("wan-s2v", wan_drawing)])
def test_our_drawing_is_theirs(order: Any, theirs: Callable[[], Drawing], size: tuple[int, int]) -> None:
    draw = theirs()
    rng = np.random.default_rng(0)
    work = job(20)
    for n in range(0, 20, 7):
        points = work.keypoints[n] * (min(size) / 512)
        points[rng.random(133) < 0.05] += min(size) / 2
        points[rng.random(133) < 0.05] = np.nan
        scores = rng.uniform(0.1, 1.15, 133)
        drawn = draw(points, scores, size)
        assert drawn.max() > 100 and psnr(draw_control(points, scores, size, order), drawn) >= 35


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("wan-s2v", ("Wan2.2/generate.py",)),
        ("vace-1.3b", (f"{VACE}/vace_wan_inference.py",)),
        ("vace-14b", (f"{VACE}/vace_wan_inference.py",)),
    ],
)
@pytest.mark.parametrize("gpu", ["", "0,1"])
def test_every_option_is_known_to_them(name: str, paths: tuple[str, ...], gpu: str, tmp_path: Path) -> None:
    known = set.union({"--overlap", "--next_video"}, *map(options, paths))
    made = plan(name, job(12), Options(checkout=Path("x"), size="128x128", gpu=gpu), tmp_path / "work")
    given = {part.split("=")[0] for part in made.command if part.startswith("--")}
    assert len(given) > 8 and given <= known


@pytest.mark.parametrize(
    ("path", "there", "absent"),
    [
        ("UniAnimate-DiT/run_align_pose.py", "imwrite(img_path, dwpose_woface)", "imwrite(img_path, dwpose_wface)"),
        ("SteadyDancer/preprocess/pose_align.py", "draw_face=False", "draw_face=True"),
        (f"{WAN}/animate.py", '"src_face.mp4"', "audio"),
    ],
)
def test_why_some_are_left_out(path: str, there: str, absent: str) -> None:
    """What is written for the first two shows no face, so that lips could not follow the voice; the third wants a film of it."""
    text = source(path).read_text(encoding="utf-8")
    assert there in text and absent not in text


class Films:
    """VACE's class with its own reading of inputs; instead of a net, what is asked for comes back, a little brighter each time."""

    def __init__(self) -> None:
        decord = pytest.importorskip("decord", reason="pip install decord: their readers of videos")
        assert decord
        tv = like_torchvision()
        image = pytest.importorskip("PIL.Image")
        shared = {"torch": torch, "F": torch.nn.functional, "TF": tv, "Image": image, "np": np}
        reader = taken(f"{VACE}/models/utils/preprocessor.py", **shared)["VaceVideoProcessor"]
        amp = SimpleNamespace()
        given = {"WanT2V": object, "amp": amp, "VaceVideoProcessor": reader}
        base = taken(f"{VACE}/models/wan/wan_vace.py", **shared, **given)["WanVace"]
        self.asked: list[dict[str, Any]] = []
        asked = self.asked

        class Standing(base):  # type: ignore[misc]
            def __init__(self, config: Any, device_id: int, rank: int, **_: Any) -> None:
                self.device, self.rank, self.config = "cpu", rank, config
                stride = tuple(a * b for a, b in zip((4, 8, 8), (1, 2, 2), strict=True))
                area = 480 * 832
                self.vid_proc = reader(stride, area, area, 16, 16, zero_start=True, seq_len=32760, keep_last=True)

            def prepare_source(self, *given: Any) -> Any:
                return super().prepare_source(*given[:-1], "cpu")

            def generate(self, prompt: str, frames: Any, masks: Any, references: Any, **more: Any) -> Any:
                mask = masks[0][:1]
                latents = self.vace_encode_masks(masks, references, (4, 8, 8))[0]
                asked.append({"prompt": prompt, "frames": frames[0].clone(), "mask": mask.clone(), **more})
                asked[-1] |= {"reference": references[0][0], "latents": latents}
                return frames[0]

        self.standing = Standing


@pytest.mark.parametrize("window", [81, 17])
def test_vaces_program_reads_what_we_write(window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own `main`, parser and readers, by way of our runner."""
    from pipeline.backends import vace_runner

    monkeypatch.setattr("pipeline.backends.vace.WINDOW", window)
    work = job(60)
    made = plan("vace-1.3b", work, Options(checkout=Path("x"), size="208x144"), tmp_path / "work")
    films, written = Films(), []
    program: Any = ModuleType("vace_wan_inference")
    config = SimpleNamespace(sample_fps=16, num_heads=12)
    sizes = {"480*832": (480, 832), "480p": (480, 832)}
    given = {"argparse": argparse, "os": os, "sys": sys, "logging": logging, "random": random, "torch": torch}
    given |= {"dist": torch.distributed, "WAN_CONFIGS": {"vace-1.3B": config}, "SIZE_CONFIGS": sizes}
    given |= {"SUPPORTED_SIZES": {"vace-1.3B": sizes}, "EXAMPLE_PROMPT": {"vace-1.3B": {}}, "WanVace": films.standing}
    given |= {"cache_video": lambda tensor, save_file, **_: written.append((save_file, tensor))}
    given |= {"cache_image": lambda **_: None, "str2bool": bool}
    names = taken(f"{VACE}/vace_wan_inference.py", **given)

    def main(args: Any) -> None:
        names["WanVace"] = program.WanVace  # where its functions look for it
        names["main"](args)

    vars(program).update(WanVace=films.standing, get_parser=names["get_parser"], main=main)
    monkeypatch.setitem(sys.modules, "vace_wan_inference", program)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setattr(sys, "argv", list(made.command[1:]))
    vace_runner.main()
    path, film = written[0]
    assert path == str(made.work / "output" / "film.mp4")
    assert film.shape == (1, 3, made.view.made, 144, 208) and made.view.made >= made.view.frames
    assert len(films.asked) == (1 if window == 81 else 4)
    points, scores = motion(work, made.view)
    for n in range(made.view.made):
        shown = ((film[0, :, n] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        assert psnr(shown, draw_control(points[n], scores[n], (208, 144), "vace")) >= 40, n
    for number, ask in enumerate(films.asked):
        known = 0 if number == 0 else 9
        assert not ask["mask"][:, :known].any() and ask["mask"][:, known:].all() and ask["seed"] == 2025 + number
        assert ask["frames"].shape[1] % 4 == 1 and ask["latents"].shape[1] == 1 + (ask["frames"].shape[1] + 3) // 4
        picture = ((ask["reference"][:, 0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(picture, cut_view(work.picture, made.view))


class Brightness:
    """In place of Wan's autoencoder: a latent picture holds the mean brightness of each of its four pictures, enlarged."""

    dtype, device = torch.float32, "cpu"
    enlarged = 100

    def encode(self, videos: Any) -> list[Any]:
        means = (videos.mean((1, 3, 4)) + 1) * self.enlarged - 1  # (1, T)
        padded = torch.cat([means[:, :1].expand(-1, 3), means], 1).reshape(len(means), -1, 4)
        latent = torch.zeros(len(means), 16, padded.shape[1], videos.shape[3] // 8, videos.shape[4] // 8)
        latent[:, :4] = padded.permute(0, 2, 1)[..., None, None]
        return list(latent)

    def decode(self, latents: Any) -> list[Any]:
        means = latents[:, :4, :, 0, 0].permute(0, 2, 1).reshape(len(latents), -1)[:, 3:]
        size = latents.shape[3] * 8, latents.shape[4] * 8
        return list(means[:, None, :, None, None].expand(-1, 3, -1, *size).clone())


class Echo:
    """In place of Wan's net: it answers with the pose that it is given, and notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.calls = 0

    def __call__(self, latent: Any, t: Any, cond_states: Any, audio_input: Any, **_: Any) -> list[Any]:
        if self.calls % 2 == 0:  # every other time is for the guidance, and deaf
            self.heard.append(audio_input[0, 0, 0])
        self.calls += 1
        return [cond_states[0]]

    def to(self, _: Any) -> None: ...

    def cpu(self) -> None: ...


class Steps:
    def __init__(self, **_: Any) -> None: ...

    def set_timesteps(self, *_: Any, **__: Any) -> None:
        self.timesteps = torch.ones(1)

    def step(self, prediction: Any, *_: Any, **__: Any) -> tuple[Any]:
        return (prediction,)


def s2v(net: Echo) -> Any:
    """Their class with all its own code, but for the nets."""
    tv, image = like_torchvision(), pytest.importorskip("PIL.Image")
    decord = pytest.importorskip("decord", reason="pip install decord: their readers of videos")
    decord.bridge.set_bridge("native")  # VACE's reader chooses another one
    shared = {"torch": torch, "math": math, "np": np, "os": os, "random": random, "sys": sys, "logging": logging}
    given = {"transforms": tv.transforms, "Image": image, "VideoReader": decord.VideoReader, "dist": torch.distributed}
    given |= {"FlowUniPCMultistepScheduler": Steps, "tqdm": list, "gc": SimpleNamespace(collect=lambda: None)}
    given["deepcopy"] = list
    theirs = taken(f"{WAN}/speech2video.py", **shared, **given)
    audio = taken(f"{WAN}/modules/s2v/audio_encoder.py", **shared, F=torch.nn.functional)

    def loudness(path: str, **_: Any) -> Any:
        """50 a second, as from wav2vec 2.0, of which two layers are the same."""
        wave, rate = soundfile.read(path)
        assert rate == 16_000
        parts = (len(wave) - 400) // 320 + 1
        loud = torch.tensor([float(np.abs(wave[n * 320 : n * 320 + 400]).max()) for n in range(parts)])
        return audio["linear_interpolation"](loud[None, :, None].repeat(2, 1, 1), input_fps=50, output_fps=30)

    encoder = object.__new__(audio["AudioEncoder"])
    vars(encoder).update(video_rate=30, extract_audio_feat=loudness)
    made = object.__new__(theirs["WanS2V"])
    vars(made).update(device="cpu", param_dtype=torch.float32, rank=0, t5_cpu=True, init_on_cpu=True, vae=Brightness())
    vars(made).update(motion_frames=73, drop_first_motion=True, fps=16, audio_sample_m=0, sample_neg_prompt="-")
    vars(made).update(noise_model=net, num_train_timesteps=1000, audio_encoder=encoder)
    made.text_encoder = lambda prompts, device: [torch.zeros(1, 4)]
    return made


@pytest.mark.parametrize(("frames", "clips", "lead"), [(75, 1, 3), (125, 2, 3), (125, 1, 0)])
def test_wans_program_reads_what_we_write(
    frames: int, clips: int, lead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own program, from the command line to the file, shows every pose and hears every click in its time."""
    imageio = pytest.importorskip("imageio")
    net = Echo()
    wan = s2v(net)
    work = flashing(frames)
    extra = () if lead else ("--start_from_ref",)
    asked = Options(checkout=Path("x"), size="128x64", extra=extra, steps=1)
    made = plan("wan-s2v", work, asked, tmp_path / "work")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ffmpeg").symlink_to(ffmpeg_exe())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    shared = {"argparse": argparse, "os": os, "sys": sys, "logging": logging, "torch": torch, "random": random}
    utils = taken(
        f"{WAN}/utils/utils.py",
        **shared,
        osp=os.path,
        imageio=imageio,
        torchvision=like_torchvision(),
        subprocess=subprocess,
        shutil=__import__("shutil"),
    )
    config = SimpleNamespace(sample_steps=40, sample_shift=3, sample_guide_scale=4.5, frame_num=81, sample_fps=16)
    areas = {"480*832": 480 * 832, "1024*704": 1024 * 704}
    theirs = taken(
        "Wan2.2/generate.py",
        **shared,
        **{name: utils[name] for name in ("merge_video_audio", "save_video", "str2bool")},
        dist=torch.distributed,
        datetime=datetime,
        Image=pytest.importorskip("PIL.Image"),
        WAN_CONFIGS={"s2v-14B": config},
        SIZE_CONFIGS=areas,
        MAX_AREA_CONFIGS=areas,
        SUPPORTED_SIZES={},
        EXAMPLE_PROMPT={"s2v-14B": {}},
        wan=SimpleNamespace(WanS2V=lambda **_: wan),
    )
    monkeypatch.setattr(sys, "argv", list(made.command[1:]))
    theirs["generate"](theirs["_parse_args"]())
    pictures = np.array([picture.mean() for picture in backend("wan-s2v").collect(work, made)])
    points, scores = motion(work, made.view)
    size = made.view.size
    drawn = [draw_control(*each, size, "wan-s2v").mean() for each in zip(points, scores, strict=True)]
    expected = np.array(drawn)[: made.view.frames] * Brightness.enlarged
    assert len(pictures) == made.view.frames == math.ceil(frames * 16 / 25)
    assert np.ptp(expected) > 40 and np.abs(pictures - expected).max() < 3
    heard = torch.cat(net.heard).numpy()
    assert len(net.heard) == clips and len(heard) == made.view.made + lead
    at = np.flatnonzero(np.diff((heard[lead:] > 0.1).astype(int)) == 1) + 1
    assert np.abs(at / 16 - np.array(FLASHES) / 25).max() <= 1 / 16 + 0.02
    assert np.array_equal(cv2.imread(str(made.work / "reference.png"))[..., ::-1], cut_view(work.picture, made.view))


def flashing(frames: int) -> Job:
    """The puppet's motion as long as that, larger in every flash, so that it is brighter."""
    work = job(frames)
    for first in FLASHES:
        work.keypoints[first : first + 5] = (work.keypoints[first : first + 5] - 256) * 1.6 + 256
    return work
