"""The runner of a stage: plans, drives an executor, commits results. This driver is a table's only writer."""

import importlib.util
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from pipeline.base import files, install
from pipeline.base.errors import BadUse, StageError, UserError
from pipeline.base.interrupt import Interrupt
from pipeline.base.log import log_to
from pipeline.base.process import prepare
from pipeline.base.progress import Progress
from pipeline.base.pulse import listening
from pipeline.base.reasons import Reason, ReasonClass
from pipeline.engine.amount import seconds_of
from pipeline.engine.awaited import begin_anew, settle_anew
from pipeline.engine.commits import Commits
from pipeline.engine.executors import LOCAL
from pipeline.engine.executors.executor import Job, open_executor
from pipeline.engine.inputs import check_inputs
from pipeline.engine.plan import Plan, plan
from pipeline.engine.profile import Machine
from pipeline.engine.stage import Context, Stage, table_part, undivided
from pipeline.engine.stage_nets import hashes_in, named, net_files
from pipeline.engine.stamps import broken_leaves, read_stamp, write_stamp
from pipeline.engine.unmended import keep_unmended
from pipeline.registry.models import MissingModel, ModelFile, Registry
from pipeline.sources.web.settings import Web
from pipeline.storage import where_of
from pipeline.tables.arrow import strings
from pipeline.tables.compaction import compact_if_many
from pipeline.tables.hashing import digest, row_hashes, unit_hashes
from pipeline.tables.lock import driving
from pipeline.tables.store import Store
from pipeline.tables.table import remaking

log = logging.getLogger(__name__)


class OutOfRoom(StageError):
    """Raised when the disk, or the share of it that the profile allows, is full."""


class Skipped(UserError):
    """Raised when a package or net that a stage needs is missing; the message says how to get it.

    Args:
        stage: its name.
        lacks: what is missing, and the command that brings it.
        story: all that there is to say, where that is more.
    """

    def __init__(self, stage: str, lacks: str, story: str = "") -> None:
        super().__init__(stage, lacks, story)
        self.lacks = lacks

    def __str__(self) -> str:
        stage, lacks, story = self.args
        return f"{stage}: {story or lacks}"


@dataclass(frozen=True)
class Options:
    """How a stage is run; nothing here affects results.

    Attributes:
        workers: processes; 0 runs in the driver.
        threads: processor threads in all, shared among the workers.
        device: "cpu" or "cuda".
        executor: what runs the units, a name of `pipeline.engine.executors.EXECUTORS`.
        machine: which cluster that uses, and what of it.
        shard: (i, n) does only the units of that shard; see `plan.in_shard`.
        web: how to go to the network.
        untried: leave out the units that failed before on the same input.
        wanted_pictures: as of `Context`.
    """

    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    executor: str = LOCAL
    machine: Machine = field(default_factory=Machine)
    shard: tuple[int, int] | None = None
    web: Web = field(default_factory=Web)
    untried: bool = False
    wanted_pictures: frozenset[str] = frozenset()


@dataclass
class Summary:
    """The result of `run_stage`: units by status, and whether it was interrupted.

    Attributes:
        lost_files: how many files were missing or changed, which made their units pending again.
        read_again: how many units are pending because an older reader looked at their file; it is read where it lies.
        unmended: {unit: why} of those that could not be made again, because files or their sources are away; their rows stay.
        reasons: {reason: units} of `unmended`.
        unfinished: whether the stage's last step was left out for them, or is left to a call that does all units.
        rest: units that were not pending, by what there is to tell of them: with `pending` they make up `units`.
        slow_nets: {net: why} of those that are used as they are, because they could not be prepared.
        precisions: {net: what came of it} of those that were wanted in half precision.
    """

    stage: str
    units: int
    pending: int
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False
    lost_files: int = 0
    read_again: int = 0
    unmended: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    unfinished: bool = False
    rest: dict[str, int] = field(default_factory=dict)
    slow_nets: dict[str, str] = field(default_factory=dict)
    precisions: dict[str, str] = field(default_factory=dict)


def run_stage(
    stage: Stage, run: Path, models: Registry, options: Options = Options(), store: Store | None = None
) -> Summary:
    """Run a stage's pending units and commit them. A `store` shared between calls caches what it has read.

    Raises `Skipped` when a package or net is missing, `tables.lock.Occupied` when another driver is at it, `Damaged` when rows
    or outcomes that it would build on are missing (nothing is written then), `StageError` when the stage cannot go on (bot wall,
    full disk, a net that does not load), `BadUse` when its input holds nothing. Ctrl-C commits what is done and sets `interrupted`.
    """
    with Progress(stage.name, doing="looking at what is done") as shown:
        return _run_shown(stage, run, models, options, store, shown)


