"""What the machines of a run do: by node and GPU, what a kept hour costs them, and when the whole chain will be done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.units import FPS, Row
from pipeline.tables.store import Store
from pipeline.views.overview import RECENT, StageState

HOUR_SECONDS, DAY_HOURS = 3600.0, 24.0
_SUMS = ("wall_seconds", "cpu_seconds", "gpu_seconds")
_COLUMNS = ("host", "at", *_SUMS)


@dataclass(frozen=True)
class Machine:
    """A node, or a GPU of one, as outcomes name it.

    Attributes:
        units: whose result is its.
        wall_hours, cpu_hours, gpu_hours: of those; wall as workers counted it, so two at a time count twice.
        frames_a_second: annotated lately; None where it has annotated nothing lately.
        hours_a_day: of clips that it annotates in a day at that pace; None likewise.
    """

    host: str
    units: int
    wall_hours: float
    cpu_hours: float
    gpu_hours: float
    frames_a_second: float | None
    hours_a_day: float | None


@dataclass(frozen=True)
class Work:
    """All machines, and what they come to.

    Attributes:
        machines: those with most units first.
        cpu_hours_a_kept_hour, gpu_hours_a_kept_hour: of the attempts that count, all stages; None where nothing is kept.
        chain_left_seconds: until all stages are done with all that was found, at the pace of the last minutes; None where nothing
            is pending, or a stage has done no unit yet, so that nobody knows what it costs.
    """

    machines: list[Machine] = field(default_factory=list)
    cpu_hours_a_kept_hour: float | None = None
    gpu_hours_a_kept_hour: float | None = None
    chain_left_seconds: float | None = None


def work(store: Store, states: Sequence[StageState], kept_hours: float) -> Work:
    """What the machines of a run have done, and do.

    Args:
        store: the run's tables.
        states: its funnel.
        kept_hours: of exported samples.
    """
    won = _outcomes(store)
    pace = _frames_a_second(store)
    machines = [_machine(row, pace) for row in _by_host(won)]
    cpu, gpu = (sum(getattr(one, name) for one in machines) for name in ("cpu_hours", "gpu_hours"))
    cost = (lambda hours: hours / kept_hours) if kept_hours else (lambda _: None)
    return Work(machines, cost(cpu), cost(gpu), _left(won, [state for state in states if not state.store]))


def _outcomes(store: Store) -> pa.Table:
    """Where and when the winning attempts of all stages were made, and what they took."""
    tables = [store.outcomes(kind).select(_COLUMNS) for kind in store.kinds]
    return pa.concat_tables(tables) if tables else pa.table({name: [] for name in _COLUMNS})


def _by_host(won: pa.Table) -> list[Row]:
    named = won.set_column(0, "host", pc.fill_null(pc.cast(won["host"], pa.string()), ""))
    sums = named.group_by("host").aggregate([("at", "count"), *((name, "sum") for name in _SUMS)])
    rows: list[Row] = sums.sort_by([("at_count", "descending"), ("host", "ascending")]).to_pylist()
    return rows


def _machine(row: Row, pace: dict[str, float]) -> Machine:
    host = str(row["host"])
    wall, cpu, gpu = (float(row[f"{name}_sum"] or 0) / HOUR_SECONDS for name in _SUMS)
    frames = pace.get(host)
    a_day = frames / FPS * DAY_HOURS if frames is not None else None
    return Machine(host or "unknown", int(row["at_count"]), wall, cpu, gpu, frames, a_day)


def _frames_a_second(store: Store) -> dict[str, float]:
    """{host: frames of clips that it annotated a second, in the last minutes in which any were}."""
    recent = _recent(store.outcomes("persons")) if "persons" in store.kinds else []
    if not recent:
        return {}
    clips = store.read("clips", ["clip_id", "frames"])
    frames = dict(zip(clips["clip_id"].to_pylist(), clips["frames"].to_pylist(), strict=True))
    seconds, found = _span(recent), dict[str, float]()
    for row in recent:
        found[row["host"] or ""] = found.get(row["host"] or "", 0.0) + (frames.get(row["unit"]) or 0) / seconds
    return found


def _recent(won: pa.Table) -> list[Row]:
    """The outcomes of the last minutes that had any."""
    last = pc.max(won["at"]).as_py() if len(won) else None
    if last is None:
        return []
    rows: list[Row] = won.filter(pc.greater(won["at"], pa.scalar(last - RECENT, won["at"].type))).to_pylist()
    return rows


def _span(recent: Sequence[Row]) -> float:
    """Seconds from the begin of the first of these attempts, or the last minutes' begin, to the end of the last."""
    last = max(row["at"] for row in recent)
    first = min(row["at"] - timedelta(seconds=row["wall_seconds"] or 0) for row in recent)
    return float(max(1e-3, min(RECENT, last - first).total_seconds()))


def _left(won: pa.Table, states: Sequence[StageState]) -> float | None:
    """Seconds for what is pending, and for what the stages after will have to do with it, at the pace of now."""
    recent = _recent(won)
    if not recent or not any(state.pending for state in states):
        return None
    pace = sum(float(row["cpu_seconds"] or 0) for row in recent) / _span(recent)
    first = states[0]
    grows = first.units / max(1, first.units - first.pending) if first.units else 1.0
    hours = [_hours_left(state, grows) for state in states]
    if not pace or None in hours:
        return None
    return max(HOUR_SECONDS * sum(filter(None, hours)) / pace, *(state.eta_seconds or 0.0 for state in states))


def _hours_left(state: StageState, grows: float) -> float | None:
    """Processor hours that a stage will still take; None where it has units and has done none of them."""
    done = state.ok + state.rejected + state.failed
    if state.units is None:
        return 0.0  # its net is missing: it is left out
    if not done:
        return None if state.units else 0.0
    return state.cpu_hours / done * max(0.0, state.units * grows - done)
