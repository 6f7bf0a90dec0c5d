"""The hard programme: what editors, cameras and sites do to footage, with the verdict that each take deserves all the same."""

from dataclasses import replace

from pipeline.base.reasons import Reason
from pipeline.theatre.takes import (
    ADA,
    BEN,
    CAI,
    DOV,
    EVA,
    FYN,
    GIA,
    HAL,
    V_ADA,
    V_BEN,
    V_CAI,
    V_DOV,
    V_EVA,
    V_FYN,
    V_GIA,
    V_HAL,
    Actor,
    Shot,
    Take,
)  # fmt: skip


def _codes(*reasons: Reason) -> frozenset[str]:
    return frozenset(reason.code for reason in reasons)


# Somebody else in the same clothes, as a face swap makes: no cut that a shot finder could find.
_SWAPPED = replace(BEN, top=ADA.top, bottom=ADA.bottom, top_style=ADA.top_style)

HARD: tuple[Take, ...] = (
    Take("dissolve", "One speaker dissolves into another",
         (Shot(6.4, (Actor(ADA, V_ADA, speaks=(0.0, 5.4)),), "study"),
          Shot(6.4, (Actor(BEN, V_BEN, speaks=(1.0, 6.4)),), "stage")),
         clips=2, blend="dissolve", blend_seconds=1.0),
    Take("wipe", "One speaker is wiped away by another",
         (Shot(6.2, (Actor(CAI, V_CAI, speaks=(0.0, 5.4)),), "lounge"),
          Shot(6.2, (Actor(DOV, V_DOV, speaks=(0.8, 6.2)),), "news")),
         clips=2, blend="wipe", blend_seconds=0.8),
    Take("photo-zoom", "A photograph under a voice and a slow zoom",
         (Shot(5.8, (Actor(EVA, V_EVA, unit=190),), "class", "push", frozen=True),), "drop",
         _codes(Reason.STILL), _codes(Reason.STATIC_POSE, Reason.LIPS_DO_NOT_MATCH, Reason.LATE_SOUND)),
    Take("hdr", "A file in PQ and BT.2020", (Shot(5.8, (Actor(FYN, V_FYN),), "lounge"),), transfer="pq"),
    Take("restarted", "Two files with clocks of their own, joined byte by byte",
         (Shot(5.8, (Actor(GIA, V_GIA),), "class"), Shot(5.8, (Actor(HAL, V_HAL),), "study")),
         clips=2, suffix=".ts", restarts=True),
    Take("slow-camera", "Twelve pictures a second, doubled to 25", (Shot(5.8, (Actor(DOV, V_DOV),), "stage"),), "drop",
         _codes(Reason.REPEATED_FRAMES), _codes(Reason.JITTERY), camera_fps=12),
    Take("swapped", "One speaker becomes another in the same clothes",
         (Shot(7.0, (Actor(ADA, V_ADA, becomes=_SWAPPED, becomes_at=3.4),), "news"),), "drop",
         _codes(Reason.NOT_ONE_FACE)),
)  # fmt: skip
