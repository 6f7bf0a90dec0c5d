"""VACE on Wan2.1: a video of drawn skeletons and a picture in, a video out (github.com/ali-vilab/VACE).

It makes 81 pictures at once, five seconds. `vace_runner.py`, which is copied beside the inputs, has its program make longer
films window by window.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import ClassVar

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.geometry import cover_box, frames_at, rate_of
from pipeline.backends.inputs import controls, write_pose_video, write_reference
from pipeline.backends.job import Job, Options, Plan, View
from pipeline.backends.outputs import filmed
from pipeline.backends.wan import PROMPT, Wan, gpus, spread
from pipeline.base.arrays import Picture

WINDOW = 81  # pictures; windows have 4n + 1
OVERLAP = 9  # pictures that a window has in common with the one before; 4n + 1
_SMALL, _LARGE = 480 * 832, 720 * 1280  # px, of its `480p` and `720p`


class Vace1B(Wan):
    """Body and face from the skeleton, the lips with it; its task `pose` draws no hands. It hears no voice."""

    name: ClassVar[str] = "vace-1.3b"
    source: ClassVar[str] = "https://github.com/ali-vilab/VACE"
    needed: ClassVar[tuple[str, ...]] = ("vace/vace_wan_inference.py", "vace/models/wan/wan_vace.py")
    weights: ClassVar[dict[str, str]] = {"ckpt_dir": "models/Wan2.1-VACE-1.3B"}
    hosted: ClassVar[str] = "Wan-AI/Wan2.1-VACE-1.3B"
    step: ClassVar[int] = 16
    usual_px: ClassVar[int] = _SMALL
    largest_px: ClassVar[int] = _SMALL
    heads: ClassVar[int] = 12
    model: ClassVar[str] = "vace-1.3B"

    def view(self, job: Job, options: Options) -> View:
        size = self.size(job, options)
        fps = rate_of(options.fps, self.fps)
        frames = frames_at(len(job.keypoints), fps)
        windows, length = _windows(frames)
        return View(cover_box(job, size), size, fps, frames, OVERLAP + windows * (length - OVERLAP))

    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        if "," in str(work):
            raise BackendError(
                Trouble.BAD_JOB, f"{work}: VACE takes a comma for the end of a path, choose another name"
            )
        write_reference(work / "reference.png", job, view)
        windows, length = _windows(view.frames)
        poses = self._write_poses(job, view, work / "poses", windows, length)
        runner = work / "vace_runner.py"
        copyfile(Path(__file__).with_name(runner.name), runner)
        arguments = {
            "model_name": self.model,
            "size": "480p" if math.prod(view.size) <= _SMALL else "720p",
            "frame_num": length,
            **self.weights_of(options),
            "src_video": poses[0],
            "src_ref_images": work / "reference.png",
            "prompt": PROMPT,
            "sample_steps": options.steps or 50,
            "sample_guide_scale": 5.0 if options.guidance is None else options.guidance,
            "base_seed": 2025 if options.seed is None else options.seed,
            "save_dir": work / "output",
            "save_file": work / "output" / "film.mp4",
        }
        listed = [f"--overlap={OVERLAP}", *(f"--next_video={path}" for path in poses[1:])]
        listed += [f"--{name}={value}" for name, value in arguments.items()]
        return (*spread(python, options, work), str(runner), *listed, *self._sharing(options), *options.extra)

    def _write_poses(self, job: Job, view: View, folder: Path, windows: int, length: int) -> list[Path]:
        folder.mkdir()
        drawn = list(controls(job, view, "vace"))
        paths = [folder / f"{n}.mp4" for n in range(windows)]
        for n, path in enumerate(paths):
            first = n * (length - OVERLAP)
            write_pose_video(path, drawn[first : first + length], view)
        return paths

    def _sharing(self, options: Options) -> list[str]:
        count = gpus(options)
        if count == 1:
            return []
        ulysses, ring = (count, 1) if self.heads % count == 0 else (1, count)
        return ["--dit_fsdp", "--t5_fsdp", f"--ulysses_size={ulysses}", f"--ring_size={ring}"]

    def collect(self, job: Job, plan: Plan) -> Iterator[Picture]:
        return filmed(plan.work / "output" / "film.mp4", self.name, plan.view, 0)


class Vace14B(Vace1B):
    """The larger net, which also makes 1280x720."""

    name: ClassVar[str] = "vace-14b"
    weights: ClassVar[dict[str, str]] = {"ckpt_dir": "models/Wan2.1-VACE-14B"}
    hosted: ClassVar[str] = "Wan-AI/Wan2.1-VACE-14B"
    largest_px: ClassVar[int] = _LARGE
    heads: ClassVar[int] = 40
    model: ClassVar[str] = "vace-14B"


def _windows(frames: int) -> tuple[int, int]:
    """How many windows, and how many pictures each: as few as can be, and then as short."""
    windows = max(1, math.ceil((frames - OVERLAP) / (WINDOW - OVERLAP)))
    return windows, OVERLAP + max(1, math.ceil((frames - OVERLAP) / windows / 4)) * 4
