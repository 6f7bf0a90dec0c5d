"""Spans of videos on the 25-fps grid."""

import pyarrow as pa

from pipeline.tables.kinds.kind import CLIP, VIDEO, F, I, Kind, S, column, frames

CLIPS = Kind(
    "clips",
    key="clip_id",
    parent="videos",
    unit_of="videos",
    columns=(
        CLIP,
        VIDEO,
        column("first_frame", I, "frames", "on the 25-fps grid of the video"),
        column("frames", I, "frames", "at 25 fps"),
        column("start_seconds", F, "s", "first_frame / 25, or what the manifest said"),
        column("end_seconds", F, "s", ""),
        column("shot", I, "", "index of the shot in the video"),
        column("shot_first_frame", I, "frames", ""),
        column("shot_frames", I, "frames", ""),
        column("camera_motion", F, "picture widths/s", "95th percentile of global camera motion"),
        column(
            "picture_motion",
            F,
            "grey levels",
            "median over its seconds of the largest change of a place that no shift, zoom or roll of all explains",
        ),
        column(
            "inner_frames",
            frames(4, I),
            "px",
            "x1, y1, x2, y2 of each picture within the picture, half open; null where there is none",
        ),
        column(
            "repeated_frames",
            F,
            "share",
            "pictures that repeat the one before",
        ),
        column(
            "repeats",
            pa.list_(I),
            "frames",
            "pictures, from the clip's first, that are the one before, coded once more; null where there are none",
        ),
        column(
            "motion_print",
            pa.binary(),
            "",
            "what moves in 4 x 4 cells, 12.5 times a second, uint8 each; stays in the run folder; null: not looked at",
        ),
        column(
            "scene_print", pa.binary(), "", "thumbnail of 8 x 8 cells, uint8 each; stays in the run folder; likewise"
        ),
        column("manifest_crop_box", pa.list_(F, 4), "px", "x1, y1, x2, y2 as released, in pixels of the video"),
        column(
            "manifest_crop_boxes",
            frames(4, F),
            "px",
            "all of them, where several rows show these pictures; else null",
        ),
        column("manifest_line", I, "", "line or entry of the manifest, from 1; null where there is none"),
        column("manifest_name", S, "", "{vid}_{part}_{start}_{end} of the manifest"),
    ),
)
