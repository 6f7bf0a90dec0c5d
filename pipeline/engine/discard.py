"""Freeing sources that nothing in the profile needs any more, and asking for them again.

A downloaded video may go when every stage that reads it, and every stage that those wait for, has a result of today's
fingerprint for everything of it. A tombstone beside it is written first: a kill between the two loses nothing. Files outside
the run folder are used in place and never touched.
"""

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.base.errors import UserError
from pipeline.engine.old_rows import NONE
from pipeline.engine.plan import plan
from pipeline.engine.profile import Profile
from pipeline.engine.stage import Stage
from pipeline.engine.stage_nets import net_hashes
from pipeline.registry.models import MissingModel, Registry
from pipeline.storage import Storage, tombstone_of
from pipeline.tables import run_folder
from pipeline.tables.kinds import KINDS, is_path
from pipeline.tables.lock import driving
from pipeline.tables.outcome import FAILED
from pipeline.tables.store import Store

_IDS = ("video_id", "clip_id", "person_id")  # each begins with that of its video


@dataclass(frozen=True)
class Source:
    """A downloaded video that is there, by its key in the storage."""

    video_id: str
    key: str
    bytes: int
    sha256: str


@dataclass
class Freed:
    """What was freed, or would be.

    Attributes:
        sources: those that go.
        kept: {why: sources that stay for it}, the first stage that needs them alone.
    """

    sources: list[Source] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        return sum(source.bytes for source in self.sources)


def free(profile: Profile, store: Store, models: Registry, *, dry_run: bool = False) -> Freed:
    """Free the sources of which nothing more is needed.

    Raises `pipeline.tables.lock.Occupied` while a stage that reads sources runs elsewhere. Safe to kill.
    """
    freed = Freed()
    sources = _downloaded(store)
    if not sources:
        return freed
    stages = needing_sources(profile)
    with ExitStack() as locks:
        for kind in () if dry_run else dict.fromkeys(stage.writes for stage in stages):
            locks.enter_context(driving(store.run, kind))
        wanted = {**_to_be_read_again(profile, store), **_wanted(stages, store, models, sources)}
        wanted = {video: why for video, why in wanted.items() if video in sources}
        freed.kept.update(wanted.values())
        freed.sources = [source for name, source in sources.items() if name not in wanted]
        if not dry_run:
            for source in freed.sources:
                _bury(store.storage, source)
    return freed


def _bury(storage: Storage, source: Source) -> None:
    stone = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "sha256": source.sha256, "bytes": source.bytes}
    with storage.writing(tombstone_of(source.key)) as path:
        path.write_text(json.dumps(stone), encoding="utf-8")
    storage.delete(source.key)


def _downloaded(store: Store) -> dict[str, Source]:
    """The videos whose file lies in a folder of the run that may be freed, by id."""
    freeable = [place.name for place in run_folder.PLACES if place.discardable]
    sizes = {entry.key: entry.bytes for name in freeable for entry in store.storage.list(name)}
    return {
        row["video_id"]: Source(row["video_id"], row["path"], sizes[row["path"]], row["sha256"] or "")
        for row in store.read("videos", ["video_id", "path", "sha256"]).to_pylist()
        if row["path"] in sizes
    }


def needing_sources(profile: Profile) -> list[Stage]:
    """The stages that read the files of videos, and those whose results decide what these have to do."""
    stages = [profile.stage(name) for name in profile.all_stages]
    stages = [stage for stage in stages if stage.writes != "videos"]
    needed = [stage for stage in stages if _reads_files(stage)]
    for stage in needed:  # grows while it is walked
        kinds = {reads.kind for reads in stage.reads} - {"videos"}
        needed += [other for other in stages if other.writes in kinds and other not in needed]
    return [stage for stage in stages if stage in needed]


def _reads_files(stage: Stage) -> bool:
    paths = {field.name for field in KINDS["videos"].columns if is_path(field)}
    return any(reads.kind == "videos" and paths & set(reads.columns) for reads in stage.reads)


def _wanted(stages: Iterable[Stage], store: Store, models: Registry, sources: Iterable[str]) -> dict[str, str]:
    """The sources that are needed yet: {video id: the first stage that needs it, and why}."""
    models = models.looking()  # nothing is fetched only to tell whether something may go
    wanted: dict[str, str] = {}
    for stage in stages:
        try:
            hashes = net_hashes(stage, models)
        except MissingModel as error:
            return {**dict.fromkeys(sources, f"{stage.name} cannot run here ({error})"), **wanted}
        work = plan(stage, store, hashes)
        open_units = {work.units[i]: "is not done" for i in work.pending}
        open_units |= {work.units[i]: "failed" for i in range(len(work.units)) if work.status[i] == FAILED}
        for unit, why in open_units.items():
            of = [unit.partition("/")[0]] if stage.unit in _IDS else sources
            for video in of:
                wanted.setdefault(video, f"{stage.name} {why}")
    return wanted


def _to_be_read_again(profile: Profile, store: Store) -> dict[str, str]:
    """The videos that an older reader looked at and of which nobody said yet that their rows stay, and why they are needed."""
    wanted: dict[str, str] = {}
    for stage in map(profile.stage, profile.all_stages):
        try:
            old = plan(stage, store).old if stage.looks_at_files else NONE
        except UserError:  # its folder or list is not there now
            continue
        videos = old.table["video_id"].to_pylist() if old.at else []
        wanted |= dict.fromkeys(videos, f"{stage.name} is to read it again, or not (--redo, --keep)")
    return wanted
