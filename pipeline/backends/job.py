"""A back-end's job, options, view, plan and result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.backends.errors import BackendError, Trouble
from pipeline.base.arrays import Floats, Picture
from pipeline.base.units import SAMPLES_PER_FRAME, Box
from pipeline.skeleton.layout import K


@dataclass(frozen=True, eq=False)
class Job:
    """What to render: a person known by one picture, a motion, and a voice.

    Attributes:
        keypoints: (F, 133, 2) px of the picture, NaN where unseen, at 25 fps; it may leave the picture.
        scores: (F, 133).
        picture: (H, W, 3) uint8 RGB, the reference.
        reference: (133, 2) px, the skeleton of the person in that picture, NaN where unseen.
        reference_scores: (133,).
        wave: (F x 640,) float32 at 16 kHz, or None; its first sample is heard with picture 0.

    Raises:
        BackendError: BAD_JOB when shapes do not fit each other.
    """

    keypoints: Floats
    scores: Floats
    picture: Picture
    reference: Floats
    reference_scores: Floats
    wave: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        frames = len(self.keypoints)
        wanted = {"keypoints": (frames, K, 2), "scores": (frames, K), "reference": (K, 2), "reference_scores": (K,)}
        if self.wave is not None:
            wanted["wave"] = (frames * SAMPLES_PER_FRAME,)
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise BackendError(
                    Trouble.BAD_JOB, f"{name} of shape {getattr(self, name).shape}, wanted {shape}: shapes must agree"
                )
        if frames == 0:
            raise BackendError(Trouble.BAD_JOB, "a motion of no frames: there is nothing to render")
        if self.picture.ndim != 3 or self.picture.shape[2] != 3 or self.picture.dtype != np.uint8:
            raise BackendError(
                Trouble.BAD_JOB, f"a picture of {self.picture.shape} {self.picture.dtype}, wanted (H, W, 3) uint8"
            )


@dataclass(frozen=True)
class Options:
    """Options of a back-end. Empty and 0 stand for the back-end's own default.

    Attributes:
        checkout: folder of the back-end's source.
        python: interpreter of the back-end's own environment; by default `.venv/bin/python` or `venv/bin/python` in the
            checkout, else `python3`.
        gpu: CUDA_VISIBLE_DEVICES of the back-end, such as "0"; "" leaves it as it is.
        size: "512x512", width by height, of the film.
        fps: pictures a second of the film.
        steps: denoising steps.
        guidance: classifier-free guidance scale.
        seed: of the noise; None leaves it to the back-end. StableAnimator takes none.
        weights: of the back-end's own names for its weights to their paths; see `Backend.weights`.
        extra: more arguments for the back-end's command line.
        deadline_seconds: after that long the back-end is stopped.
    """

    checkout: Path | None = None
    python: str = ""
    gpu: str = ""
    size: str = ""
    fps: int = 0
    steps: int = 0
    guidance: float | None = None
    seed: int | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    deadline_seconds: float = 6 * 3600.0


@dataclass(frozen=True)
class View:
    """What the rendered video shows: its size, rate and crop.

    Attributes:
        box: x1, y1, x2, y2, half open, px of the reference picture; it may leave it, the outside is black.
        size: (width, height) of the film, px.
        fps: pictures a second: picture n is shown from n/fps s.
        frames: of the film.
        made: pictures that the back-end is asked for, no fewer; those past `frames` repeat the last pose and are cut away.
    """

    box: Box
    size: tuple[int, int]
    fps: Fraction
    frames: int
    made: int


@dataclass(frozen=True)
class Plan:
    """A back-end's inputs, written, and the command that makes pictures of them.

    Attributes:
        name: of the back-end.
        view: what the film will show.
        work: the folder with the inputs; the output goes there too where the back-end allows.
        command: the arguments, interpreter first; () where nothing is to be run.
        folder: where it has to be run: the checkout.
    """

    name: str
    view: View
    work: Path
    command: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Filmed:
    """A film that was written.

    Attributes:
        path: the mp4.
        box: x1, y1, x2, y2 px of the reference picture, that it shows; it may leave the picture.
        size: (width, height) px.
        fps: pictures a second.
        frames: of it.
        log: what the back-end said; None where none was run.
        command: what was run; () where nothing was.
    """

    path: Path
    box: Box
    size: tuple[int, int]
    fps: Fraction
    frames: int
    log: Path | None
    command: tuple[str, ...]
