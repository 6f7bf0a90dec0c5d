"""The provenance of a training run: stored beside it and in its weights, and checked before it resumes."""

from pathlib import Path
from typing import Any

from pipeline.base.version import version_of
from pipeline.model.training import TrainingError
from pipeline.model.training.cache import Cache
from pipeline.model.training.recipe import Recipe

TRAINED_ON = "trained_on.json"
PACKAGES = ("csg405", "torch", "accelerate", "diffusers", "numpy", "safetensors")
_MAY_CHANGE = frozenset({"steps"})  # of a run that goes on


class RecipeChanged(TrainingError):
    """Raised when a run would resume with other settings or data than it started with."""


def provenance(recipe: Recipe, data: Cache, held_out: Cache | None) -> dict[str, Any]:
    """Collect a run's provenance: settings, the shards' hashes, versions."""
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
    }


def check_same(then: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raise RecipeChanged when a run would resume with other settings or data; it may be made longer."""
    old, new = then["settings"], now["settings"]
    changed = [
        f"{name} was {old.get(name)!r}, now {new.get(name)!r}"
        for name in sorted({*old, *new} - _MAY_CHANGE)
        if old.get(name) != new.get(name)
    ]
    if then["data"].get("train") != now["data"].get("train"):
        changed.append("the shards are other ones")
    if changed:
        raise RecipeChanged(
            f"{folder} holds a different run: {'; '.join(changed)}. Give this one another name (--model-name NAME), or delete "
            "that folder"
        )
