"""EchoMimicV2: skeletons as arrays, a picture and the voice in, a video out (github.com/antgroup/echomimic_v2).

It names its output by its inputs, below its own folder, and hands names to a shell: those chosen here are unique and plain.
"""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
import soundfile

from pipeline.backends.backend import Backend, Cut
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.geometry import frames_at, rate_of, shown, size_of
from pipeline.backends.inputs import motion, write_reference
from pipeline.backends.job import Job, Options, Plan, View
from pipeline.backends.outputs import filmed
from pipeline.base.arrays import Floats, Picture
from pipeline.base.units import SAMPLE_RATE, Box
from pipeline.skeleton import layout

FPS = 24
CONTEXT = 12  # frames that its net sees at once
# Its writer goes by durations in 1/100 s, and so loses or repeats a picture at the end at times.
SPARE = 2
_NETS = "configs/inference/inference_v2.yaml"
_MARGIN, _ABOVE, _BELOW = 0.25, 0.65, 0.5
_FAR = 10.0  # squares away: its drawing fails over numbers that no pixel can have
_UPPER = 7  # OpenPose's first joints: nose, neck, arms


class EchoMimicV2(Backend):
    """A square of the upper body. It draws only the hands, and takes the lips from the voice."""

    name: ClassVar[str] = "echomimicv2"
    source: ClassVar[str] = "https://github.com/antgroup/echomimic_v2"
    program: ClassVar[str] = "infer.py"
    needed: ClassVar[tuple[str, ...]] = (program, "src/pipelines", _NETS)
    weights: ClassVar[dict[str, str]] = {
        "pretrained_base_model_path": "./pretrained_weights/sd-image-variations-diffusers",
        "pretrained_vae_path": "./pretrained_weights/sd-vae-ft-mse",
        "denoising_unet_path": "./pretrained_weights/denoising_unet.pth",
        "reference_unet_path": "./pretrained_weights/reference_unet.pth",
        "pose_encoder_path": "./pretrained_weights/pose_encoder.pth",
        "motion_module_path": "./pretrained_weights/motion_module.pth",
        "audio_model_path": "./pretrained_weights/audio_processor/tiny.pt",
    }
    hub: ClassVar[frozenset[str]] = frozenset({"pretrained_base_model_path", "pretrained_vae_path"})
    step: ClassVar[int] = 64
    fps: ClassVar[int] = FPS
    cut: ClassVar[Cut | None] = Cut("main", "pipe", ("args", "config", "width", "height"))
    steps: ClassVar[int] = 30
    guidance: ClassVar[float] = 2.5
    seed: ClassVar[int] = 3407
    output: ClassVar[str] = "outputs/*/{tag}.{tag}.png/motion/{tag}-a-voice.wav-i0_sig.mp4"

    def check(self, options: Options) -> None:
        super().check(options)
        if options.size and len(set(size_of(options.size, self.step))) > 1:
            raise BackendError(Trouble.BAD_JOB, f"size {options.size}: EchoMimicV2 takes square sizes only")

    def view(self, job: Job, options: Options) -> View:
        size = size_of(options.size or "768x768", self.step)
        fps = rate_of(options.fps, self.fps)
        frames = frames_at(len(job.keypoints), fps)
        return View(_upper_body(job), size, fps, frames, max(frames + SPARE, CONTEXT))

    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        tag = f"csg405-{uuid4().hex[:16]}"
        reference, voice = work / "reference" / tag / f"{tag}.png", work / "audio" / "voice.wav"
        write_reference(reference, job, view)
        poses = work / "poses" / "motion"
        poses.mkdir(parents=True)
        for n, (points, scores) in enumerate(zip(*motion(job, view), strict=True)):
            _save_pickled(poses / f"{n}.npy", _pose(points, scores, view.size[0]))
        _write_voice(voice, job, view)
        config = {
            **self.weights_of(options),
            "inference_config": f"./{_NETS}",
            "weight_dtype": "fp16",
            "test_cases": {str(reference): [str(voice), str(poses)]},  # what the accelerated program goes by
        }
        # JSON is YAML, but for how it escapes what lies beyond 16 bits.
        (work / "config.yaml").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
        arguments = {
            "--config": work / "config.yaml",
            "-W": view.size[0],
            "-H": view.size[1],
            "-L": view.made,  # 240 at most by default
            "--fps": view.fps,
            "--steps": options.steps or self.steps,
            "--cfg": self.guidance if options.guidance is None else options.guidance,
            "--seed": self.seed if options.seed is None else options.seed,
            "--ref_images_dir": work / "reference",
            "--refimg_name": f"{tag}/{reference.name}",  # it looks for a slash
            "--audio_dir": voice.parent,
            "--audio_name": voice.name,
            "--pose_dir": poses.parent,
            "--pose_name": poses.name,
        }
        listed = [str(part) for pair in arguments.items() for part in pair]
        return (python, self.program, *listed, *options.extra)

    def collect(self, job: Job, plan: Plan) -> Iterator[Picture]:
        tag = next((plan.work / "reference").iterdir()).name
        wanted = self.output.format(tag=tag)
        return filmed(next(plan.folder.glob(wanted), plan.folder / wanted), self.name, plan.view, SPARE)


