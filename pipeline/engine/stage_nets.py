"""The nets on this machine that a stage's results depend on."""

from collections.abc import Sequence

from pipeline.engine.stage import OptionalNets, Stage
from pipeline.registry.models import MissingModel, ModelFile, Registry


def advice_of(names: Sequence[str], models: Registry) -> str:
    """Say in one line how to get these nets; one that is on this machine was passed over because its hash is not pinned."""
    there = [name for name in names if models.find(name)]
    absent = [name for name in names if name not in there]
    fetch = [f"csg405 models fetch {' '.join(absent)}, or name their folder with MODELS=..."] if absent else []
    pin = [f"of {name} a file is there, but no hash is recorded: csg405 models pin {name}" for name in there]
    return "; ".join(fetch + pin)


def commands_for(names: Sequence[str], models: Registry) -> str:
    """The commands that bring these nets."""
    there = [name for name in names if models.find(name)]
    absent = [name for name in names if name not in there]
    pins = [f"csg405 models pin {name}" for name in there]
    return "; ".join(([f"csg405 models fetch {' '.join(absent)}"] if absent else []) + pins)


def optional_names(stage: Stage) -> tuple[tuple[str, ...], ...]:
    """For each net without which a stage does less, the registry names that will do."""
    return stage.optional_model_names() if isinstance(stage, OptionalNets) else ()


def net_hashes(stage: Stage, models: Registry) -> list[str]:
    """Identity of each net of a stage, in its own order; "" for an optional one that is not here.

    Raises:
        MissingModel: a needed net is missing, or the stage has optional nets alone and none of them is here.
    """
    return [file.identity if file else "" for file in net_files(stage, models)]


def net_files(stage: Stage, models: Registry) -> list[ModelFile | None]:
    """Each net of a stage, in its own order; None for an optional one that is not here. Raises MissingModel likewise."""
    needed = [models.resolve(names, stage.net_precision()) for names in stage.model_names()]
    optional = [(names, models.optional(names)) for names in optional_names(stage)]
    if optional and not needed and not any(file for _, file in optional):
        wanted = [names[0] for names, _ in optional]
        raise MissingModel(f"none of its nets is here: {advice_of(wanted, models)}", commands_for(wanted, models))
    return [*needed, *(file for _, file in optional)]


def may_run(stage: Stage, models: Registry) -> bool:
    """Whether the nets that a stage cannot do without are here or can be brought. Nothing is hashed or fetched."""
    needed, optional = stage.model_names(), optional_names(stage)
    can = {names for names in (*needed, *optional) if _has_one(names, models)}
    return can.issuperset(needed) and (bool(needed) or not optional or bool(can))


def _has_one(names: Sequence[str], models: Registry) -> bool:
    entries = map(models.entry, names)
    return any(map(models.find, names)) or (models.download and any(entry.builder or entry.url for entry in entries))


def named(nets: Sequence[ModelFile | None]) -> str:
    """Nets as outcomes name them: "yolox_l 7860ae79..., dwpose_l 724f4ff2..."."""
    return ", ".join(f"{net.name} {net.sha256}" for net in nets if net)


def hashes_in(text: str) -> dict[str, str]:
    """{name: sha256} of nets as outcomes name them."""
    pairs = (net.partition(" ") for net in text.split(", ") if net)
    return {name: sha256 for name, _, sha256 in pairs}
