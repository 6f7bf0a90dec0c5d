"""`csg405 takedown`: works out of a run with their twins, or people out of a release; nobody takes them up again."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pipeline.base.damage import run_option
from pipeline.base.text import printable
from pipeline.cli.faults import BAD_USE, STOPPED, Fault
from pipeline.cli.screen import print_works
from pipeline.cli.session import about_a_run, there
from pipeline.engine.session import Session
from pipeline.engine.takedown import begin, finish
from pipeline.engine.works import LISTED, Clusters, Work, fingerprints, held, like_kept, named, with_twins
from pipeline.media.chromaprint import NAME, Items
from pipeline.media.twins.limits import Limits
from pipeline.media.twins.link import items_of
from pipeline.shards.release.takedown import TakenDown
from pipeline.shards.release.takedown import takedown as take_down
from pipeline.shards.release.wanted import wanted_of, with_channels
from pipeline.shards.removal import Removed
from pipeline.storage.where import where_of
from pipeline.tables.opt_out import entries as listed
from pipeline.tables.store import CHANNEL_COLUMNS, Store
from pipeline.tables.takedowns import LEDGER, kept_sounds

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_TAKE, _LEAVE = "take", "leave"


@click.command()
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--list", "lists", multiple=True, type=_FILE, help="File of entries, one a line.")
@click.option("--person", is_flag=True, help="The other works of the same face too.")
@click.option("--published", type=_FOLDER, help="Folder of the release's versions, or of one; it gets takedowns.jsonl.")
@click.option(
    "--keep-fingerprint", is_flag=True, help="Whoever asked agrees: its sound stays known, and refuses re-uploads."
)
@click.option(
    "--uncertain", type=click.Choice([_TAKE, _LEAVE]), help="What comes near to a twin: take it out, or leave it."
)
@click.option("--yes", is_flag=True, help="Do not ask before works are taken out.")
@click.option(
    "--release", "folder", type=_FOLDER, help="Not of a run but of this release: the folder that was published."
)
@click.option("--out", type=click.Path(path_type=Path), help="With --release: the new version; must not be there yet.")
@about_a_run
def takedown(
    entries: Sequence[str], lists: Sequence[Path], folder: Path | None, out: Path | None, **given: Any
) -> None:
    """Take works out of a run for good: the videos that ENTRY names (ids, links, persons, channels), and their re-uploads.

    Twins by sound and motion are shown with their scores; what comes near to one is asked for. They leave every folder of the run,
    their words, vectors and fingerprints too, and takedowns.jsonl gets a line each: date, hash of the id, the versions of the
    release that held it, the models that were trained on it. crawl, rebuild, train and import-model read it and refuse the work. A
    takedown that was cut short goes on without entries; works that a ledger from elsewhere names go then, too.

    With --release and --out, people are taken out of a published release instead: a new version is written without them, and the
    old one stays. Beside the new one lie OUT.takedown.json and OUT.takedown.txt, which say what has to be removed from the old one,
    ids, files and rows; the new version itself names nobody of them, also not in a list.
    """
    wanted = [*entries, *(entry for path in lists for _, entry in listed(path))]
    own = {name: given.pop(name) for name in ("person", "published", "keep_fingerprint", "uncertain", "yes")}
    if (folder is None) != (out is None):
        raise Fault("--release and --out go together: the release that stays, and its new version", BAD_USE)
    if folder is not None and out is not None:
        if used := [f"--{name.replace('_', '-')}" for name, value in own.items() if value]:
            raise Fault(f"{used[0]} is for a takedown in a run, not of --release", BAD_USE)
        _of_release(wanted, folder, out, Path(given["run_folder"]) if given["run_folder"] else None)
    else:
        _of_run(there(given), wanted, **own)


def _of_run(
    session: Session,
    entries: Sequence[str],
    person: bool,
    published: Path | None,
    keep_fingerprint: bool,
    uncertain: str | None,
    yes: bool,
) -> None:
    run, listed_at = session.run, session.profile.opt_out
    if removed := finish(run, listed_at):
        click.echo("a takedown that was cut short:")
        _tell(session, removed)
    store = Store(run, session.opt_out)
    prints = fingerprints(store)
    limits = getattr(session.profile.stage("twins"), "limits", Limits())
    asking = _Asking(uncertain, yes)
    works = named(store, entries, person=person) if entries else _by_ledger(store, prints, limits, asking)
    if not works:
        if not removed:
            click.echo(f"nothing to do: name a work; {run} holds none that {LEDGER} names")
        return
    works = with_twins(works, prints, Clusters.of(store), limits, asking.near)
    print_works(works, _titles(store))
    _warn(works, prints, keep_fingerprint)
    asking.confirm(len(works), run)
    kept = {work.video: prints[work.video] for work in works if keep_fingerprint and work.video in prints}
    _, told = begin(run, [work.video for work in works], f"{datetime.now(UTC):%Y-%m-%d}", published, kept)
    for line in told:
        click.echo(f"still to do: {line}")
    _tell(session, finish(run, listed_at) or Removed())


def _by_ledger(store: Store, prints: Mapping[str, Items], limits: Limits, asking: "_Asking") -> list[Work]:
    """What the run holds though its ledger says that it was taken down: by its id, and by a fingerprint that is kept."""
    ids = sorted(filter(store.opt_out.took_down, held(store))) if store.opt_out.taken else []
    kept = [items_of(one.sound) for one in kept_sounds(store.run) if one.sound_of == NAME]
    alike = [work for work in like_kept(kept, prints, limits) if work.video not in ids]
    return [*(Work(video, LISTED) for video in ids), *(work for work in alike if work.sure or asking.near(work))]


def _titles(store: Store) -> dict[str, str]:
    rows = store.table("videos").rows(["video_id", "title"]).select(["video_id", "title"]).to_pylist()
    return {row["video_id"]: printable(row["title"] or "") for row in rows}


def _warn(works: Sequence[Work], prints: Mapping[str, Items], keep_fingerprint: bool) -> None:
    """Say what could not be compared: nothing of it is decided in silence."""
    if unheard := sum(work.video not in prints for work in works):
        click.echo(
            f"warning: {unheard:,} of them have no fingerprint (`fingerprint_sound`): twins by sound were not looked for",
            err=True,
        )
        if keep_fingerprint:
            click.echo("warning: of these no sound is kept either: a re-upload of them is not refused", err=True)
    elif not keep_fingerprint:
        click.echo(
            "no sound is kept: a re-upload under another id is not refused (--keep-fingerprint, if it is agreed to)"
        )


class _Asking:
    """Questions in a terminal, or the options that answer them."""

    def __init__(self, uncertain: str | None, yes: bool) -> None:
        self._uncertain, self._yes = uncertain, yes
        self._answers: dict[str, bool] = {}

    def near(self, work: Work) -> bool:
        """Whether a work goes that comes near to a twin; asked once."""
        if work.video not in self._answers:
            self._answers[work.video] = self._asked(work)
        return self._answers[work.video]

    def _asked(self, work: Work) -> bool:
        said = f"{work.video} comes near to {work.like or 'a sound that was taken down'}: {_scores(work)}"
        if self._uncertain:
            click.echo(f"{said}: {'taken out' if self._uncertain == _TAKE else 'left'} (--uncertain {self._uncertain})")
            return self._uncertain == _TAKE
        if not is_terminal():
            raise Fault(
                f"{said}; say --uncertain {_TAKE} or {_LEAVE}, or call this in a terminal: nothing was done", BAD_USE
            )
        return click.confirm(f"{said}. Take it out too?", default=False)

    def confirm(self, count: int, run: Path) -> None:
        """Ask before anything is deleted."""
        if self._yes:
            return
        if not is_terminal():
            raise Fault("say --yes to take these out, or call this in a terminal: nothing was done", BAD_USE)
        click.confirm(f"Take {count:,} works out of {run} for good?", abort=True)


def is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


def _scores(work: Work) -> str:
    if work.bit_error is None:  # by motion
        how_far = "" if work.likeness is None else f", alike by {work.likeness:.2f}"
        return f"what moves in it comes near{how_far}"
    return (
        f"{work.bit_error:.3f} of the bits differ, {work.seconds:.1f} s in common, {work.share:.0%} of the shorter one"
    )


def _tell(session: Session, removed: Removed) -> None:
    """What went, and what nobody but the user can do."""
    click.echo(f"removed: {removed}; {session.run / LEDGER} refuses them from now on")
    for line in (*removed.told, *removed.undone):
        click.echo(f"still to do: {line}")
    if where_of(session.run):
        click.echo("other machines remove their copies when they next work on this run")
    if removed.undone:
        raise SystemExit(STOPPED)


def _of_release(entries: Sequence[str], folder: Path, out: Path, run: Path | None) -> None:
    """A new version of a release without people."""
    wanted = wanted_of(entries)
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
