"""Which videos of the run are the same footage: re-uploads, re-encodings, excerpts, mirrored or cropped copies."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.tables.store import Store
from stages.twins.settings import TwinsSettings

_CLUSTERS = ("cluster_id", "near_cluster_id")


class Twins(TwinsSettings, Stage):
    """Compares all videos; a row each. At least five seconds in common, at 0.96 to 1.04 of the speed, are found.

    By sound, whatever the picture went through: crop, mirror, banner, another codec. By motion, whatever the sound went through:
    a dub, another pitch, none at all; only videos that look alike are compared so. Silence, hum, stills and what repeats itself are
    no evidence. A cluster keeps its name when videos come.
    """

    name: ClassVar[str] = "twins"
    version: ClassVar[int] = 3
    in_columns: ClassVar[bool] = True
    summary: ClassVar[str] = "videos that hold the same footage, by their sound and by what moves"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("sound_fingerprints", ("video_id", "fingerprint_of", "fingerprint")),
        Reads("clips", ("video_id", "first_frame", "frames", "manifest_line", "motion_print", "scene_print")),
        Reads("videos", ("video_id", "bytes", "duration_seconds", "upload_date")),
        Reads("pose_measures", ("person_id", "video_id", "shoulder_width_px")),
    )
    writes: ClassVar[str] = "twins"
    resources: ClassVar[Resources] = Resources(seconds=6 * 3600, memory_gb=16, one_worker=True)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        """Yield the names of the clusters so far: whoever stays together keeps that name."""
        rows = Store(context.run, context.opt_out).read("twins", ["video_id", *_CLUSTERS]).to_pylist()
        yield {name: {row["video_id"]: row[name] for row in rows if row[name]} for name in _CLUSTERS}
