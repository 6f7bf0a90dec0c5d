"""Checkpoints: everything that a run needs to resume, in safetensors and JSON, complete or absent.

A checkpoint is a folder `step-000005000`: `model.safetensors` (weights), `average.safetensors` (their moving average, where there
is one), `optimizer.safetensors`, with LoRA `adapters.safetensors` (see `pipeline.model.training.adapters`), and `state.json`, which
records the sha256 of the others. It is written beside its target, fsynced and renamed. Random numbers need no state: each step
seeds its own from the run's seed and its number.
"""

import json
import logging
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.model.audio_to_skeleton import AudioToSkeleton, save_tensors
from pipeline.model.training.adapters import adapted, apart, merged, restore_apart
from pipeline.registry.archives import BadModel

log = logging.getLogger(__name__)

STATE, MODEL, AVERAGE, OPTIMIZER = "state.json", "model.safetensors", "average.safetensors", "optimizer.safetensors"
ADAPTERS = "adapters.safetensors"
PREFIX = "step-"
DEFAULT = "model"  # the name of a training to which nobody gives one


def name_of(step: int) -> str:
    """`step-000005000`."""
    return f"{PREFIX}{step:09d}"


def write(
    folder: Path,
    step: int,
    model: AudioToSkeleton,
    average: AudioToSkeleton | None,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of `step` into `folder`, then remove all but the last `keep`; returns its path.

    Args:
        folder: of all checkpoints of a run.
        model: current weights.
        average: their moving average, or None.
        optimizer: its parameters are those of `model.net` that are trained, in order.
        state: what else is needed, as JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    target, temporary = folder / name_of(step), folder / f"{files.TEMPORARY}{uuid.uuid4().hex[:12]}"
    temporary.mkdir()
    try:
        merged(model).save(temporary / MODEL)
        if average is not None:
            merged(average).save(temporary / AVERAGE)
        _save(_flat(optimizer, model.net), temporary / OPTIMIZER)
        if adapted(model.net):
            _save(apart(model, average), temporary / ADAPTERS)
        hashes = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        text = json.dumps({**state, "step": step, "files": hashes}, indent=1, sort_keys=True)
        files.write_text(temporary / STATE, text + "\n")
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        files.sync(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    # By step, not by age: a later one exists only if it was found broken, and must not displace what was just written.
    older = [path for path in listed(folder) if path.name < target.name]
    for old in older[: max(0, len(older) - (keep - 1))]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_tensors(tensors, path)
    files.sync(path)


def sweep(folder: Path) -> None:
    """Remove half-written checkpoints that a kill left."""
    for path in folder.glob(f"{files.TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def listed(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir())


def check(path: Path) -> dict[str, Any]:
    """Verify a checkpoint's files against `state.json`, and return its content.

    Raises:
        BadModel: a file is missing, truncated or altered.
    """
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        named = dict(state["files"])
        state["step"] = int(state["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{path} is not a complete checkpoint: {STATE} is missing or damaged") from error
    if MODEL not in named:
        raise BadModel(f"{path} is not a complete checkpoint: {STATE} names no {MODEL}")
    for name, sha256 in named.items():
        file = path / Path(name).name
        if not file.is_file():
            raise BadModel(f"{file} is missing: delete {path} and resume from the checkpoint before it")
        if sha256_of(file) != sha256:
            raise BadModel(
                f"{file} is not the file that was written (sha256 differs): delete {path} and go on from the one before it"
            )
    return dict(state)


def last_whole(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The last complete checkpoint and its state, or None; broken ones are logged."""
    for path in reversed(listed(folder)):
        try:
            return path, check(path)
        except BadModel as error:
            log.warning("%s", error)
    return None


def restore(
    path: Path, model: AudioToSkeleton, average: AudioToSkeleton | None, optimizer: torch.optim.Optimizer
) -> None:
    """Load weights, average and optimizer from a checkpoint that passed `check`, into objects built for them."""
    _take(model, path / MODEL)
    if average is not None:
        _take(average, path / AVERAGE)
    file = path / ADAPTERS
    try:
        if adapted(model.net):
            restore_apart(load_file(str(file)), model, average)
        file = path / OPTIMIZER
        _unflatten(optimizer, model.net, load_file(str(file)))
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise BadModel(f"{file} is damaged, or of another network or optimizer ({error})") from error


def weights_of(path: Path) -> Path:
    """The weights to generate with: of a checkpoint folder, of a training folder's last complete checkpoint, or a file itself.

    Raises:
        BadModel: there are none.
    """
    path = Path(path)
    if path.is_file():
        return path
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if (folder / STATE).is_file():
        source: Path | None = folder
        check(folder)
    else:
        whole = last_whole(folder) if folder.is_dir() else None
        source = whole[0] if whole else None
    if source is None:
        raise BadModel(f"{path} holds no model: train one with `make train`, or name another with --model")
    return source / AVERAGE if (source / AVERAGE).is_file() else source / MODEL


def model_of(text: str, trainings: Path, option: str = "--model") -> Path:
    """The model that somebody names: a path, or the name of a training of the run; `model` where nothing is said.

    Args:
        text: what was said.
        trainings: the folder of the run's trainings; need not be there.
        option: with which it was said, for the message.

    Raises:
        BadModel: it is neither.
    """
    path = Path(text).expanduser()
    if text and (path.exists() or len(path.parts) > 1):
        return path
    there = sorted(path.parent.name for path in trainings.glob("*/checkpoints"))
    if (text or DEFAULT) in there:
        return trainings / (text or DEFAULT)
    named = (
        f"models of this run: {', '.join(there)}" if there else f"{trainings} holds none: train one with `make train`"
    )
    if text:
        raise BadModel(f"{option} {text}: no file or folder of this path, and no model of this name; {named}")
    if there:
        raise BadModel(f"{trainings / DEFAULT} holds no model: name one with {option}; {named}")
    return trainings / DEFAULT


def _take(into: AudioToSkeleton, path: Path) -> None:
    if not path.is_file():
        raise BadModel(f"{path} is missing: this run keeps moving averages (ema_decay), and the checkpoint has none")
    loaded = AudioToSkeleton.load(path)
    if loaded.settings != into.settings:
        raise BadModel(f"{path} holds another network ({loaded.settings.to_json()}), not {into.settings.to_json()}")
    if not adapted(into.net):
        into.net.load_state_dict(loaded.net.state_dict())
    into.space.load_state_dict(loaded.space.state_dict())


def _trained(net: nn.Module) -> list[str]:
    """Names of the weights that the optimiser has, in its order."""
    return [name for name, weights in net.named_parameters() if weights.requires_grad]


def _flat(optimizer: torch.optim.Optimizer, net: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state by parameter name and kind, such as `blocks.0.out.weight/exp_avg`."""
    names = _trained(net)
    state = optimizer.state_dict()["state"]
    return {
        f"{names[index]}/{kind}": value.detach().cpu().contiguous()
        for index, kinds in state.items()
        for kind, value in kinds.items()
    }


def _unflatten(optimizer: torch.optim.Optimizer, net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    index = {name: number for number, name in enumerate(_trained(net))}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, kind = key.rpartition("/")
        state.setdefault(index[name], {})[kind] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
