"""Files that are made of the tables: pictures, shards, reports, releases."""

import pyarrow as pa

from pipeline.tables.kinds.kind import VIDEO, F, I, Kind, S, column

PREVIEWS = Kind(
    "previews",
    key="preview_id",
    columns=(
        column("preview_id", S, "", "a person_id, clip_id or video_id"),
        VIDEO,
        column("path", S, "path", "picture, relative to the run folder"),
        column("bytes", pa.int64(), "B", "null in rows of older versions"),
        column("sha256", S, "hex", "null in rows of older versions"),
        column(
            "loop", S, "path", "pictures of the exported clip; null for what was dropped, and in rows of older versions"
        ),
        column("loop_bytes", pa.int64(), "B", ""),
        column("loop_sha256", S, "hex", ""),
        column("tiles", I, "", "pictures side by side in `path`; null in rows of older versions"),
        column(
            "clip",
            S,
            "path",
            "small mp4 with sound of what was dropped; null for kept people, who have `samples.video`",
        ),
        column("clip_bytes", pa.int64(), "B", ""),
        column("clip_sha256", S, "hex", ""),
        column("pose", S, "path", "script with the skeleton in the pixels of that film; null where there is no person"),
        column("pose_bytes", pa.int64(), "B", ""),
        column("pose_sha256", S, "hex", ""),
    ),
)

SHARDS = Kind(
    "shards",
    key="bucket",
    columns=(
        column("bucket", S, "", "<split>-<number>"),
        column("split", S, "", "train, validation or test"),
        column("path", S, "path", "Parquet file, relative to the run folder"),
        column("sha256", S, "hex", ""),
        column("bytes", pa.int64(), "B", ""),
        column("rows", I, "", "samples in it"),
        column("seconds", F, "s", "of clips in it"),
        column(
            "row_groups",
            S,
            "JSON",
            "[[bytes, CRC-32, hashes of what the rows were made of], ...]; null in rows of older versions",
        ),
    ),
)

_FILES = column("files", S, "files", "JSON, {path: [bytes, sha256]} of all of them; null in rows of older versions")

REPORTS = Kind(
    "reports",
    key="report",
    columns=(column("report", S, "", "name"), column("path", S, "path", "its first page"), _FILES),
)

RELEASES = Kind(
    "releases",
    key="release",
    columns=(
        column("release", S, "", "name"),
        column("path", S, "path", "its index"),
        column("rows", I, "", "speakers"),
        _FILES,
    ),
)
