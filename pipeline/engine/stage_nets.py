"""The nets on this machine that a stage's results depend on."""

from collections.abc import Sequence

from pipeline.engine.stage import OptionalNets, Stage
from pipeline.registry.models import MissingModel, Registry


def advice_of(names: Sequence[str], models: Registry) -> str:
    """Say in one line how to get these nets; one that is on this machine was passed over because its hash is not pinned."""
    there = [name for name in names if models.find(name)]
    absent = [name for name in names if name not in there]
    fetch = [f"csg405 models fetch {' '.join(absent)}, or name their folder with MODELS=..."] if absent else []
    pin = [f"of {name} a file is there, but no hash is recorded: csg405 models pin {name}" for name in there]
    return "; ".join(fetch + pin)


def optional_names(stage: Stage) -> tuple[tuple[str, ...], ...]:
    """For each net without which a stage does less, the registry names that will do."""
    return stage.optional_model_names() if isinstance(stage, OptionalNets) else ()


def net_hashes(stage: Stage, models: Registry) -> list[str]:
    """sha256 of each net of a stage, in its own order; "" for an optional one that is not here.

    Raises:
        MissingModel: a needed net is missing, or the stage has optional nets alone and none of them is here.
    """
    needed = [models.resolve(names).sha256 for names in stage.model_names()]
    optional = [(names, models.optional(names)) for names in optional_names(stage)]
    if optional and not needed and not any(file for _, file in optional):
        raise MissingModel(f"none of its nets is here: {advice_of([names[0] for names, _ in optional], models)}")
    return needed + [file.sha256 if file else "" for _, file in optional]
