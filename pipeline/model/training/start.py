"""Warm start: another model's weights, and the statistics that go with them, as the beginning of a training."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import nn

from pipeline.base import install
from pipeline.base.hashes import sha256_of
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training import TrainingError
from pipeline.model.training.adapters import ADAPTER, NAME, load_base
from pipeline.model.training.checkpoint import weights_of
from pipeline.model.training.recipe import Recipe
from pipeline.nets.sound.torchaudio import mark_extension_absent

STARTED_FROM = "started_from"
_MAY_DIFFER = frozenset({"dropout", "window_frames"})  # they have no weights
# Where adapters go by default: attention and MLPs. The release's attention is torch's own module, in which peft's adapter would
# subtract its update from the frozen weights after every step, and round.
_ADAPTED = (
    *(f"blocks.*.{name}" for name in ("qkv", "out", "query", "key_value", "out_x", "up", "down")),
    *("encoder.layers.*.linear1", "encoder.layers.*.linear2"),
)


class CannotStart(TrainingError):
    """Raised for a model that this training cannot start from."""


def begin(model: AudioToSkeleton, recipe: Recipe) -> dict[str, Any]:
    """Copy weights and, by default, statistics of the model that `recipe.start_from` names into a new one.

    Args:
        model: untrained, with the statistics of the shards.
        recipe: of the training; `start_from` is a model file, a checkpoint, or the folder of a training.

    Returns:
        what the provenance says of it: the file's sha256, and what that model was trained on.

    Raises:
        CannotStart: it is another network, or hears other audio features.
        BadModel: the file is damaged, or there is none.
    """
    path = weights_of(Path(recipe.start_from).expanduser())
    start = AudioToSkeleton.load(path)
    _check(start, model, path)
    device = next(model.net.parameters()).device
    load_base(model.net, start.net.state_dict())
    if recipe.start_statistics == "model":
        model.space.load_state_dict(start.space.state_dict())
    elif recipe.start_statistics == "means":
        model.space.take_spreads(start.space)
    model.to(device)
    return {
        "model": recipe.start_from,
        "sha256": sha256_of(path),
        "statistics": recipe.start_statistics,
        "trained_on": start.trained_on,
    }


def _check(start: AudioToSkeleton, model: AudioToSkeleton, path: Path) -> None:
    theirs, ours = start.settings.model_dump(), model.settings.model_dump()
    differing = [
        f'train.{name}="{value}"' if isinstance(value, str) else f"train.{name}={str(value).lower()}"
        for name, value in theirs.items()
        if name not in _MAY_DIFFER and ours[name] != value
    ]
    if differing:
        raise CannotStart(
            f"{path} is another network than this training's: SET='{' '.join(differing)}' makes them the same"
        )
    if start.audio_of != model.audio_of:
        raise CannotStart(
            f"{path} hears features of {start.audio_of}, these shards have {model.audio_of}: run `make filter` with "
            "audio_features.features set to the model's kind"
        )


def check_begun(then: dict[str, Any], recipe: Recipe, folder: Path) -> None:
    """Raise CannotStart if a run that goes on names another start than it had; it need not name it again."""
    begun = then.get(STARTED_FROM, {}).get("model", "")
    if recipe.start_from and recipe.start_from != begun:
        had = f"from {begun}" if begun else "anew"
        raise CannotStart(
            f"{folder} holds a run that was started {had}: start_from={recipe.start_from} would be another one; give it "
            "another name (--model-name NAME)"
        )


def freeze(net: nn.Module, patterns: tuple[str, ...]) -> int:
    """Freeze the parameters whose names match a pattern such as `blocks.0.*`; returns how many numbers that are.

    Raises:
        CannotStart: a pattern matches nothing, or all is frozen.
    """
    named = dict(net.named_parameters())
    patterns = tuple(pattern.removeprefix("net.") for pattern in patterns)  # as they are called in a model's file
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in named):
            parts = sorted(
                {
                    ".".join(name.split(".")[: 2 if name.split(".")[1:2] and name.split(".")[1].isdigit() else 1])
                    for name in named
                }
            )
            raise CannotStart(f"train.freeze: no weights are named {pattern}; they begin with {', '.join(parts)}")
    for name, weights in named.items():
        weights.requires_grad_(not any(fnmatchcase(name, pattern) for pattern in patterns))
    if not any(weights.requires_grad for weights in named.values()):
        raise CannotStart("train.freeze leaves nothing to train")
    return sum(weights.numel() for weights in named.values() if not weights.requires_grad)


def adapt(net: nn.Module, recipe: Recipe) -> list[str]:
    """Give linear layers adapters of rank `recipe.lora_rank` and freeze everything else; returns the layers' names.

    Raises:
        CannotStart: peft is missing, or a pattern of `recipe.lora_layers` names no linear layer.
    """
    layers = _linear(net, recipe.lora_layers)
    mark_extension_absent()  # peft imports transformers
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise CannotStart(f"train.lora_rank={recipe.lora_rank} needs peft: {install.with_extra('lora')}") from error
    alpha = recipe.lora_alpha or recipe.lora_rank
    inject_adapter_in_model(LoraConfig(r=recipe.lora_rank, lora_alpha=alpha, target_modules=layers), net, NAME)
    for name, weights in net.named_parameters():
        weights.requires_grad_(ADAPTER in name)
    return layers


def _linear(net: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    """Names of the linear layers that match a pattern; those of attention and MLPs where there is none."""
    # Not by isinstance: the output of torch's own attention is a linear layer that is never called.
    there = [name for name, module in net.named_modules() if type(module) is nn.Linear]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in there):
            raise CannotStart(f"train.lora_layers: no linear layer is named {pattern}; there are {', '.join(there)}")
    return [name for name in there if any(fnmatchcase(name, pattern) for pattern in patterns or _ADAPTED)]
