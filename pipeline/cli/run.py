"""`csg405 run`: stages one after the other, and a line for each."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import click

from pipeline.base.damage import run_option
from pipeline.base.progress import Progress
from pipeline.cli import complete
from pipeline.cli.discard import discard_sources
from pipeline.cli.faults import BAD_USE, Fault
from pipeline.cli.looks import looking, show_data_set, show_funnel, show_kept, tell_damages
from pipeline.cli.on_end import telling_the_end
from pipeline.cli.screen import kept_sentence, packed_sentence, print_outlook
from pipeline.cli.session import about_a_run, about_shards, about_upgrades
from pipeline.engine.barrier import Barrier, phases
from pipeline.engine.changes import changes, consequences
from pipeline.engine.console import fitted, options_of, run_shown, say
from pipeline.engine.decoded import drop_unneeded, readers, wanted_pictures
from pipeline.engine.devices import shard_of
from pipeline.engine.dry_run import outlook
from pipeline.engine.endings import ending
from pipeline.engine.executors.expected import expect
from pipeline.engine.follow import leader, passes
from pipeline.engine.newer import NewReader, Upgrade
from pipeline.engine.profile import STAGE, Profile
from pipeline.engine.runner import Options, OutOfRoom, Skipped
from pipeline.engine.session import Session
from pipeline.engine.stage import Stage
from pipeline.engine.upgrades import settle, upgrades
from pipeline.registry.models import Registry
from pipeline.tables.lock import Occupied
from pipeline.views.packed import SHARDS, packed_since, row_groups
from pipeline.views.verdicts import VERDICTS, kept_of


@click.command()
@click.argument("targets", nargs=-1, required=True, shell_complete=complete.targets)
@about_a_run
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=None,
    metavar="N",
    help="Processes; 0 runs in this one, for a debugger.",
)
@about_shards
@click.option("--dry-run", is_flag=True, help="Say what would be done; start nothing, fetch nothing, write nothing.")
@click.option(
    "--phases", "only_phases", is_flag=True, help="Print the stages in groups between which shards meet; do nothing."
)
@click.option("--follow", is_flag=True, help="Keep going while the stages before these still work.")
@click.option(
    "--discard", type=click.Choice(["raw"]), default=None, help="Free sources of which nothing more is needed."
)
@click.option(
    "--after",
    multiple=True,
    metavar="TARGET",
    help="A target that ran before, as part of the same job: units that failed in it count at the end too.",
)
@about_upgrades
@click.option(
    "--on-end",
    default="",
    metavar="COMMAND",
    help="Shell command for the end, however it ends; CSG405_EXIT_CODE, _MESSAGE, _RUN, _PROFILE, _TARGETS tell it.",
)
@click.option("--funnel", "with_funnel", is_flag=True, help="Print the funnel at the end, as `status` does.")
def run(
    targets: Sequence[str],
    workers: int | None,
    shard: str,
    wait: float,
    dry_run: bool,
    only_phases: bool,
    follow: bool,
    discard: str | None,
    after: Sequence[str],
    on_end: str,
    with_funnel: bool,
    redo: bool,
    keep: bool,
    **given: Any,
) -> None:
    """Run targets (crawl, annotate, filter ...) or single stages; what is done already is not done again."""
    with Progress("run", doing="reading the profile"):
        session = Session(**given, targets=targets)
    if only_phases:
        _show_phases(session.profile, targets)
        return
    if dry_run:
        tell_changes(session, targets, session.models.looking())
        look_ahead(session, targets, shard)
        return
    if shard and (follow or discard):
        raise Fault("--shard does a part of the units: --follow and --discard need to see them all", BAD_USE)
    with telling_the_end(on_end, session, targets):
        execute(session, targets, workers, shard, wait, follow=follow, discard=bool(discard), redo=redo, keep=keep)
        if with_funnel:
            store = looking(session)
            show_funnel(session, store)
            show_data_set(session, store)
            show_kept(store)
            tell_damages(store)
            report = session.run / "report" / "index.html"
            if report.is_file():
                click.echo(f"report: {report.resolve().as_uri()}")
        end(session, [*after, *targets], shard)


def _show_phases(profile: Profile, targets: Sequence[str]) -> None:
    for phase in phases(profile, profile.expand(targets)):
        names = [STAGE + name if name in profile.targets else name for name in phase.stages]
        click.echo(" ".join(["divided" if phase.divided else "whole", *names]))


def end(session: Session, targets: Sequence[str], shard: str = "") -> None:
    """Print the last line of a run of these targets. Raises UnitsFailed where units failed that should not have."""
    ended = ending(session.profile, session.profile.expand(targets), session.store, shard_of(shard))
    ended.raise_failed()
    click.echo(fitted(ended.line()))


def tell_changes(session: Session, targets: Sequence[str], models: Registry) -> list[Upgrade | NewReader]:
    """Print what differs from how the run was left, and what has to be done because of it; returns what upgrades make new."""
    for note in session.notes:
        say("settings", note)
    found = changes(session)
    for change in found:
        say("settings", str(change))
    for line in consequences(session, found) if found else ():
        say("because of it", line)
    newer = list(upgrades(session, session.profile.expand(targets), found, models))
    for upgrade in newer:
        say(upgrade.stage, str(upgrade))
    return newer


def look_ahead(session: Session, targets: Sequence[str], shard: str = "") -> None:
    """Print what a run would do."""
    names = session.profile.expand(targets)
    stages = outlook(session.profile, names, session.models, session.store, shard_of(shard))
    print_outlook(session.run, stages)


def execute(
    session: Session,
    targets: Sequence[str],
    workers: int | None = None,
    shard: str = "",
    wait: float = 0.0,
    *,
    follow: bool = False,
    discard: bool = False,
    redo: bool = False,
    keep: bool = False,
) -> None:
    """Run stages one after the other and print a line for each; with `follow` again and again, while there is news.

    A shard waits where it needs others: while they are at work, and for `wait` minutes when nobody is.
    What differs from how the run was left is printed first; where a newer version makes finished work new, `redo` or `keep` has
    to say what is to become of it.
    """
    names = session.profile.expand(targets)
    if not follow:
        _refuse_to_build_on_nothing(session, names)
    with Progress("run", doing="looking at what is done"):
        newer = tell_changes(session, targets, session.models)
    settle(session, newer, names, redo=redo, keep=keep)
    options = options_of(session.profile, workers, shard)
    session.keep_profile()
    if options.shard:
        _run_shard(session, names, options, wait)
        return
    if not follow:
        _run_all(session, names, options, discard)
    else:
        before = leader(session.run, session.profile, names)
        for turn in passes(session.profile, names, before, lambda words: say("follow", words)):
            _run_all(session, turn.stages, replace(options, untried=not turn.whole), discard, terse=not turn.whole)
    _drop_decoded(session, names)


def _drop_decoded(session: Session, done: Sequence[str]) -> None:
    """Delete what stages decoded for one another, where these were the last to read it."""
    stages = map(session.profile.stage, session.profile.all_stages)
    drop_unneeded(session.run, stages, lambda stage: stage.name not in done)


def _refuse_to_build_on_nothing(session: Session, names: Sequence[str]) -> None:
    """Raise Fault where the first stage reads tables and the run has none at all: it would be all done without a row."""
    first = session.profile.stage(names[0]) if names else None
    inside = first is not None and bool(first.reads) and type(first).sources is Stage.sources
    if inside and not session.store.kinds:
        how = f"csg405 run crawl {run_option(session.run)}"
        raise Fault(f"{session.run} holds nothing yet that {names[0]} could read: begin with {how}", BAD_USE)


def _run_shard(session: Session, names: Sequence[str], options: Options, wait: float) -> None:
    """Run stages in order, and before each wait for what it needs of other shards."""
    _expect(session, names)
    assert options.shard is not None
    look = partial(_look_at_lists, session)
    barrier = Barrier(session.profile, session.store, session.models, names, options.shard, wait, say, look)
    for name in names:
        barrier.wait(name)
        for one in barrier.open_ends(name):
            _run_one(session, one, replace(options, shard=None, untried=True), go_on=False, terse=False)
        _run_one(session, name, options, go_on=False, terse=False)
    _drop_after_shards(session, names, barrier)


def _drop_after_shards(session: Session, done: Sequence[str], barrier: Barrier) -> None:
    """Delete what stages decoded for one another, where this shard is the last that came to the end of the last to read it."""
    stages = list(map(session.profile.stage, session.profile.all_stages))
    reading = readers(stages)
    if reading and reading[-1].name in done:
        drop_unneeded(session.run, stages, lambda stage: barrier.lacking(stage.name) > 0)


def _expect(session: Session, names: Sequence[str]) -> None:
    expect(stage for name in names if isinstance(stage := session.profile.settings(name), Stage))


def _run_all(session: Session, names: Sequence[str], options: Options, discard: bool, *, terse: bool = False) -> None:
    """Run stages in order; with `discard`, free sources then, and begin again where that made the room that was missing."""
    _expect(session, names)
    while True:
        full = [error for name in names if (error := _run_one(session, name, options, discard, terse))]
        freed = discard and _discard(session, terse)
        if not full:
            return
        if not freed:
            raise full[0]


def _discard(session: Session, terse: bool) -> bool:
    """Free sources, unless another process is reading some: then the next pass, or the next run, does."""
    try:
        return discard_sources(session, terse=terse)
    except Occupied as busy:
        if not terse:
            say("discard", f"not now: {busy}")
        return False


def _look_at_lists(session: Session) -> None:
    """Honour an opt-out or a takedown that came while the stages before were at work, and tell it."""
    if told := session.look_at_lists():
        say("opt-out", told)


def _run_one(session: Session, name: str, options: Options, go_on: bool, terse: bool) -> Exception | None:
    """Run a stage and print its line. With `go_on` a full disk is returned, not raised: later stages may make room."""
    stage = session.profile.stage(name)
    session.check_there()
    _look_at_lists(session)
    before = row_groups(session.store) if stage.writes == SHARDS else {}
    options = replace(options, wanted_pictures=wanted_pictures(session.profile, stage, session.models))
    try:
        summary = run_shown(stage, session.run, session.models, options, session.store, terse=terse)
        if stage.writes == VERDICTS and summary.pending and (kept := kept_of(session.store)):
            say("", kept_sentence(kept))
        if stage.writes == SHARDS and (packed := packed_since(before, session.store)).shards:
            say("", packed_sentence(packed))
    except Skipped as skip:
        if name in session.profile.required:
            raise Fault(f"{skip} (profile {session.profile.name} requires {name})") from skip
        say(name, f"skipped, {skip.lacks}")
    except OutOfRoom as error:
        if not go_on:
            raise
        say(name, str(error))
        return error
    return None