class EchoMimicV2Acc(EchoMimicV2):
    """Its accelerated program: nets distilled to 6 steps without guidance, 9 times as fast by its readme."""

    name: ClassVar[str] = "echomimicv2-acc"
    program: ClassVar[str] = "infer_acc.py"
    needed: ClassVar[tuple[str, ...]] = (program, "src/pipelines/pipeline_echomimicv2_acc.py", _NETS)
    weights: ClassVar[dict[str, str]] = {
        **EchoMimicV2.weights,
        "denoising_unet_path": "./pretrained_weights/denoising_unet_acc.pth",
        "motion_module_path": "./pretrained_weights/motion_module_acc.pth",
    }
    steps: ClassVar[int] = 6
    guidance: ClassVar[float] = 1.0
    seed: ClassVar[int] = 420
    output: ClassVar[str] = "output/*/*/{tag}/{tag}-a-voice-i0_sig.mp4"

    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        for mark, taken in ((".wav", "the voice"), ("${", "a variable")):
            if mark in str(work):
                raise BackendError(
                    Trouble.BAD_JOB,
                    f"{work}: {self.program} takes paths with {mark} in them for {taken}, choose another name",
                )
        return super().prepare(job, view, options, python, work)


def _upper_body(job: Job) -> Box:
    """The square that it was trained on: from above the face to below the arms, over all frames, the neck in the middle.

    As in its preprocessing (`EMTD_dataset/preprocess.py`), it ends above and below where the picture ends: black bands there are
    nothing that its net has seen, and a lone point far away must not widen it. To the sides, where that takes pictures to be wide
    enough, it is moved into the picture where it fits: the neck is then not in the middle.
    """
    height, width = job.picture.shape[:2]
    points = shown(job)
    joints, _ = layout.openpose_18(points, np.ones(points.shape[:2]))
    neck, faces, uppers = joints[:, 1, 0], points[:, layout.FACE, 1], joints[:, :_UPPER, 1]
    if not (np.isfinite(neck).any() and np.isfinite(faces).any()):
        raise BackendError(
            Trouble.BAD_JOB, "the motion shows no face or no shoulders: EchoMimicV2's crop is placed by them"
        )
    top, bottom = np.nanmin(faces), np.nanmax(uppers)
    margin = _MARGIN * (bottom - top)
    upper, lower = round(max(float(top - _ABOVE * margin), 0)), round(min(float(bottom + _BELOW * margin), height))
    side = lower - upper
    if side < 1:
        raise BackendError(
            Trouble.BAD_JOB,
            "the motion's face lies below its shoulders, or outside of the picture: EchoMimicV2 needs upright people",
        )
    left = round(float(np.nanmean(neck)) - side / 2)
    if side <= width:
        left = min(max(left, 0), width - side)
    return left, upper, left + side, upper + side


def _pose(points: Floats, scores: Floats, side: int) -> dict[str, Any]:
    """A frame as DWPose's users store it; coordinates are shares of the square, -1 where unseen, which is not drawn."""
    seen = layout.seen(points)
    joints, joint_scores = layout.openpose_18(points / side, np.where(seen, scores, 0))
    share = np.where(seen[:, None], np.clip(points / side, -_FAR, _FAR), -1.0)
    confidence = np.where(seen, scores, 0.0)
    hands = (layout.LEFT_HAND, layout.RIGHT_HAND)
    index = np.where(joint_scores > 0.3, np.arange(18), -1)
    return {
        "bodies": {"candidate": np.nan_to_num(joints, nan=-1.0), "subset": index[None], "score": joint_scores[None]},
        "hands": np.stack([share[hand] for hand in hands]),
        "hands_score": np.stack([confidence[hand] for hand in hands]),
        "faces": share[None, layout.FACE],
        "faces_score": confidence[None, layout.FACE],
        "num": 1,
        "draw_pose_params": [side, side, 0, side, 0, side],  # height, width, and where in the square the drawing goes
    }


def _save_pickled(path: Path, content: dict[str, Any]) -> None:
    """A dict as `np.save` pickles it; written for EchoMimicV2, never read here.

    Its environment has a numpy of major version 1, which does not know the module names that version 2 writes; both know
    the old ones. Up to protocol 3 a name is a line of text.
    """
    array = np.array(content, dtype=object)
    data = pickle.dumps(array, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(data)


def _write_voice(path: Path, job: Job, view: View) -> None:
    """The voice, or silence, and more silence than the film lasts: what it hears must not end before what it shows."""
    path.parent.mkdir()
    wave = np.zeros(int((view.made / view.fps + 1) * SAMPLE_RATE), np.float32)
    if job.wave is not None:
        wave[: len(job.wave)] = job.wave[: len(wave)]
    soundfile.write(path, wave, SAMPLE_RATE, format="WAV", subtype="PCM_16")
