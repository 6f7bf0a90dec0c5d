"""The base of all settings."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """A frozen model that refuses unknown keys, and numbers that are not finite.

    NaN compares false with everything and infinity is never reached, so that either would switch a check off without a word.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong, in the words of the check: pydantic puts the kind of error before them."""
    return error.errors()[0]["msg"].removeprefix("Value error, ")
