"""Manifest clips: the clips that a manifest names, in place of shots that we find ourselves. Nothing is decoded."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.sources.manifest import ManifestError, RowState, ledger, read_manifest
from pipeline.sources.manifest.ledger import LIVE
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
        manifest = read_manifest(self._file())
        for said in (f"left out: {left_out}" if (left_out := manifest.left_out()) else "", manifest.unusual()):
            if said:
                click.echo(f"{self.name}: {said}", err=True)
        yield {"rows": manifest.by_video()}

    def finish(self, context: Context, store: "Store") -> None:
        """Write the ledger: every row of the manifest, and what became of it so far; say how many give no clip, and why."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(RowState._fields)
        states = ledger(read_manifest(self._file()), store)
        writer.writerows(states)
        files.write_text(context.run / LEDGER, text.getvalue())
        why = Counter(state.reason or state.detail for state in states if state.status != LIVE)
        if why:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in why.most_common())
            click.echo(
                f"{self.name}: {why.total():,} of {len(states):,} rows give no clip ({reasons}): see {LEDGER}", err=True
            )

    def _file(self) -> Path:
        """The manifest's path; StageError when it is not set or not there."""
        if self.manifest is None:
            raise ManifestError("manifest_clips.manifest is not set: name the manifest with --manifest")
        if not self.manifest.is_file():
            raise ManifestError(f"manifest_clips.manifest: no file {self.manifest}")
        return self.manifest
