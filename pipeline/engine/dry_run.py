"""Dry runs: planned as a run is, without starting, fetching or writing anything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.base import install
from pipeline.engine.plan import plan
from pipeline.engine.profile import Profile
from pipeline.engine.runner import importable
from pipeline.engine.stage import ALL, Stage, whole_run
from pipeline.engine.stage_nets import advice_of, optional_names
from pipeline.registry.models import MissingModel, Registry
from pipeline.tables.store import Store

ALL_LINKS = 200  # so many units from outside are listed one by one; of more, the first FIRST_LINKS
FIRST_LINKS = 50
FIRST_UNITS = 5  # of a stage that works on tables


@dataclass
class Outlook:
    """The forecast of one stage.

    Attributes:
        units: units in all.
        pending: units that would be done, those known to be refused left out.
        first: names of the first of them.
        refused: {unit: why} of those that would be refused at once, such as bad lines of a list.
        whole: the stage looks at the whole run at once; its units say nothing of how much there is to do.
        after: stages before this one that have work, and may bring more of it.
        note: what else there is to know, such as a net that is missing.
    """

    stage: str
    units: int
    pending: int
    first: list[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)
    whole: bool = False
    note: str = ""


def outlook(
    profile: Profile, names: Sequence[str], models: Registry, store: Store, shard: tuple[int, int] | None = None
) -> Iterator[Outlook]:
    """What a run of these stages, or of shard (i, n) of their units, would do, as far as today's tables tell."""
    models = models.looking()
    busy: dict[str, str] = {}  # kind -> the stage that would write to it
    for name in names:
        stage = profile.stage(name)
        forecast = _of(stage, models, store, shard)
        kinds = [reads.kind for reads in stage.reads][
            : None if forecast.units else 1
        ]  # the first kind read has the units
        forecast.after = list(dict.fromkeys(busy[kind] for kind in kinds if kind in busy))
        if forecast.pending or forecast.after:
            busy[stage.writes] = name
        yield forecast


def _of(stage: Stage, models: Registry, store: Store, shard: tuple[int, int] | None) -> Outlook:
    hashes, notes = [], []
    for names in stage.model_names():
        try:
            hashes.append(models.resolve(names, stage.net_precision()).identity)
        except MissingModel as error:  # what was done with another net is to be done again
            hashes.append("missing")
            notes.append(_how_to_get(names, models) or str(error))
    without = []
    for names in optional_names(stage):
        file = models.optional(names)
        hashes.append(file.identity if file else "")
        if not file and any(models.entry(name).builder for name in names):
            notes.append(_how_to_get(names, models))
        elif not file:
            without.append(names[0])
    if without:
        notes.append(f"would do without {', '.join(without)}: {advice_of(without, models)}")
    if absent := [name for name in stage.needed_modules() if not importable(name)]:
        notes.append(f"would be skipped: it needs {', '.join(absent)}: {install.with_extra(stage.extra)}")
    work = plan(stage, store, hashes).only(shard)
    if work.lost_files:
        notes.append(f"files missing or changed: {work.lost_files}, which would be made again")
    if work.read_again:
        notes.append(f"{work.read_again:,} only to be read again from disk by today's reader, with --redo: not fetched")
    refused = stage.refused(store)
    todo = [int(i) for i in work.pending if work.units[i] not in refused]
    from_outside = not work.inputs
    most = FIRST_UNITS if not from_outside else ALL_LINKS if len(todo) <= ALL_LINKS else FIRST_LINKS
    first = [work.units[i] for i in todo[:most] if work.units[i] != ALL]
    bad = {work.units[i]: refused[work.units[i]] for i in work.pending if work.units[i] in refused}
    return Outlook(stage.name, len(work.units), len(todo), first, bad, whole=whole_run(stage), note="; ".join(notes))


def _how_to_get(names: Sequence[str], models: Registry) -> str:
    """What a run would do about a net that is not here; "" when it could do nothing."""
    for name in names:
        entry = models.entry(name)
        if entry.builder:
            return f"{name} would be built first"
        if entry.url:
            return f"{name} would be fetched first" + (f" ({entry.bytes / 1e6:,.0f} MB)" if entry.bytes else "")
    return ""
