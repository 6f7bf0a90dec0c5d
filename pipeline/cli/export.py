"""`csg405 export`: the shards of a run in the forms of other projects."""

from pathlib import Path

import click

from pipeline.shards.read import open_shards
from pipeline.shards.webdataset import beside, write_webdataset
from pipeline.storage import storage_of
from pipeline.tables import people


@click.group()
def export() -> None:
    """Write the shards of a run in another form: `webdataset`, tar files of json, npy, flac and mp4."""


@export.command()
@click.option("--run", "-r", "run", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder; it must not be there yet.")
@click.option("--max-mb", type=click.IntRange(1), default=1000, show_default=True, help="Size of a tar file.")
@click.option("--clips/--no-clips", default=True, show_default=True, help="Whether 512x512 clips go along.")
def webdataset(run: Path, out: Path, max_mb: int, clips: bool) -> None:
    """Tar files of all splits: json, npy, flac and mp4 of each sample; they hold footage, and are not for publishing."""
    shards = storage_of(run).folder("shards")
    videos = {row["video_id"] for row in open_shards(shards).rows(["video_id"])}
    temporary = beside(out)  # a kill leaves it half-written, full of clips: an opt-out has to find it too
    with people.noting(run, [out.absolute(), temporary], sorted(videos)):
        done = write_webdataset(shards, out, max_mb * 1_000_000, clips=clips, temporary=temporary)
    click.echo(
        f"{sum(done.samples.values()):,} samples in {len(done.samples)} tar files, {done.bytes / 1e6:.1f} MB, in {out}"
    )
    if done.without_clip:
        click.echo(f"warning: {done.without_clip:,} samples have no mp4: their clips are not in {run}", err=True)
