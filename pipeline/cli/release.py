"""`csg405 release` and `csg405 takedown`: publish what may be published of a run, and take people out of it again."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.base import files
from pipeline.base.damage import run_option
from pipeline.cli.run import end, execute
from pipeline.cli.session import BAD_USE, Fault, about_a_run, about_upgrades, there
from pipeline.shards.release import FOLDER, INDEX
from pipeline.shards.release.counts import Counts, counted
from pipeline.shards.release.proof import shared_across
from pipeline.shards.release.published import published_splits
from pipeline.shards.release.reading import open_release
from pipeline.shards.release.takedown import TakenDown
from pipeline.shards.release.takedown import takedown as take_down
from pipeline.shards.release.wanted import wanted_of, with_channels
from pipeline.tables.opt_out import entries as listed
from pipeline.tables.store import CHANNEL_COLUMNS, Store

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


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


@click.command()
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--list", "lists", multiple=True, type=_FILE, help="File of entries, one a line.")
@click.option("--release", "folder", required=True, type=_FOLDER, help="The release: the folder that was published.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new version; must not be there yet.")
@click.option("--run", "run", type=_FOLDER, help="The run that it was made from: it knows which videos a channel has.")
def takedown(entries: Sequence[str], lists: Sequence[Path], folder: Path, out: Path, run: Path | None) -> None:
    """Take persons, clips, videos (ids or links) and channels out of a published release: writes a new version without them.

    The old version stays as it is. Beside the new one lie OUT.takedown.json and OUT.takedown.txt, which say what has to be
    removed from the old one, ids, files and rows; the new version itself names nobody of them, also not in a list.
    """
    wanted = wanted_of([*entries, *(entry for path in lists for _, entry in listed(path))])
    if not any((wanted.persons, wanted.clips, wanted.videos, wanted.urls, wanted.channels)):
        raise Fault("name who is to be taken out: a person, clip, video or channel id, or a link", BAD_USE)
    if run is not None and not (run / "tables").is_dir():
        raise Fault(f"{run} is no run", BAD_USE)
    if wanted.channels and run is not None:
        videos = Store(run).read("videos", ["video_id", *CHANNEL_COLUMNS]).to_pylist()
        wanted = with_channels(wanted, videos)
    elif wanted.channels_alone:
        raise Fault(
            f"{wanted.channels_alone[0]} is a channel, and a release names none: add --run of the run that it was made from, "
            "or name videos",
            BAD_USE,
        )
    _tell_of(take_down(folder, wanted, out), run)


def _tell_of(done: TakenDown, run: Path | None) -> None:
    click.echo(
        f"{done.gone} taken out: version {done.old} in {done.release} stays, version {done.new} is in {done.out}"
    )
    for entry in done.unmatched:
        unknown = "could not be looked up as a channel" + (f", {run} knows none" if run else ": add --run")
        click.echo(f"{unknown if entry in done.unresolved else 'not in this release'}: {entry}", err=True)
    click.echo(
        f"what has to be removed from the old one: {done.lists[1]}, and {done.lists[0]} for programs; keep both to yourself"
    )
    place = shlex.quote(str(done.out))
    click.echo(f"next: hf upload USER/NAME {place} . --repo-type dataset --delete '*' puts it in place of the old one;")
    click.echo(
        "      the Hub keeps older versions: HfApi().super_squash_history('USER/NAME', repo_type='dataset') drops them"
    )
    at = run_option(run) if run else "--run RUN"
    click.echo(f"      and `csg405 opt-out ENTRY {at}` keeps them out of what the run makes from now on")
