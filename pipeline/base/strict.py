"""The base of all settings."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen model that refuses unknown keys, and numbers that are not finite.

    NaN compares false with everything and infinity is never reached, so that either would switch a check off without a word.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
