"""From when on two sounds are the same footage, and from when on they come near to it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """From when on two fingerprints are of one footage. Other people's differ in 0.28 of their bits and more.

    Attributes:
        max_bit_error: share of the bits that may differ over five seconds.
        min_matched_seconds: sound in common.
        min_matched_share: share of what the shorter one has to hear that this has to be, unless it is long.
        long_matched_seconds: sound in common that is enough whatever its share.
        near_bit_error, near_matched_share, near_matched_seconds: likewise, of what is no twin for sure.
    """

    max_bit_error: float = 0.2
    min_matched_seconds: float = 5.0
    min_matched_share: float = 0.5
    long_matched_seconds: float = 60.0
    near_bit_error: float = 0.24
    near_matched_share: float = 0.25
    near_matched_seconds: float = 20.0
