"""Lost rows that a stage makes anew: nothing is built on its table as long as some of them could not be made."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.reasons import Reason
from pipeline.engine.plan import Plan, plan
from pipeline.engine.stage import Stage
from pipeline.tables.arrow import strings
from pipeline.tables.outcome import FAILED, OK, REJECTED
from pipeline.tables.promises import ALL_FAILED, REFETCH, hash_of, made_anew, name_awaited, note_of, still_awaited
from pipeline.tables.store import Store


def begin_anew(stage: Stage, store: Store) -> None:
    """Note which lost units the stage's table waits for, before any of them is tried."""
    table = store.table(stage.writes)
    if note_of(table.folder):
        name_awaited(table.folder, table.winners())


def settle_anew(stage: Stage, store: Store, model_hashes: Sequence[str]) -> None:
    """Take the guard from the stage's table, unless lost units have no result yet; those that are units no more do not count."""
    table = store.table(stage.writes)
    note = note_of(table.folder)
    if note is None:
        return
    work = plan(stage, store, model_hashes) if note.units else None
    lacking = _lacking(work, table.winners(), set(note.units)) if work else []
    if work and lacking:
        still_awaited(table.folder, lacking, _retry_of(work, table.winners(), lacking))
    else:
        made_anew(table.folder)


def _lacking(work: Plan, winners: pa.Table, awaited: set[str]) -> list[str]:
    """The awaited units that a run does, or failed in, and that have no result of any fingerprint."""
    done = pc.is_in(winners["status"], value_set=strings([OK, REJECTED]))
    made = set(winners.filter(done)["unit"].to_pylist())
    open_units = {work.units[at] for at in work.pending}
    open_units |= {unit for unit, status in zip(work.units, work.status, strict=True) if status == FAILED}
    return sorted(unit for unit in open_units - made if hash_of(unit) in awaited)


def _retry_of(work: Plan, winners: pa.Table, lacking: Sequence[str]) -> str:
    """The option of `csg405 retry` that these units need before a run tries all of them again."""
    mine = winners.filter(pc.is_in(winners["unit"], value_set=strings(list(lacking))))
    if Reason.SOURCE_DISCARDED.code in mine["reason"].to_pylist():
        return REFETCH
    return ALL_FAILED if set(lacking) - {work.units[at] for at in work.pending} else ""
