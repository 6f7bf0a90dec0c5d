"""What table 3 is made with."""

from pydantic import Field

from pipeline.backends.settings import BackendSettings
from pipeline.engine.settings import Settings

VARIANTS = {
    "without reference": "reference",
    "cross-attention": "concat",
    "without local": "local",
    "full": "",
}


class Table3Settings(BackendSettings, Settings):
    """The variants, and what films them; trainings are as `train` says, evaluations as `evaluate` does."""

    variants: tuple[str, ...] = Field(tuple(VARIANTS), min_length=1, description=f"of {', '.join(VARIANTS)}")
    steps: int = Field(0, ge=0, description="optimiser steps of each training; 0: as train.steps says")
