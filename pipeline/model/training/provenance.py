"""The provenance of a training run: stored beside it and in its weights, and checked before it resumes."""

from pathlib import Path
from typing import Any

from pipeline.base.version import version_of
from pipeline.model.training import TrainingError
from pipeline.model.training.cache import Cache
from pipeline.model.training.recipe import Recipe

TRAINED_ON = "trained_on.json"
PACKAGES = ("csg405", "torch", "accelerate", "diffusers", "numpy", "safetensors")
MAY_CHANGE = frozenset(
    {"steps", "learning_rate", "clip_norm", "schedule", "warmup_steps", "ema_decay", "precision"}
)  # of a run that goes on; each change is noted in its history
HISTORY = "history"


class RecipeChanged(TrainingError):
    """Raised when a run would resume with other settings or data than it started with."""


def provenance(recipe: Recipe, data: Cache, held_out: Cache | None, processes: int = 1) -> dict[str, Any]:
    """Collect a run's provenance: settings, the shards' hashes, versions, and a history that begins."""
    versions = {package: version_of(package) for package in PACKAGES}
    described = {
        cache.index["split"]: {
            name: cache.index[name] for name in ("shards", "clips", "hours", "left_out_without_features", "min_score")
        }
        for cache in (data, held_out)
        if cache is not None
    }
    return {
        "settings": recipe.result_settings(),
        "data": described,
        "audio_features_of": data.audio_of,
        "versions": versions,
        HISTORY: [{"step": 0, "processes": processes}],
    }


def resumed(then: dict[str, Any], now: dict[str, Any], step: int, folder: Path) -> dict[str, Any]:
    """The provenance of a run that goes on from `step`: today's, with the history of what changed on the way.

    Args:
        then: of the checkpoint.
        now: of the run that goes on.
        step: of the checkpoint.
        folder: of the run, for the message.

    Raises:
        RecipeChanged: what may not change did.
    """
    settings = check_same(then, now, folder)
    versions = {
        name: [then["versions"].get(name), version]
        for name, version in now["versions"].items()
        if then["versions"].get(name) != version
    }
    history = list(then[HISTORY])
    processes = now[HISTORY][0]["processes"]
    noted = {"settings": settings, "versions": versions}
    changed = {name: values for name, values in noted.items() if values}
    if changed or history[-1]["processes"] != processes:
        history.append({"step": step, "processes": processes, **changed})
    kept = {name: then[name] for name in ("started_from",) if name in then}
    return {**now, **kept, HISTORY: history}


def changes(then: dict[str, Any], now: dict[str, Any]) -> str:
    """What changed as `resumed` noted it, as `: learning_rate 0.0001 -> 1e-05, processes 1 -> 2`; "" where nothing did."""
    told = []
    for entry in now[HISTORY][len(then[HISTORY]) :]:
        told += [f"{name} {was} -> {value}" for name, (was, value) in entry.get("settings", {}).items()]
        if (before := then[HISTORY][-1]["processes"]) != entry["processes"]:
            told.append(f"processes {before} -> {entry['processes']}")
        told += [f"{name} {was} -> {value}" for name, (was, value) in entry.get("versions", {}).items()]
    return f": {', '.join(told)}" if told else ""


def check_same(then: dict[str, Any], now: dict[str, Any], folder: Path) -> dict[str, list[Any]]:
    """What changed of the settings that may change, as name -> [was, is].

    Raises:
        RecipeChanged: other settings or the data changed.
    """
    old, new = _with_defaults(then["settings"]), _with_defaults(now["settings"])
    differing = {
        name: [old.get(name), new.get(name)] for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    }
    changed = [
        f"{name} was {was!r}, now {value!r}" for name, (was, value) in differing.items() if name not in MAY_CHANGE
    ]
    if then["data"].get("train") != now["data"].get("train"):
        changed.append("the shards are other ones")
    if changed:
        raise RecipeChanged(
            f"{folder} holds a different run: {'; '.join(changed)}. Give this one another name (--model-name NAME), or delete "
            f"that folder; of a run that goes on, {', '.join(sorted(MAY_CHANGE))} may change"
        )
    return differing


def _with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the defaults of those that did not exist yet when they were written."""
    return {**Recipe().result_settings(), **settings}
