"""StableAnimator: a folder of drawn skeletons and a picture in, pictures out (github.com/Francis-Rings/StableAnimator)."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pipeline.backends.backend import Backend, Cut
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.geometry import cover_box, frames_at, rate_of, size_of
from pipeline.backends.inputs import controls, write_png, write_reference
from pipeline.backends.job import Job, Options, Plan, View
from pipeline.backends.outputs import numbered
from pipeline.base.arrays import Picture
from pipeline.base.units import FPS

TILE, OVERLAP = 16, 4  # frames that its net sees at once; it fails with fewer
SQUARE, UPRIGHT = "512x512", "576x1024"  # what it was trained on
_UPRIGHT_FROM = 4 / 3  # height by width: between the two, as ratios go
_SVD = ("checkpoints/SVD/stable-video-diffusion-img2vid-xt", "checkpoints/SVD")  # its command and its readme disagree


class StableAnimator(Backend):
    """Pictures go in and out one to one, so that 25 a second stay 25. Its seed is fixed in its code."""

    name: ClassVar[str] = "stableanimator"
    source: ClassVar[str] = "https://github.com/Francis-Rings/StableAnimator"
    needed: ClassVar[tuple[str, ...]] = ("inference_basic.py", "animation/pipelines")
    weights: ClassVar[dict[str, str]] = {
        "pretrained_model_name_or_path": _SVD[0],
        "posenet_model_name_or_path": "checkpoints/Animation/pose_net.pth",
        "face_encoder_model_name_or_path": "checkpoints/Animation/face_encoder.pth",
        "unet_model_name_or_path": "checkpoints/Animation/unet.pth",
    }
    hub: ClassVar[frozenset[str]] = frozenset({"pretrained_model_name_or_path"})
    step: ClassVar[int] = 64
    fps: ClassVar[int] = FPS
    cut: ClassVar[Cut | None] = Cut("", "pipeline", ("args", "generator"))

    def check(self, options: Options) -> None:
        super().check(options)
        if options.seed is not None:
            raise BackendError(
                Trouble.BAD_JOB, f"seed {options.seed}: StableAnimator's is fixed in its code, leave it out"
            )

    def view(self, job: Job, options: Options) -> View:
        height, width = job.picture.shape[:2]
        size = size_of(options.size or (UPRIGHT if height > _UPRIGHT_FROM * width else SQUARE), self.step)
        fps = rate_of(options.fps, self.fps)
        frames = frames_at(len(job.keypoints), fps)
        return View(cover_box(job, size), size, fps, frames, max(frames, TILE))

    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        write_reference(work / "reference.png", job, view)
        poses = work / "poses"
        poses.mkdir()
        for n, picture in enumerate(controls(job, view, "stableanimator")):
            write_png(poses / f"frame_{n}.png", picture)
        weights = self.weights_of(options)
        arguments = {
            **weights,
            "output_dir": str(work / "output"),
            "validation_control_folder": str(poses),
            "validation_image": str(work / "reference.png"),
            "width": view.size[0],
            "height": view.size[1],
            "guidance_scale": 3.0 if options.guidance is None else options.guidance,
            "num_inference_steps": options.steps or 25,
            "tile_size": TILE,
            "overlap": OVERLAP,
            "frames_overlap": OVERLAP,  # this one is looked at, the other only read
            "noise_aug_strength": 0.02,
            "decode_chunk_size": 4,
        }
        listed = [f"--{name}={value}" for name, value in arguments.items()]
        return (python, "inference_basic.py", *listed, "--gradient_checkpointing", *options.extra)

    def weights_of(self, options: Options) -> dict[str, str]:
        weights = super().weights_of(options)
        name = "pretrained_model_name_or_path"
        if name not in options.weights and options.checkout and (options.checkout / _SVD[1] / "unet").is_dir():
            weights[name] = _SVD[1]
        return weights

    def collect(self, job: Job, plan: Plan) -> Iterator[Picture]:
        return numbered(plan.work / "output" / "animated_images", self.name, plan.view)
