"""Progress of a run: the funnel of `csg405 status`, and the story of one unit of `csg405 show`."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.reasons import Reason
from pipeline.base.units import FPS
from pipeline.engine.old_rows import old_rows, stay
from pipeline.engine.overrides import OverridesError
from pipeline.engine.plan import Plan, plan
from pipeline.engine.profile import Profile
from pipeline.engine.stage import Stage
from pipeline.engine.stage_nets import net_hashes
from pipeline.engine.stamps import broken_leaves
from pipeline.engine.unmended import unmended
from pipeline.registry.models import MissingModel, Registry
from pipeline.storage import FOLDERS, storage_of, where_of
from pipeline.tables import run_folder
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import FAILED, OK, REJECTED
from pipeline.tables.store import Store
from pipeline.tables.stores import stores_of

RECENT = timedelta(minutes=10)  # the rate is that of the last minutes, not of a run that slept for a week
_SECONDS = {  # how many seconds of video a row of this kind stands for: (column, seconds a unit of it)
    "videos": ("duration_seconds", 1.0),
    "clips": ("frames", 1 / FPS),
    "persons": ("frames_seen", 1 / FPS),
    "samples": ("frames", 1 / FPS),
    "shards": ("seconds", 1.0),
}


@dataclass
class StageState:
    """A stage's line of the funnel.

    Attributes:
        units: units in all; None when they cannot be known (a net is missing).
        hours: of video, in the rows that count; None where a row is no video.
        rate: units a second over the last ten minutes of work.
        eta_seconds: time left for what is pending at that rate.
        reasons: {reason code: units} of what was rejected or failed.
        bytes: of the stage's tables.
        cpu_hours: processor time of the attempts that count.
        store: where its tables are: "" for the run's own, else such as `evaluation/csg405`.
        lost_files: how many of its files are missing or have another size.
        freed: units that could not be made anew, because their source was freed; their rows stay.
        old_reader: what there is to know of files that an older reader looked at, as a clause; "" where there are none.
        unchosen: units without a result that the stage leaves out, as its gate holds them back; `why_unchosen` says it in words.
    """

    stage: str
    summary: str
    units: int | None
    ok: int = 0
    rejected: int = 0
    failed: int = 0
    pending: int = 0
    hours: float | None = None
    rate: float | None = None
    eta_seconds: float | None = None
    bytes: int = 0
    cpu_hours: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    note: str = ""
    store: str = ""
    lost_files: int = 0
    freed: int = 0
    old_reader: str = ""
    unchosen: int = 0
    why_unchosen: str = ""


COPIES = "copies on this machine"  # of files in a bucket: the cache


def funnel(profile: Profile, run: Path, models: Registry, store: Store | None = None) -> list[StageState]:
    """The state of every stage of a profile, in order."""
    store = store or Store(run)
    return [_state(profile.stage(name), store, models) for name in profile.all_stages]


def evaluations(store: Store) -> list[StageState]:
    """The state of every stage of the run's evaluations, by store; their units are known to `evaluate` alone."""
    states = []
    for one in stores_of(store)[1:]:
        for kind in one.store.kinds:
            won = one.store.outcomes(kind)
            state = StageState(kind, "", None, store=one.name)
            _count(state, won)
            _measure(state, kind, one.store, won)
            states.append(state)
    return states


def _state(stage: Stage, store: Store, models: Registry) -> StageState:
    state = StageState(stage.name, stage.summary, None)
    won = store.outcomes(stage.writes)
    won = won.filter(pc.equal(won["stage"], stage.name))
    try:
        hashes = net_hashes(stage, models)
        work = plan(stage, store, hashes)
        counts = work.counts()
        state.units, state.pending = len(work.units), len(work.pending)
        state.lost_files = work.lost_files + len(broken_leaves(stage, store))
        state.freed = min(state.pending, unmended(store.run, stage.name)[Reason.SOURCE_DISCARDED.code])
        state.ok, state.rejected, state.failed = (counts.get(s, 0) for s in (OK, REJECTED, FAILED))
        state.unchosen, state.why_unchosen = work.unchosen, stage.unchosen if work.unchosen else ""
        state.old_reader = _old_reader(stage, store, work)
    except (MissingModel, OSError, OverridesError) as error:
        remedy = error.remedy if isinstance(error, MissingModel) else ""
        state.note = f"no net: {remedy}" if remedy else str(error)
        _count(state, won)
    _measure(state, stage.writes, store, won)
    return state


def _old_reader(stage: Stage, store: Store, work: Plan) -> str:
    stays = stay(stage, store.run)
    old = old_rows(stage, store, work.units, work.status == OK) if stays else work.old
    then = "stay as they are (--keep)" if stays else "wait for --redo or --keep"
    there, away = len(old.at), old.away.total()
    said = [f"{there:,} {then}"] if there else []
    said += [f"{away:,} cannot be read again ({old.why})"] if away else []
    return f"{old}: {', '.join(said)}" if said else ""


def _count(state: StageState, won: pa.Table) -> None:
    """Count outcomes, whatever fingerprint they have."""
    state.ok, state.rejected, state.failed = (
        pc.sum(pc.equal(won["status"], s)).as_py() or 0 for s in (OK, REJECTED, FAILED)
    )


