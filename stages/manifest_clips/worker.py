"""Places a manifest's rows on the grid of a video."""

from collections.abc import Iterator

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.sources.manifest import ManifestRow, Problem, place
from stages.manifest_clips import ManifestClips


class Placer:
    """Knows the manifest's rows by video."""

    def __init__(self, context: Context) -> None:
        self._rows: dict[str, list[ManifestRow]] = context.given["rows"]

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the clips of a video that the manifest names. Raises Reject where none of them can be used."""
        video = unit.row("videos")
        rows = self._rows.get(unit.id, [])
        if not rows:
            raise Reject(Reason.BAD_ROW, "the manifest names no clip of this video in a row that can be used")
        clips: dict[str, Row] = {}
        problems: list[str] = []
        for row in rows:
            clip = place(row, video)
            if isinstance(clip, Problem):
                problems.append(f"line {row.line}: {clip.detail}")
            else:
                _join(clips, clip)
        if not clips:
            more = f" (and {len(problems) - 1} more rows)" if len(problems) > 1 else ""
            raise Reject(Reason.OUT_OF_VIDEO, problems[0] + more)
        yield from clips.values()


def _join(clips: dict[str, Row], clip: Row) -> None:
    """Add a clip, or, where two rows show the same pictures, the second row's box to the first row's clip."""
    first = clips.setdefault(clip["clip_id"], clip)
    if first is not clip and clip["manifest_crop_box"] is not None:
        first.setdefault("manifest_crop_boxes", [first["manifest_crop_box"]]).append(clip["manifest_crop_box"])


def open_worker(stage: ManifestClips, context: Context) -> Placer:
    """What does the stage's work."""
    return Placer(context)
