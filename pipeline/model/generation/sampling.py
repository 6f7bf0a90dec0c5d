"""Sampling settings of the audio-to-skeleton model, shared by every stage that generates."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.base.strict import Strict

STEPS = 100  # of the diffusion, which ddim divides evenly


class SamplingSettings(Strict):
    """Guidance, sampler, noise and windows of `AudioToSkeleton.generate`."""

    guidance: float | None = Field(
        None,
        ge=0,
        le=20,
        description="classifier-free guidance scale; 3.5, or 1 where reference and voice are of one clip",
    )
    sampler: Literal["ancestral", "ddim", "dpm"] = Field(
        "ancestral", description="ancestral: 100 steps as the release; ddim, dpm: DPM-Solver++ in 10 to 20"
    )
    sampler_steps: int = Field(0, ge=0, le=STEPS, description="network calls; 0: 100 for ancestral, else 20")
    seed: int = Field(0, ge=0, lt=2**31, description="another number draws another motion")
    overlap_frames: int = Field(50, ge=0, description="that neighbouring windows share at least, at 25 fps")

    @model_validator(mode="after")
    def _steps_fit(self) -> "SamplingSettings":
        if self.sampler == "ddim" and self.sampler_steps and STEPS % self.sampler_steps:
            raise ValueError(
                f"ddim takes 1, 2, 4, 5, 10, 20, 25, 50 or 100 steps, not {self.sampler_steps}: dpm takes any"
            )
        return self

    def sampling(self, usual_guidance: float) -> dict[str, Any]:
        """Arguments of `AudioToSkeleton.generate`, with this guidance scale where none is set."""
        return {
            "guidance": usual_guidance if self.guidance is None else self.guidance,
            "sampler": self.sampler,
            "steps": self.sampler_steps,
            "seed": self.seed,
            "overlap": self.overlap_frames,
        }
