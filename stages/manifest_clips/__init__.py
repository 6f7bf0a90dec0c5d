"""Manifest clips: the clips that a manifest names, in place of shots that we find ourselves. Nothing is decoded."""

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.engine.stage import Context, Reads, Resources, Stage, Work
from pipeline.sources.manifest import ManifestError, RowState, ledger, read_manifest
from stages.manifest_clips.settings import ManifestClipsSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store

LEDGER = "manifest_rows.csv"


class ManifestClips(ManifestClipsSettings, Stage):
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
    leaves: ClassVar[tuple[str, ...]] = (LEDGER,)

    def depends(self, store: "Store") -> str:
        """The sha256 of the manifest: planning reads it once, units do not."""
        return sha256_of(self._file())

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        yield {"rows": read_manifest(self._file()).by_video()}

    def worker(self, context: Context) -> Work:
        from stages.manifest_clips.worker import Placer

        return Placer(context)

    def finish(self, context: Context, store: "Store") -> None:
        """Write the ledger: every row of the manifest, and what became of it so far."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(RowState._fields)
        writer.writerows(ledger(read_manifest(self._file()), store))
        files.write_text(context.run / LEDGER, text.getvalue())

    def _file(self) -> Path:
        """The manifest's path; StageError when it is not set or not there."""
        if self.manifest is None:
            raise ManifestError("manifest_clips.manifest is not set: name the manifest with --manifest")
        if not self.manifest.is_file():
            raise ManifestError(f"manifest_clips.manifest: no file {self.manifest}")
        return self.manifest
