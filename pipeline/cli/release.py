"""`csg405 release`: publish what may be published of a run."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import click

from pipeline.base import files
from pipeline.cli.faults import BAD_USE, Fault
from pipeline.cli.run import end, execute
from pipeline.cli.session import about_a_run, about_upgrades, there
from pipeline.shards.release import FOLDER, INDEX
from pipeline.shards.release.counts import Counts, counted
from pipeline.shards.release.proof import shared_across
from pipeline.shards.release.published import published_splits
from pipeline.shards.release.reading import open_release
from pipeline.tables.store import Store


@click.command()
@about_a_run
@click.option("--out", type=click.Path(path_type=Path), help="Folder that gets a copy; it must not be there yet.")
@about_upgrades
def release(out: Path | None, redo: bool, keep: bool, **given: Any) -> None:
    """Write what may be published of a run: links, boxes, skeletons, measures, splits, a card; no footage, no sound.

    The folder opens with `datasets.load_dataset`, pandas, polars, DuckDB and mlcroissant, and `make rebuild` makes the same
    clips and keypoints from it. Title, licence and address for people who want to be left out are settings of the stage
    `release`: --set release.contact=...
    """
    if out is not None and out.exists():
        raise Fault(f"{out} is there already: name a folder that is not there yet", BAD_USE)
    given["sets"] = [text if "." in text.partition("=")[0] else f"release.{text}" for text in given["sets"]]
    session = there(given, targets=["release"])
    execute(session, ["release"], None, "", redo=redo, keep=keep)
    folder = session.run / FOLDER
    if (folder / INDEX).is_file():
        if out is not None:
            folder = _copied(folder, out)
        _tell(folder, counted(folder))
        _tell_of_splits(session.store, folder)
    end(session, ["release"], "")


def _copied(folder: Path, out: Path) -> Path:
    """A copy that is whole or not there."""
    temporary = out.absolute().parent / f"{files.TEMPORARY}{out.name}"
    files.make_folder(temporary.parent)
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(folder, temporary)
    temporary.rename(out)
    return out


def _tell(folder: Path, counts: Counts) -> None:
    about = open_release(folder).about
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    splits = ", ".join(f"{split} {count:,}" for split, count in counts.splits.items())
    click.echo(
        f"release {about.version}: {counts.speakers:,} speakers in {counts.clips:,} clips of {counts.videos:,} videos, "
        f"{counts.hours:.2f} h ({splits}); {size / 1e6:.1f} MB in {folder}"
    )
    if counts.unlinked:
        click.echo(
            f"warning: {counts.unlinked:,} of {counts.speakers:,} speakers have no link, for their videos are local files: "
            "nobody else can rebuild their clips",
            err=True,
        )
    if not about.contact:
        words = "warning: no address where people ask to be left out: --set release.contact=you@example.org"
        click.echo(words, err=True)
    if not about.licence:
        click.echo("warning: no licence for these files: --set release.licence='CC BY-NC 4.0'", err=True)
    place = shlex.quote(str(folder))
    click.echo(f"next: read {folder / 'README.md'}; then publish it: hf upload USER/NAME {place} . --repo-type dataset")


def _tell_of_splits(store: Store, folder: Path) -> None:
    """Say whether twins, speakers and channels lie in one split each, which makes figures on the test split worth something."""
    split_of = published_splits(folder)
    if len(set(split_of.values())) < 2:
        return
    found = shared_across(store, split_of)
    click.echo(f"splits: {'; '.join(map(str, found))} (voices are not compared)")
    if any(one.across for one in found):
        words = "warning: what is in two splits makes figures too good: --set shards.split_by=source keeps it in one"
        click.echo(words, err=True)
