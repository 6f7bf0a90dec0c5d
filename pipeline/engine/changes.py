"""What a command changes about a run's settings, and what has to be done again because of it; told before anything starts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.base.text import printable
from pipeline.engine.chosen import flat, kept_of, settings_in
from pipeline.engine.lookup import settings_class
from pipeline.engine.overrides import OverridesError
from pipeline.engine.plan import plan
from pipeline.engine.profile import as_toml, is_stage
from pipeline.engine.session import Session
from pipeline.engine.settings import is_runtime
from pipeline.engine.stage import Stage
from pipeline.engine.stage_nets import net_hashes, optional_names
from pipeline.registry.models import MissingModel
from pipeline.tables.kinds import KINDS

MODELS = "models"
SHOWN = 160  # characters of a value


@dataclass(frozen=True)
class Change:
    """One setting that is another one than the run was made with.

    Attributes:
        key: "judge.min_speech_share", or `models`.
        old, new: its values; None is "off", or not set.
        chosen: the user asked for it; else the profile says something else than before.
    """

    key: str
    old: Any
    new: Any
    chosen: bool = True

    def __str__(self) -> str:
        why = "" if self.chosen else " (the profile says so now)"
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}{why}"

    @property
    def stage(self) -> str:
        """The stage whose results it may change; "" where it changes none."""
        stage, _, key = self.key.partition(".")
        return (
            stage
            if is_stage(stage) and (not key or not is_runtime(settings_class(stage), key) or key in _FILES)
            else ""
        )


_INPUTS = ("input", "manifest", "archive")  # never part of a fingerprint, and yet they say what the units are
_FILES = (*_INPUTS, "overrides")  # where it lies changes nothing, what it holds does


def changes(session: Session) -> list[Change]:
    """What differs between a run as it was left and the session that is to go on with it; empty for a new run."""
    kept = kept_of(session.run)
    if not kept:
        return []
    old, new = flat(kept), settings_in(session.profile)
    asked = {*session.before.sets, *session.chosen.sets}
    places = session.before.input, session.before.manifest, session.before.poses
    moved = places != (session.chosen.input, session.chosen.manifest, session.chosen.poses)
    found = [
        Change(key, value, new[key], key in asked or (moved and key.rpartition(".")[2] in _INPUTS))
        for key, value in old.items()
        if key in new and new[key] != value
    ]
    unset = [key for key in session.chosen.sets if key not in old and new.get(key) is not None]  # TOML has no null
    found += [Change(key, None, new[key]) for key in unset]
    targets = session.profile.targets
    for name, stages in kept.get("targets", {}).items():
        if name in targets and list(targets[name]) != list(stages):
            found.append(Change(f"targets.{name}", stages, list(targets[name]), moved))
    if session.before.models != session.chosen.models and (session.before.models or session.before.profile):
        found.append(Change(MODELS, session.before.models or None, session.chosen.models or None))
    return found


def consequences(session: Session, found: Sequence[Change]) -> Iterator[str]:
    """Lines about what these changes make pending: units by stage, then the stages that what comes of them may change."""
    profile = session.profile
    named = {change.stage for change in found}
    if any(change.key == MODELS for change in found):
        named |= {name for name in profile.all_stages if _has_nets(profile.stage(name))}
    touched: list[Stage] = []
    for name in dict.fromkeys([*profile.all_stages, *sorted(named - {""})]):
        if name in named and isinstance(stage := profile.settings(name), Stage) and (count := _pending(session, stage)):
            touched.append(stage)
            yield f"{name}: {count}"
    after = list(_after(session, touched))
    if after:
        yield f"then, as far as that changes what they read: {', '.join(after)}"
    if not touched and named - {""}:
        yield "nothing has to be done again"


def _pending(session: Session, stage: Stage) -> str:
    try:
        work = plan(stage, session.store, net_hashes(stage, session.models.looking()))
    except MissingModel as error:
        return f"skipped, unless its net comes: {error}"
    except (OSError, OverridesError) as error:
        return f"cannot be planned: {error}"
    return f"{len(work.pending):,} of {len(work.units):,} units to do" if len(work.pending) else ""


def _after(session: Session, stages: Iterable[Stage]) -> Iterator[str]:
    """The stages of the profile that read what these write, directly or not."""
    kinds = {stage.writes for stage in stages}
    names = {stage.name for stage in stages}
    for stage in map(session.profile.stage, session.profile.all_stages):
        reads = {reads.kind for reads in stage.reads} | {KINDS[stage.writes].parent}
        if stage.name not in names and reads & kinds:
            kinds.add(stage.writes)
            yield stage.name


def _has_nets(stage: Stage) -> bool:
    return bool(stage.model_names() or optional_names(stage))


def _shown(value: Any) -> str:
    text = "off" if value is None else as_toml(value)
    return printable(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