def _measure(state: StageState, kind: str, store: Store, won: pa.Table) -> None:
    """Reasons, hours, rate, time left and bytes of a stage that writes this kind."""
    unwell = won.filter(pc.not_equal(won["status"], OK))
    for item in pc.value_counts(unwell["reason"].combine_chunks()):
        state.reasons[item["values"].as_py()] = item["counts"].as_py()
    if kind in _SECONDS:
        column, seconds = _SECONDS[kind]
        state.hours = (pc.sum(store.read(kind, [column])[column]).as_py() or 0) * seconds / 3600
    state.cpu_hours = (pc.sum(won["cpu_seconds"]).as_py() or 0) / 3600
    state.rate = _rate(won)
    state.eta_seconds = state.pending / state.rate if state.pending and state.rate else None
    state.bytes = sum(p.stat().st_size for p in store.table(kind).folder.rglob("*") if p.is_file())


def _rate(won: pa.Table) -> float | None:
    """Units a second over the last ten minutes that had any; None before there are two."""
    if len(won) < 2:
        return None
    last = pc.max(won["at"]).as_py()
    recent = won.filter(pc.greater(won["at"], pa.scalar(last - RECENT, won["at"].type)))
    seconds = (last - pc.min(recent["at"]).as_py()).total_seconds()
    return len(recent) / seconds if seconds > 0 else None


def bytes_on_disk(run: Path) -> dict[str, int]:
    """Bytes of each folder of a run, as far as its list of folders counts them."""
    folders = run_folder.disk_folders(run)
    found = {folder.name: _bytes_of(folder) for folder in folders if folder.name not in FOLDERS}
    storage, elsewhere = storage_of(run), where_of(run) is not None
    stored = [name for name in FOLDERS if elsewhere or any(folder.name == name for folder in folders)]
    found |= {name: sum(storage.sizes(name).values()) for name in stored}
    return dict(sorted(found.items())) | ({COPIES: storage.copied_bytes()} if storage.remote else {})


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def per_100_hours(states: list[StageState], folders: dict[str, int]) -> dict[str, float]:
    """What 100 h would take at this run's figures: bytes of each folder that grows with the data, and processor hours.

    The list of a run's folders says which are scaled from hours of video crawled (files used in place are no part of them), and
    which from hours kept.
    """
    hours = {state.stage: state.hours or 0.0 for state in states}
    crawled, kept = hours.get("crawl", 0.0), hours.get("export", 0.0)
    if not crawled or not kept:
        return {}
    scaled = {
        place.name: folders.get(place.name, 0) * 100 / (crawled if place.grows_with == "crawled" else kept)
        for place in run_folder.PLACES
        if place.grows_with
    }
    return {**scaled, "cpu_hours": sum(state.cpu_hours for state in states) * 100 / crawled}


@dataclass
class Chapter:
    """What one stage did with a unit: its outcome, and the rows that it left with their light columns."""

    kind: str
    outcome: dict[str, Any]
    rows: list[dict[str, Any]]


def story(store: Store, unit: str) -> list[Chapter]:
    """Everything known of a video, clip or person, in the order of the tables.

    An id stands for what it contains: a video's story holds its clips and persons; a person's, its clip and its video.
    Of a video that opted out there is nothing to tell but that.
    """
    video, clip = unit.partition("/")[0], unit.partition("#")[0]
    if video in store.opted_out.to_pylist():
        return [Chapter("videos", _opted_out(store, video), [])]
    chapters = []
    for kind in store.kinds:
        spec = KINDS[kind]
        light = [
            name for name in spec.schema.names if name not in spec.heavy or name in ("reasons", "details", "crop_box")
        ]
        rows = [row for row in store.read(kind, light).to_pylist() if _concerns(row, unit, clip, video)]
        units = {unit, clip, video, *(str(row.get("source", "")) for row in rows)}
        outcomes = store.outcomes(kind)
        inside = pc.or_(pc.is_in(outcomes["unit"], value_set=pa.array(sorted(units))), _within(outcomes["unit"], unit))
        events = [o for o in outcomes.filter(inside).to_pylist() if o["unit"] != "all"]
        chapters += [Chapter(kind, o, [r for r in rows if _row_of(r, o["unit"])]) for o in events]
        if rows and not events:
            chapters.append(Chapter(kind, {}, rows))
    return chapters


def _opted_out(store: Store, video: str) -> dict[str, Any]:
    """An outcome that says so, with the time and host of its crawl where there was one."""
    listed = f"{'the video' if video in store.opt_out else 'its channel'} is on the list"
    listed = "it was taken down" if store.opt_out.took_down(video) else listed
    said = {"unit": video, "status": REJECTED, "reason": Reason.OPTED_OUT.code, "detail": listed}
    rows = store.table("videos").rows(["video_id"])
    units = rows["unit"].filter(pc.equal(rows["video_id"], video)).to_pylist()
    won = store.outcomes("videos")
    crawled = won.filter(pc.is_in(won["unit"], value_set=pa.array(units, pa.string()))).to_pylist()
    return {"stage": "opt-out", "at": None, **(crawled[0] if crawled else {}), **said}


def _within(units: pa.ChunkedArray, unit: str) -> pa.ChunkedArray:
    return pc.or_(pc.starts_with(units, unit + "/"), pc.starts_with(units, unit + "#"))


def _concerns(row: dict[str, Any], unit: str, clip: str, video: str) -> bool:
    """Whether a row is of the unit, of something inside it, or of what contains it."""
    if unit in (row.get("video_id"), row.get("clip_id"), row.get("person_id"), row.get("source")):
        return True
    if row.get("person_id"):
        return False
    return row.get("clip_id") == clip if row.get("clip_id") else row.get("video_id") == video


def _row_of(row: dict[str, Any], unit: str) -> bool:
    return unit in row.values()


def sentence(code: str) -> str:
    """A reason's sentence; the code itself when it is from another version."""
    try:
        return Reason.of(code).sentence
    except KeyError:
        return code
