"""Whether a run is well: who is at work, what was kept, the last failure, room on the disk, requests that are left."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow.compute as pc

from pipeline.base import files
from pipeline.base.units import FPS
from pipeline.engine.profile import Profile
from pipeline.sources.web.settings import Web
from pipeline.tables import run_folder
from pipeline.tables.drivers import Driver, drivers
from pipeline.tables.outcome import FAILED
from pipeline.tables.store import Store
from pipeline.views.machines import Work, work
from pipeline.views.overview import StageState

HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class Failure:
    """A unit that failed, and is not done since."""

    stage: str
    unit: str
    reason: str
    detail: str
    at: datetime


@dataclass(frozen=True)
class Disk:
    """Room on the disk of a run.

    Attributes:
        free, total: bytes; free as an ordinary user may fill it.
        growth: bytes an hour that the stages at work add now; None where nobody is at work, or the rate is not known yet.
        full_in_seconds: until nothing is free at that rate; None likewise.
    """

    free: int
    total: int
    growth: float | None
    full_in_seconds: float | None


@dataclass(frozen=True)
class Pace:
    """What may be asked of a host.

    Attributes:
        left_this_hour: requests that the pace has room for until the clock strikes, about: pauses between them are random.
        wait_seconds: until the next one may leave; 0 for now.
    """

    host: str
    left_this_hour: int
    requests_per_hour: float
    wait_seconds: float


@dataclass(frozen=True)
class Vitals:
    """The state of a run beside its funnel."""

    kept_hours: float
    drivers: list[Driver]
    last_failure: Failure | None
    disk: Disk
    requests: list[Pace]
    work: Work = field(default_factory=Work)


def vitals(profile: Profile, store: Store, states: Sequence[StageState], folders: dict[str, int]) -> Vitals:
    """How a run is.

    Args:
        profile: of the run.
        store: its tables.
        states: its funnel.
        folders: bytes of each folder.
    """
    busy, kept = drivers(store.run), kept_hours(store)
    return Vitals(
        kept,
        busy,
        last_failure(store),
        _disk(store.run, _growth(profile, states, folders, busy)),
        requests_left(store.run, profile.web, time.time()),
        work(store, states, kept),
    )


def kept_hours(store: Store) -> float:
    """Hours of the samples that were exported."""
    return float(pc.sum(store.read("samples", ["frames"])["frames"]).as_py() or 0) / FPS / HOUR_SECONDS


def last_failure(store: Store) -> Failure | None:
    """The unit that failed last, of all stages."""
    newest: Failure | None = None
    for kind in store.kinds:
        won = store.outcomes(kind)
        failed = won.filter(pc.equal(won["status"], FAILED))
        if not len(failed):
            continue
        one = failed.sort_by([("at", "descending")]).slice(0, 1).to_pylist()[0]
        if newest is None or one["at"] > newest.at:
            newest = Failure(*(one[name] for name in ("stage", "unit", "reason", "detail", "at")))
    return newest


def _growth(
    profile: Profile, states: Sequence[StageState], folders: dict[str, int], busy: Sequence[Driver]
) -> float | None:
    """Bytes a second of the stages at work: of each its units a second, times what a unit of it took up so far."""
    kinds = {driver.kind for driver in busy}
    rates = []
    for state in states:
        done = state.ok + state.rejected
        if state.store or not state.rate or not done or profile.stage(state.stage).writes not in kinds:
            continue
        own = [place.name for place in run_folder.PLACES if place.made_by == f"csg405 run {state.stage}"]
        rates.append(state.rate / done * (state.bytes + sum(folders.get(name, 0) for name in own)))
    return sum(rates) if rates else None


def _disk(run: Path, growth: float | None) -> Disk:
    usage = shutil.disk_usage(run)
    return Disk(
        usage.free,
        usage.total,
        growth * HOUR_SECONDS if growth else None,
        usage.free / growth if growth else None,
    )


def requests_left(run: Path, web: Web, now: float) -> list[Pace]:
    """What the pace lets a crawl or a search ask until the clock strikes, by host, of those that it asked lately.

    Args:
        run: the run's folder; its `pace.json` says when each host may be asked next.
        web: the pace.
        now: seconds since 1970.
    """
    between = HOUR_SECONDS / web.requests_per_hour * (1 + web.jitter / 2)
    left_of_hour = HOUR_SECONDS - now % HOUR_SECONDS
    found = []
    for host, earliest in sorted(files.read_object(run / "pace.json").items()):
        if isinstance(earliest, int | float):
            wait = max(0.0, earliest - now)
            room = int((left_of_hour - wait) / between) + 1 if wait < left_of_hour else 0
            found.append(Pace(host, min(room, int(web.requests_per_hour)), web.requests_per_hour, wait))
    return found
