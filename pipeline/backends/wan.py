"""Wan2.2-S2V: a picture, the voice and a video of drawn skeletons in, a video out (github.com/Wan-Video/Wan2.2).

Also what it has in common with VACE, which is built on Wan2.1: a fixed rate, sizes by their area, several GPUs.
"""

import math
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from shutil import copyfile
from typing import ClassVar

import numpy as np
import soundfile

from pipeline.backends.backend import Backend
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.geometry import cover_box, frames_at, rate_of, size_of
from pipeline.backends.inputs import controls, write_pose_video, write_reference
from pipeline.backends.job import Job, Options, Plan, View
from pipeline.backends.outputs import filmed
from pipeline.base.arrays import Picture
from pipeline.base.units import SAMPLE_RATE

FPS = 16
PROMPT = (
    "A person faces the camera and speaks, with natural gestures of both hands. "
    "The camera does not move, and the background stays as it is."
)
_MAX_SIDE_PX = 1280
_SMALLER = 0.8  # of the usual area, at least, where a smaller one has the picture's proportions
# S2V's `--size` is an area, by the name of a size that has it.
_AREAS = {480 * 832: "480*832", 1024 * 704: "1024*704", 704 * 1280: "704*1280", 720 * 1280: "720*1280"}


class Wan(Backend):
    """What back-ends on Wan share.

    Attributes:
        usual_px: area of its films by default.
        largest_px: and at most.
        heads: attention heads, which several GPUs share out.
    """

    fps: ClassVar[int] = FPS
    usual_px: ClassVar[int]
    largest_px: ClassVar[int]
    heads: ClassVar[int]

    def check(self, options: Options) -> None:
        super().check(options)
        if options.fps not in (0, FPS):
            raise BackendError(
                Trouble.BAD_JOB, f"fps {options.fps}: {self.name}'s {FPS} is fixed in its code, leave it out"
            )
        if options.size and math.prod(size_of(options.size, self.step)) > self.largest_px:
            raise BackendError(
                Trouble.BAD_JOB, f"size {options.size}: {self.name} takes {self.largest_px} px at most, such as 832x480"
            )

    def size(self, job: Job, options: Options) -> tuple[int, int]:
        if options.size:
            return size_of(options.size, self.step)
        height, width = job.picture.shape[:2]
        return nearest_size(height, width, self.usual_px, self.step)


def nearest_size(height: int, width: int, area: int, step: int) -> tuple[int, int]:
    """(width, height), multiples of `step`, of nearly that area at most and nearly the picture's proportions."""
    sides = range(step, _MAX_SIDE_PX + 1, step)
    fitting = [(w, h) for w in sides for h in sides if _SMALLER * area <= w * h <= area]
    return min(
        fitting, key=lambda size: abs(math.log(size[0] * height / (size[1] * width))) + 1 - math.prod(size) / area
    )


def gpus(options: Options) -> int:
    """How many GPUs `--backend-gpu` names, such as 4 for "0,1,2,3"; 1 for none."""
    return max(1, len([name for name in options.gpu.split(",") if name.strip()]))


def spread(python: str, options: Options, work: Path) -> tuple[str, ...]:
    """The beginning of a command that runs a program of Python on every GPU that is named."""
    if gpus(options) == 1:
        return (python,)
    ranks = work / "ranks.py"
    copyfile(Path(__file__).with_name(ranks.name), ranks)
    return (python, str(ranks), str(gpus(options)))


class WanS2V(Wan):
    """Lips from the voice, gestures from the skeleton: its pose videos show body and hands, no face.

    It makes clips of up to 80 pictures, each going on from the one before, and throws the first three pictures away, after it has
    looked at their poses and their sound. So the first pose, and silence, come three pictures earlier here: else voice and
    gestures would be 0.19 s late.
    """

    name: ClassVar[str] = "wan-s2v"
    source: ClassVar[str] = "https://github.com/Wan-Video/Wan2.2"
    needed: ClassVar[tuple[str, ...]] = ("generate.py", "wan/speech2video.py")
    weights: ClassVar[dict[str, str]] = {"ckpt_dir": "./Wan2.2-S2V-14B"}
    hosted: ClassVar[str] = "Wan-AI/Wan2.2-S2V-14B"
    step: ClassVar[int] = 64
    usual_px: ClassVar[int] = 1024 * 704
    largest_px: ClassVar[int] = 720 * 1280
    heads: ClassVar[int] = 40
    clip: ClassVar[tuple[int, int]] = (48, 80)  # pictures of a clip, as its program advises; multiples of 4
    thrown_away: ClassVar[int] = 3

    def check(self, options: Options) -> None:
        super().check(options)
        if self.heads % gpus(options):
            raise BackendError(
                Trouble.BAD_JOB,
                f"gpu {options.gpu}: Wan2.2-S2V shares its {self.heads} attention heads out, name 1, 2, 4, 5 or 8 GPUs",
            )

    def view(self, job: Job, options: Options) -> View:
        size = self.size(job, options)
        fps = rate_of(options.fps, self.fps)
        frames = frames_at(len(job.keypoints), fps)
        lead = self._lead(options)
        return View(cover_box(job, size), size, fps, frames, math.prod(self._clips(frames + lead)) - lead)

    def _lead(self, options: Options) -> int:
        return 0 if "--start_from_ref" in options.extra else self.thrown_away

    def _clips(self, frames: int) -> tuple[int, int]:
        """How many clips, and how many pictures each: as few as can be, and then as short."""
        least, most = self.clip
        clips = math.ceil(frames / most)
        return clips, max(least, math.ceil(frames / clips / 4) * 4)

    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        lead = self._lead(options)
        clips, length = self._clips(view.frames + lead)
        write_reference(work / "reference.png", job, view)
        drawn = iter(controls(job, view, "wan-s2v"))
        first = next(drawn)
        write_pose_video(work / "poses.mp4", chain(repeat(first, lead + 1), drawn), view)
        _write_voice(work / "voice.wav", job, lead, clips * length)
        arguments = {
            "task": "s2v-14B",
            "size": _AREAS[min(area for area in _AREAS if area >= math.prod(view.size))],
            **self.weights_of(options),
            "image": work / "reference.png",
            "audio": work / "voice.wav",
            "pose_video": work / "poses.mp4",
            "prompt": PROMPT,
            "num_clip": clips,
            "infer_frames": length,
            "sample_steps": options.steps or 40,
            "sample_guide_scale": 4.5 if options.guidance is None else options.guidance,
            "base_seed": 42 if options.seed is None else options.seed,
            "save_file": work / "output.mp4",
        }
        listed = [f"--{name}={value}" for name, value in arguments.items()]
        count = gpus(options)
        memory = ["--offload_model=True", "--convert_model_dtype"]
        sharing = ["--dit_fsdp", "--t5_fsdp", f"--ulysses_size={count}"]
        listed += sharing if count > 1 else memory
        return (*spread(python, options, work), "generate.py", *listed, *options.extra)

    def collect(self, job: Job, plan: Plan) -> Iterator[Picture]:
        return filmed(plan.work / "output.mp4", self.name, plan.view, 0)


def _write_voice(path: Path, job: Job, lead: int, frames: int) -> None:
    """The voice after `lead` pictures of silence, and silence up to `frames` pictures: the film ends where the sound does."""
    wave = np.zeros(frames * SAMPLE_RATE // FPS, np.float32)
    if job.wave is not None:
        heard = wave[lead * SAMPLE_RATE // FPS :]
        heard[: len(job.wave)] = job.wave[: len(heard)]
    soundfile.write(path, wave, SAMPLE_RATE, format="WAV", subtype="PCM_16")
