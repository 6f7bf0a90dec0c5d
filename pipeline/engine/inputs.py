"""Files that a stage would read: where one is missing, nothing that was made from it is rewritten."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc

from pipeline.base.cycles import unsearched
from pipeline.base.damage import Damage, Damaged, run_option
from pipeline.engine.plan import Plan
from pipeline.engine.stage import Stage
from pipeline.storage import tombstone_of
from pipeline.tables import losses, run_folder
from pipeline.tables.arrow import numbers
from pipeline.tables.calls import repeated
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import OK
from pipeline.tables.results import BrokenPromise, Promise, broken, promised
from pipeline.tables.store import Store

SOURCES = "videos"  # a lost one fails its unit, as long as nothing was made of it


@unsearched()
def check_inputs(stage: Stage, store: Store, work: Plan) -> None:
    """Stop a stage before it rewrites what was made from a file that is missing or has another size.

    Raises:
        Damaged: names the file, and the command that makes it again.
    """
    if not len(work.pending) or not work.inputs:
        return
    made = made_before(stage, store, work)
    for reads, item in zip(stage.reads, work.inputs, strict=True):
        paths = [columns.path for columns in KINDS[reads.kind].files if columns.path in reads.columns]
        units = made if reads.kind == SOURCES else work.pending.tolist()
        if not paths or not units:
            continue
        rows = item.table.select(paths).take(numbers(item.rows_of(units)))
        read = {path for name in paths for path in rows[name].to_pylist() if path}
        found = list(_broken(store, reads.kind, read))
        if found:
            home = losses.home_of(store.run)
            raise Damaged(damage_of(found[0], store, home), home, len(found) - 1)


def made_before(stage: Stage, store: Store, work: Plan) -> list[int]:
    """The pending units that have a result already, whatever it was made of."""
    won = store.table(stage.writes).winners()
    done = set(won["unit"].filter(pc.equal(won["status"], OK)).to_pylist())
    return [at for at in work.pending.tolist() if work.units[at] in done]


def _broken(store: Store, kind: str, read: set[str]) -> Iterator[BrokenPromise]:
    """The broken ones of the files to be read; of those used where they were found, only whether they are there is asked."""
    wanted = [one for one in promised(store, kind) if one.path in read]
    yield from broken(
        store.storage, [one if one.ours else Promise(one.unit, one.path) for one in wanted], store.listings
    )


def damage_of(found: BrokenPromise, store: Store, home: Path) -> Damage:
    """A broken result of a store as people are told of it: by its path in the run, `home`."""
    path, units = found.promise.path, (found.promise.unit,)
    if not found.promise.ours:
        return Damage(path, found.problem, remedy=_put_back(home), units=units)
    name = (store.run.relative_to(home) / path).as_posix()
    place = run_folder.place_of(name)
    remedy = ""
    if place:  # an evaluation is called in many ways
        own = store.run == home
        remedy = f"{place.made_by} {run_option(home)}" if own else repeated(place.made_by, store.run, home)
    if place and store.storage.exists(tombstone_of(path)):  # crawl passes over a source that was freed
        remedy = f"csg405 retry --refetch {run_option(home)} && {remedy}"
    return Damage(name, found.problem, remedy=remedy, units=units)


def _put_back(run: Path) -> str:
    """The way to a file that is used where it was found: no command brings it back."""
    return (
        f"put the file back; or, if it moved, run `csg405 run crawl {run_option(run)}`; "
        f"or leave it out: `csg405 opt-out ID {run_option(run)}`"
    )
