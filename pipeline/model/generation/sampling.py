"""Sampling settings of the audio-to-skeleton model, shared by every stage that generates, and their defaults by model."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.base.strict import Strict

STEPS = 100  # of the diffusion, which ddim divides evenly
Sampler = Literal["ancestral", "ddim", "dpm"]
Smooth = Literal["none", "paper", "release"]


@dataclass(frozen=True)
class Usual:
    """Sampling where nothing else is asked for.

    Attributes:
        unpaired, paired: guidance scale where reference and voice are of two clips, and of one.
        begin_at_reference, smooth, sampler: as in `SamplingSettings`.
    """

    unpaired: float
    paired: float
    begin_at_reference: int
    smooth: Smooth
    sampler: Sampler


PUBLISHED = Usual(3.5, 1.0, 0, "none", "ancestral")  # the paper's, and its release's
OURS = Usual(1.0, 1.0, 5, "release", "dpm")  # of tests/bench/results/2026-11-29-generation.txt


class SamplingSettings(Strict):
    """Guidance, sampler, noise and windows of `AudioToSkeleton.generate`."""

    guidance: float | None = Field(
        None,
        ge=0,
        le=20,
        description="classifier-free guidance scale; 1, or 3.5 for a model of the paper's recipe where reference and voice are of "
        "two clips",
    )
    guidance_from: float = Field(
        0.0, ge=0, le=1, description="least noise level that is guided; 0 is none, 1 all noise"
    )
    guidance_to: float = Field(1.0, ge=0, le=1, description="greatest noise level that is guided")
    guidance_rescale: float = Field(
        0.0, ge=0, le=1, description="share by which guided motion is brought back to the amplitude of unguided motion"
    )
    begin_at_reference: int = Field(
        -1,
        ge=-1,
        le=25,
        description="first frames that stand at the reference, against a jump; -1: 5, or 0 for a model of the paper's recipe",
    )
    smooth: Literal["auto", "none", "paper", "release"] = Field(
        "auto",
        description="Savitzky-Golay filter over the motion: paper (all but the mouth) or release (the mouth too, less); "
        "auto: release, or none for a model of the paper's recipe",
    )
    sampler: Literal["auto", "ancestral", "ddim", "dpm"] = Field(
        "auto",
        description="ancestral: 100 steps as the release; ddim, dpm: DPM-Solver++ in 10 to 20; auto: dpm, or ancestral for a model "
        "of the paper's recipe",
    )
    sampler_steps: int = Field(0, ge=0, le=STEPS, description="network calls; 0: 100 for ancestral, else 20")
    seed: int = Field(0, ge=0, lt=2**31, description="another number draws another motion")
    overlap_frames: int = Field(50, ge=0, description="that neighbouring windows share at least, at 25 fps")

    @model_validator(mode="after")
    def _possible(self) -> "SamplingSettings":
        if self.sampler == "ddim" and self.sampler_steps and STEPS % self.sampler_steps:
            raise ValueError(
                f"ddim takes 1, 2, 4, 5, 10, 20, 25, 50 or 100 steps, not {self.sampler_steps}: dpm takes any"
            )
        if self.guidance_from > self.guidance_to:
            raise ValueError(
                f"guidance_from {self.guidance_from:g} is above guidance_to {self.guidance_to:g}: nothing would be guided "
                "(guidance=1 says that)"
            )
        return self

    def sampling(self, *, paired: bool, published: bool) -> dict[str, Any]:
        """Arguments of `AudioToSkeleton.generate`.

        Args:
            paired: whether reference and voice are of one clip.
            published: whether the model is of the paper's recipe (`AudioToSkeleton.published`), and samples as the paper does
                where nothing else is asked.
        """
        usual = PUBLISHED if published else OURS
        guidance = usual.paired if paired else usual.unpaired
        begin = usual.begin_at_reference if self.begin_at_reference < 0 else self.begin_at_reference
        return {
            "guidance": guidance if self.guidance is None else self.guidance,
            "guidance_interval": (self.guidance_from, self.guidance_to),
            "guidance_rescale": self.guidance_rescale,
            "begin_at_reference": begin,
            "smooth": usual.smooth if self.smooth == "auto" else self.smooth,
            "sampler": usual.sampler if self.sampler == "auto" else self.sampler,
            "steps": self.sampler_steps,
            "seed": self.seed,
            "overlap": self.overlap_frames,
        }
