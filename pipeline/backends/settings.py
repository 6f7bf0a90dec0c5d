"""Settings that choose a back-end and its options: `--backend` and its companions."""

import json
import shlex
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from pipeline.backends.job import Options
from pipeline.base.strict import Strict
from pipeline.engine.settings import runtime

Name = Literal[
    "skeleton", "stableanimator", "echomimicv2", "echomimicv2-acc", "mimicmotion", "wan-s2v", "vace-1.3b", "vace-14b"
]


class BackendSettings(Strict):
    """Which back-end films a motion, and how it is run."""

    backend: Name = Field(
        "skeleton", description="what makes a video of a motion; skeleton draws it and needs nothing else"
    )
    backend_dir: str = Field("", description="its checkout", json_schema_extra=runtime())
    backend_python: str = Field(
        "",
        description="interpreter of its own environment; by default `.venv` or `venv` in the checkout, else python3",
        json_schema_extra=runtime(),
    )
    backend_gpu: str = Field(
        "",
        description="CUDA_VISIBLE_DEVICES of the back-end, such as 0; wan-s2v and vace film a video on several, such as 0,1",
        json_schema_extra=runtime(),
    )
    backend_size: str = Field("", description="of its video, such as 512x512; its own by default")
    backend_fps: int = Field(0, ge=0, le=120, description="pictures a second of its video; 0: its own")
    backend_steps: int = Field(0, ge=0, le=1000, description="denoising steps; 0: its own")
    backend_guidance: float | None = Field(None, ge=0, le=50, description="its classifier-free guidance scale")
    backend_seed: int | None = Field(None, ge=0, lt=2**31, description="of its noise, where it takes one")
    backend_weights: dict[str, str] = Field(
        {},
        description="its own names of its weights -> where they are, from its checkout, "
        "such as {unet_model_name_or_path = 'finetuned/unet.pth'}; "
        "StableAnimator's of the paper: Hugging Face Moon-jack/Democratize-CSG",
    )
    backend_arguments: str = Field("", description="more arguments for its command line, as a shell would split them")
    backend_hours: float = Field(
        6.0, gt=0, description="after so long for one video it is stopped", json_schema_extra=runtime()
    )

    @field_validator("backend_arguments")
    @classmethod
    def _splits(cls, text: str) -> str:
        try:
            shlex.split(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not split as a shell would: {str(error).lower()}") from error
        return text

    def options(self) -> Options:
        """As an adapter takes them."""
        return Options(
            checkout=Path(self.backend_dir) if self.backend_dir else None,
            python=self.backend_python,
            gpu=self.backend_gpu,
            size=self.backend_size,
            fps=self.backend_fps,
            steps=self.backend_steps,
            guidance=self.backend_guidance,
            seed=self.backend_seed,
            weights=self.backend_weights,
            extra=tuple(shlex.split(self.backend_arguments)),
            deadline_seconds=self.backend_hours * 3600,
        )

    def backend_settings(self) -> str:
        """What of it can change a video, as JSON."""
        fields = ("size", "fps", "steps", "guidance", "seed", "weights", "arguments")
        return json.dumps({name: getattr(self, f"backend_{name}") for name in fields}, sort_keys=True)
