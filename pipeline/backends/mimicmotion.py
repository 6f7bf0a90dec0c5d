"""MimicMotion: an array of drawn skeletons and a picture in, a folder of pictures out (github.com/Tencent/MimicMotion).

Its own program finds skeletons in a driving video. Ours are known, so that `mimicmotion_runner.py` calls its pipeline instead;
it is copied beside the inputs and runs in MimicMotion's own environment.
"""

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import ClassVar

import numpy as np

from pipeline.backends.backend import Backend, Cut
from pipeline.backends.geometry import cover_box, cut_view, frames_at, into_view, rate_of, size_of
from pipeline.backends.inputs import controls, write_png
from pipeline.backends.job import Job, Options, Plan, View
from pipeline.backends.outputs import numbered
from pipeline.base.arrays import Picture
from pipeline.skeleton.control import draw_control

SHORT_PX, LONG_PX, STEP_PX = 576, 1024, 64
TILE, OVERLAP = 72, 6  # pictures that its net sees at once, the reference's pose among them; it fails with fewer
FPS = 15


class MimicMotion(Backend):
    """A film as upright, square or wide as the picture; its pictures are 15 a second, as in its training."""

    name: ClassVar[str] = "mimicmotion"
    source: ClassVar[str] = "https://github.com/Tencent/MimicMotion"
    needed: ClassVar[tuple[str, ...]] = ("inference.py", "mimicmotion/pipelines")
    weights: ClassVar[dict[str, str]] = {
        "base_model_path": "stabilityai/stable-video-diffusion-img2vid-xt-1-1",
        "ckpt_path": "models/MimicMotion_1-1.pth",
    }
    hub: ClassVar[frozenset[str]] = frozenset({"base_model_path"})
    step: ClassVar[int] = STEP_PX
    fps: ClassVar[int] = FPS
    cut: ClassVar[Cut | None] = Cut("main", "pipeline", ("asked",))

    def view(self, job: Job, options: Options) -> View:
        size = size_of(options.size, self.step) if options.size else _size(*job.picture.shape[:2])
        fps = rate_of(options.fps, self.fps)
        frames = frames_at(len(job.keypoints), fps)
        return View(cover_box(job, size), size, fps, frames, max(frames, TILE - 1))

    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        reference = cut_view(job.picture, view)
        write_png(work / "reference.png", reference)  # to look at
        first = draw_control(into_view(job.reference, view), job.reference_scores, view.size, "mimicmotion")
        poses = np.stack([first, *controls(job, view, "mimicmotion")])
        np.savez_compressed(
            work / "inputs.npz",
            pose_pixels=poses.transpose(0, 3, 1, 2),  # (1 + made, 3, h, w) uint8
            image_pixels=reference.transpose(2, 0, 1)[None],  # (1, 3, h, w) uint8
        )
        runner = work / "mimicmotion_runner.py"
        copyfile(Path(__file__).with_name(runner.name), runner)
        arguments = {
            **self.weights_of(options),
            "inputs": work / "inputs.npz",
            "output": work / "output",
            "num_frames": TILE,
            "frames_overlap": OVERLAP,
            "num_inference_steps": options.steps or 25,
            "noise_aug_strength": 0,
            "guidance_scale": 2.0 if options.guidance is None else options.guidance,
            "seed": 42 if options.seed is None else options.seed,
        }
        return (python, str(runner), *(f"--{name}={value}" for name, value in arguments.items()), *options.extra)

    def collect(self, job: Job, plan: Plan) -> Iterator[Picture]:
        return numbered(plan.work / "output", self.name, plan.view)


def _size(height: int, width: int) -> tuple[int, int]:
    """(width, height) for a picture: its shorter side 576, the longer one as the picture's proportions ask, 1024 at most."""
    long = min(LONG_PX, int(SHORT_PX * max(height, width) / min(height, width)) // STEP_PX * STEP_PX)
    return (SHORT_PX, long) if height >= width else (long, SHORT_PX)