def _run_shown(
    stage: Stage, run: Path, models: Registry, options: Options, store: Store | None, shown: Progress
) -> Summary:
    missing = [name for name in stage.needed_modules() if not importable(name)]
    if missing:
        raise Skipped(stage.name, f"no {', '.join(missing)}: {install.with_extra(stage.extra)}")
    if options.executor != LOCAL and stage.net_precision() != "fp32":
        raise StageError(
            f"{stage.name}.precision={stage.net_precision()} is tried on the GPU of one machine, and machine.executor="
            f"{options.executor} would mix several: set {stage.name}.precision=fp32, or machine.executor={LOCAL}"
        )
    try:
        nets = net_files(stage, models)
    except MissingModel as error:
        raise Skipped(stage.name, f"no net: {error.remedy or error}", str(error)) from error
    store = store or Store(run)
    folder = store.table(stage.writes).folder
    with remaking(folder):
        begin_anew(stage, store)
        summary = _run(stage, store, nets, models, options, shown)
        part = table_part(stage, options.shard)
        keep_unmended(store.run, stage.name, summary.reasons, part)
        if not (part or options.untried or summary.interrupted):
            settle_anew(stage, store, _hashes(nets))
    if not (part or summary.interrupted):
        # With shards, one that starts meanwhile would be refused: it is left to a call that does all units.
        compact_if_many(store, stage.writes)
    return summary


def _hashes(nets: Sequence[ModelFile | None]) -> list[str]:
    return [net.identity if net else "" for net in nets]


def _run(
    stage: Stage,
    store: Store,
    nets: Sequence[ModelFile | None],
    models: Registry,
    options: Options,
    shown: Progress,
) -> Summary:
    hashes = _hashes(nets)
    with _writable(store.run):
        stage.look(store)
    known = store.table(stage.writes).parts("outcomes")
    work = _wanted(plan(stage, store, hashes), options)
    if not work.units and (nothing := stage.empty_input()):
        raise BadUse(nothing)
    summary = _summary(work)
    part = table_part(stage, options.shard)
    if not len(work.pending) and (part or not finish_needed(stage, store, work)):
        summary.unfinished = _left_open(stage, part)
        return summary
    began = time.monotonic()
    with _writable(store.run), driving(store.run, stage.writes, part):
        handler = log_to(store.run, stage.name + (f".{part[0]}-of-{part[1]}" if part else ""))
        try:
            if store.table(stage.writes).parts("outcomes") != known:  # another driver was at it before we held the lock
                work = _wanted(plan(stage, store, hashes), options)
                summary = _summary(work)
            check_inputs(stage, store, work)
            _drive(stage, store, replace(work, nets=named(nets)), models, options, summary, shown)
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()
    summary.seconds = time.monotonic() - began
    summary.slow_nets = {net.name: net.unprepared for net in nets if net and net.unprepared}
    summary.precisions = {net.name: net.precision for net in nets if net and net.precision}
    return summary


def _summary(work: Plan) -> Summary:
    units, pending = len(work.units), len(work.pending)
    return Summary(
        work.stage.name, units, pending, lost_files=work.lost_files, read_again=work.read_again, rest=work.rest()
    )


def _wanted(work: Plan, options: Options) -> Plan:
    return (work.untried() if options.untried else work).only(options.shard)


def importable(name: str) -> bool:
    """Whether a package is installed; nothing is imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package around it is not there
        return False


@contextmanager
def _writable(run: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a `StageError` that says what to do."""
    try:
        yield
    except OSError as error:
        known = files.failure_of(error)
        if known is None:
            raise
        raise StageError(f"{known.detail}. What was committed is safe.") from error


