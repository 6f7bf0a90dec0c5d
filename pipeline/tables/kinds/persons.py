"""People tracked in clips, with their keypoints."""

import pyarrow as pa

from pipeline.base.units import KEYPOINTS
from pipeline.tables.kinds.kind import (
    CLIP,
    FRAME_LIST_WIDTH,
    PERSON,
    VIDEO,
    B,
    F,
    I,
    Kind,
    S,
    column,
    frames,
)

PERSONS = Kind(
    "persons",
    key="person_id",
    parent="clips",
    unit_of="clips",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("person", I, "", "rank by (first frame seen, x)"),
        column("frames", I, "frames", "of the clip"),
        column("frames_seen", I, "frames", "in which the person is seen"),
        column("width", I, "px", "picture"),
        column("height", I, "px", "picture"),
        column("keypoints", frames(FRAME_LIST_WIDTH), "px", "x, y of 133 points in source pixels; NaN where unseen"),
        column("scores", frames(KEYPOINTS), "0..1", "confidence a point"),
        column("boxes", frames(4), "px", "x1, y1, x2, y2 a frame; NaN where unseen"),
        column(
            "face_sharpness",
            pa.list_(pa.float32()),
            "grey levels^2",
            "variance of the Laplacian of the face at a fixed size, a frame",
        ),
        column("smoothed", B, "", "keypoints came smoothed (released poses): never smooth them again"),
        column("pose_space", S, "", "space in which released poses were found to be; null for our own"),
        column("frame_offset", I, "frames", "by which released poses are shifted against the clip; null for our own"),
        column(
            "agreement",
            F,
            "shoulder widths",
            "median distance of released poses to our own annotation, where compared",
        ),
    ),
)
