"""Which persons are kept, and why the others are not."""

import pyarrow as pa

from pipeline.tables.kinds.kind import CLIP, PERSON, VIDEO, B, Kind, S, column

VERDICTS = Kind(
    "verdicts",
    key="person_id",
    parent="persons",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("keep", B, "", ""),
        column("reasons", pa.list_(S), "", "codes of every reason against it, not the first alone"),
        column("details", pa.list_(S), "", "a line a reason: measure, value, threshold"),
        column("unmeasured", pa.list_(S), "", "measures that were not there to be judged"),
        column("overridden", B, "", "a human decided"),
        column("copy_of", S, "", "video_id of the better copy, for which this one was dropped; else null"),
    ),
    mentions=("copy_of",),
)
