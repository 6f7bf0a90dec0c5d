"""Manifest clips: the clips that a manifest names, in place of shots that we find ourselves. Nothing is decoded."""

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.sources.manifest import ManifestRow
    from pipeline.tables.store import Store

LEDGER = "manifest_rows.csv"


class ManifestClips(Stage):
    """Places the rows of a link manifest on the grids of the videos that were fetched.

    What only a look at the pictures tells stays null: shot, camera motion, repeated frames. Rows that lie beyond their
    video's end are left out and stand in the ledger, `manifest_rows.csv` in the run's folder, as every row does.
    """

    name: ClassVar[str] = "manifest_clips"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "the clips and crops that a released manifest names, on the 25-fps grid"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("videos", ("grid_frames", "width", "height")),)
    writes: ClassVar[str] = "clips"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(one_worker=True)

    manifest: Path | None = Field(
        None,
        description="all_with_crop.json, all.txt, a CSV file with URL, start and end, or the links of our own release",
        json_schema_extra=runtime(),  # where the file lies changes nothing; what it says is in `depends`
    )

    _context: Context = PrivateAttr()

    def depends(self, store: "Store") -> str:
        """The sha256 of the manifest: planning reads it once, units do not."""
        return sha256_of(self._file())

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        from pipeline.sources.manifest import read_manifest

        yield {"rows": read_manifest(self._file()).by_video()}

    def setup(self, context: Context) -> None:
        self._context = context

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.sources.manifest import Problem, place

        video = unit.row("videos")
        rows: list[ManifestRow] = self._context.given["rows"].get(unit.id, [])
        if not rows:
            raise Reject(Reason.BAD_ROW, "the manifest names no clip of this video in a row that can be used")
        clips: dict[str, Row] = {}
        problems: list[str] = []
        for row in rows:
            found = place(row, video)
            if isinstance(found, Problem):
                problems.append(f"line {row.line}: {found.detail}")
            else:
                _join(clips, found)
        if not clips:
            more = f" (and {len(problems) - 1} more rows)" if len(problems) > 1 else ""
            raise Reject(Reason.OUT_OF_VIDEO, problems[0] + more)
        yield from clips.values()

    def finish(self, context: Context, store: "Store") -> None:
        """Write the ledger: every row of the manifest, and what became of it so far."""
        from pipeline.base import files
        from pipeline.sources.manifest import RowState, ledger, read_manifest

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(RowState._fields)
        writer.writerows(ledger(read_manifest(self._file()), store))
        files.write_text(context.run / LEDGER, text.getvalue())

    def _file(self) -> Path:
        """The manifest's path; StageError when it is not set or not there."""
        from pipeline.sources.manifest import ManifestError

        if self.manifest is None:
            raise ManifestError("manifest_clips.manifest is not set: name the manifest with --manifest")
        if not self.manifest.is_file():
            raise ManifestError(f"manifest_clips.manifest: no file {self.manifest}")
        return self.manifest


def _join(clips: dict[str, Row], clip: Row) -> None:
    """Add a clip, or, where two rows show the same pictures, the second row's box to the first row's clip."""
    first = clips.setdefault(clip["clip_id"], clip)
    if first is not clip and clip["manifest_crop_box"] is not None:
        first.setdefault("manifest_crop_boxes", [first["manifest_crop_box"]]).append(clip["manifest_crop_box"])


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("manifest_clips")