def _drive(
    stage: Stage, store: Store, work: Plan, models: Registry, options: Options, summary: Summary, shown: Progress
) -> None:
    """Hold the stage's driver hook open, run what is pending, and let the stage finish."""
    fetches = work.read_again < len(work.pending)  # else files are read where they lie, and nothing is asked of anybody
    wanted = options.web.connections if stage.resources.network and fetches else options.workers
    workers = min(1 if stage.resources.one_worker else wanted, max(1, len(work.pending)))
    workers = 0 if options.workers == 0 else workers
    device = options.device if stage.resources.gpu else "cpu"
    threads = max(1, options.threads // max(1, workers))
    share = options.machine.worker_gpus if options.executor == "ray" else 1 / max(1, workers)  # here all share one card
    context = Context(
        *(store.run, device, threads, models),
        web=options.web,
        opt_out=store.opt_out,
        where=where_of(store.run),
        cache_gb=options.machine.cache_gb,
        gpu_share=share,
        wanted_pictures=options.wanted_pictures,
    )
    if len(work.pending):
        shown.doing = "getting ready"
        with stage.driver(context) if fetches else nullcontext({}) as given, listening() as pulse:
            shown.doing = ""
            shown.expect(len(work.pending), _amounts(stage, store, work), pulse)
            running = replace(context, given=given, pulse=pulse.folder)
            _run_units(stage, store, work, running, workers, options, summary, shown)
        context.storage.release()  # workers of other processes have put what a listing from before does not show
    summary.unfinished = _left_open(stage, part := table_part(stage, options.shard))
    if not summary.interrupted and part is None:
        shown.doing = "finishing"
        _finish(stage, store, work, context, summary)


def _amounts(stage: Stage, store: Store, work: Plan) -> dict[int, float]:
    """{index of a pending unit: seconds of its video}; empty where units have none, and count alike."""
    pending = work.pending.tolist()
    seconds = seconds_of(stage, store, [work.units[index] for index in pending])
    return {} if seconds is None else dict(zip(pending, seconds.tolist(), strict=True))


def _left_open(stage: Stage, part: tuple[int, int] | None) -> bool:
    """Whether a shard leaves the stage's last step to a call that does all units."""
    return part is not None and not undivided(stage) and type(stage).finish is not Stage.finish


def _finish(stage: Stage, store: Store, work: Plan, context: Context, summary: Summary) -> None:
    """Let the stage finish, unless rows stayed of which the files are not as they say: an index would list them."""
    if summary.unmended:
        summary.unfinished = type(stage).finish is not Stage.finish
        return
    stage.finish(context, store)
    _mark_finished(stage, store, work)


def _run_units(
    stage: Stage,
    store: Store,
    work: Plan,
    context: Context,
    workers: int,
    options: Options,
    summary: Summary,
    shown: Progress,
) -> None:
    prepare()  # workers inherit it, whoever called us
    commits = Commits(stage, store, work)
    interruption = Interrupt()

    def stopping() -> bool:  # asked twice a second: what is done waits for no unit that takes long
        commits.check_there()
        commits.flush_if_due()
        return interruption.asked

    job = Job(stage, context, workers, stopping, options.machine, hashes_in(work.nets))
    results = open_executor(options.executor, job).results(work.pending_units())
    try:
        with interruption:
            for index, result in results:
                result.replay_logs(stage.name, work.units[index])
                if result.reason and Reason.of(result.reason).kind is ReasonClass.BLOCKED:
                    commits.add(index, result)  # the unit that was blocked is on record; on a full disk it could not be
                _stop_if_hopeless(stage, result.reason, result.detail, result.broken)
                commits.add(index, result)
                shown.advance(result.status, index)
                if interruption.asked:
                    break
            summary.counts = dict(shown.counts)
            summary.interrupted = interruption.asked
            summary.unmended, summary.reasons = commits.unmended, commits.reasons
    finally:
        try:
            results.close()  # this stops the workers
        finally:
            commits.flush()


_GO_ON = "What was done is committed; run the same command to go on."
_HOPELESS = {  # of these, every unit that follows would fail alike: the error to raise, and what to do
    Reason.BOT_WALL: (
        StageError,
        "Wait some hours; or give cookies of an account that you may lose (--set web.cookies=FILE); or ask less often "
        "(--set web.requests_per_hour=N). With web.cool_down_minutes=60 it waits by itself.",
    ),
    Reason.DISK_FULL: (OutOfRoom, ""),  # the detail says it
    Reason.NOT_WRITABLE: (StageError, ""),
    Reason.DISK_LIMIT: (
        OutOfRoom,
        "Let the later stages run with --discard raw, which frees the sources that they are done with; or make room, or "
        "change web.max_raw_gigabytes and web.min_free_gigabytes.",
    ),
}


def _stop_if_hopeless(stage: Stage, reason: str, detail: str, broken: bool) -> None:
    """Stop where every later unit would fail too (a stage that cannot start, a bot wall, a full disk), and say what to do."""
    if broken:
        raise StageError(detail)
    known = Reason.of(reason) if reason else None
    if known in _HOPELESS or (known and known.kind is ReasonClass.BLOCKED):
        error, advice = _HOPELESS.get(known, (StageError, ""))
        said = f"{stage.name} stopped: {detail.rstrip('.')}."
        raise error(" ".join(part for part in (said, advice, _GO_ON) if part))


def finish_needed(stage: Stage, store: Store, work: Plan) -> bool:
    """Whether the stage overrides `finish`, and its rows or its `leaves` are not those it last finished with."""
    if type(stage).finish is Stage.finish:
        return False
    stamp = read_stamp(store, stage.name)
    return stamp is None or stamp.rows != _rows_signature(stage, store, work) or bool(broken_leaves(stage, store))


def _mark_finished(stage: Stage, store: Store, work: Plan) -> None:
    if type(stage).finish is not Stage.finish:
        write_stamp(store, stage.name, _rows_signature(stage, store, work), stage.leaves)


def _rows_signature(stage: Stage, store: Store, work: Plan) -> str:
    """A hash of the winning attempts of the stage's units and of its settings."""
    won = store.table(stage.writes).winners().select(["unit", "commit"])
    won = won.filter(pc.is_in(won["unit"], value_set=strings(work.units)))
    hashes = row_hashes(won, won.column_names)
    total = int(unit_hashes(np.zeros(len(won), np.int64), hashes, 1)[0])
    settings = json.dumps(stage.result_settings(), sort_keys=True, default=str)
    return f"{digest(settings, stage.name, str(stage.version), str(len(won)), str(total)):016x}"
