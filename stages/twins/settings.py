"""What `twins` can be told."""

from pydantic import Field, model_validator

from pipeline.engine.settings import Settings
from pipeline.media.twins.limits import Limits


class TwinsSettings(Settings):
    """From when on two videos hold the same footage, and from when on splits keep them together."""

    max_bit_error: float = Field(
        Limits.max_bit_error,
        ge=0,
        le=0.3,
        description="share of a fingerprint's bits that may differ over five seconds; other people's differ in 0.28 and more",
    )
    min_motion_likeness: float = Field(
        0.7,
        ge=0.6,
        le=1,
        description="correlation over five seconds of what moves in the picture; copies have 0.8, other people up to 0.6",
    )
    studio_films: int = Field(
        64, ge=1, description="videos of one studio that each is compared with by motion, the likest ones"
    )
    motion_pairs: int = Field(
        300_000,
        ge=0,
        description="pairs of videos of one studio that a run compares by motion, the likest ones; 1 to 35 ms each",
    )
    min_matched_seconds: float = Field(
        Limits.min_matched_seconds, ge=5, description="sound or motion in common that makes two videos twins, seconds"
    )
    min_matched_share: float = Field(
        Limits.min_matched_share,
        gt=0,
        le=1,
        description="share of the shorter video that this has to be, unless it is long: two talks may begin with one jingle",
    )
    long_matched_seconds: float = Field(
        Limits.long_matched_seconds,
        ge=5,
        description="sound or motion in common that is enough whatever its share, seconds",
    )
    near_bit_error: float = Field(Limits.near_bit_error, ge=0, le=0.3, description="like max_bit_error, for splits")
    near_motion_likeness: float = Field(0.65, ge=0.6, le=1, description="like min_motion_likeness, for splits")
    near_matched_share: float = Field(
        Limits.near_matched_share, gt=0, le=1, description="like min_matched_share, for splits"
    )
    near_matched_seconds: float = Field(
        Limits.near_matched_seconds, ge=5, description="like long_matched_seconds, for splits"
    )

    @model_validator(mode="after")
    def _near_is_looser(self) -> "TwinsSettings":
        """What makes twins makes them near."""
        looser = (
            self.near_bit_error >= self.max_bit_error
            and self.near_motion_likeness <= self.min_motion_likeness
            and self.near_matched_share <= self.min_matched_share
            and self.near_matched_seconds <= self.long_matched_seconds
        )
        if not looser:
            raise ValueError("the limits near_* are for splits, and no stricter than those of twins")
        return self

    @property
    def limits(self) -> Limits:
        """The same for who compares without a stage."""
        return Limits(**{name: getattr(self, name) for name in Limits.__dataclass_fields__})
