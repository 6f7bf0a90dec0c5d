"""Which videos of a run hold the same footage, and by what that was found."""

import pyarrow as pa

from pipeline.tables.kinds.kind import VIDEO, B, F, I, Kind, S, column

SOUND_FINGERPRINTS = Kind(
    "sound_fingerprints",
    key="video_id",
    parent="videos",
    unit_of="videos",
    columns=(
        VIDEO,
        column("fingerprint_of", S, "", "chromaprint-1; null: no sound that decodes, or an ffmpeg without Chromaprint"),
        column("fingerprint_items", I, "", "items, one each 1365/11025 s; null likewise"),
        column("fingerprint", pa.binary(), "", "little-endian uint32 each; stays in the run folder"),
    ),
)

TWINS = Kind(
    "twins",
    key="video_id",
    parent="sound_fingerprints",
    columns=(
        VIDEO,
        column("cluster_id", S, "", "the same for videos of the same footage; null: no other video has it"),
        column("twin_of", S, "", "video_id of the better copy of what they share; null where this is the best"),
        column("how", S, "", "by what the two were found alike: sound, motion or both"),
        column("mirrored", B, "", "its picture is that of `twin_of` mirrored; null: not found alike by motion"),
        column("speed", F, "", "how much faster this one plays than `twin_of`; 1 where it cannot be told from that"),
        column("offset_seconds", F, "s", "time of `twin_of` at this one's beginning"),
        column("matched_seconds", F, "s", "of this video that `twin_of` has too: of its sound, else of its motion"),
        column("bit_error", F, "share", "bits of the matched fingerprints that differ; null: not found alike by sound"),
        column(
            "motion_likeness", F, "", "correlation of what moves, mean of what matched; null: not found alike by motion"
        ),
        column("kept", B, "", "no better copy of any part of it is in the run"),
        column(
            "better_spans",
            pa.list_(pa.list_(F, 2)),
            "s",
            "from, to: parts of this video of which a better copy is there",
        ),
        column("near_cluster_id", S, "", "likewise by looser limits, which splits go by; null: no other video is near"),
    ),
    mentions=("twin_of",),
)
