"""The authors' published weights as a model of ours: one checkpoint of their scripts and two arrays in, one safetensors file out.

Nothing of the checkpoint is trusted: its pickle may build tensors and plain containers alone, and every name, shape and type must
be the network's. The arrays are read as plain `.npy`. What is wrong is refused by name before any weight is copied.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.base.hashes import sha256_of
from pipeline.base.units import CLIP_SIDE_PX
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.checkpoint_file import read_checkpoint
from pipeline.model.dit import SIZES, NetSettings
from pipeline.model.release_encoder import interleaved_sinusoids
from pipeline.model.space import SkeletonSpace, kept_points
from pipeline.nets.sound.wav2vec import RELEASE_LABEL
from pipeline.registry.archives import BadModel
from pipeline.skeleton import layout

UNIT_PX = CLIP_SIDE_PX / 2  # their coordinates are x / 256 - 1 of the 512 crop
KEYPOINTS: Literal[123] = 123
WINDOW_FRAMES, DROPOUT, MIN_SCORE = 250, 0.1, 0.7
POSITIONS = ("sequence_pos_encoder.pe", "embed_timestep.sequence_pos_encoder.pe")
NAMES = {  # ours -> theirs; what follows the first dot is alike
    "null_audio": "audio_learnable",
    "embed": "input_process.poseEmbedding",
    "embed_audio": "embed_audio",
    "mix": "concat_to_hidden",
    "time": "embed_timestep.time_embed",
    "encoder": "seqTransEncoder",
    "final": "output_process.poseFinal",
}
_POSITION_ROWS = 5000
_ROWS_USED, _SAME_POSITION = 300, 1e-3  # sines of another library differ by 1e-5 there, and by 1e-3 in the last rows
_NORMAL = 2.326  # standard deviations from the mean to the 1st and the 99th percentile
_SHOWN = 4  # names in a message


def import_model(checkpoint: Path, mean: Path, std: Path, size: str = "large") -> AudioToSkeleton:
    """Build a model from a checkpoint of the authors' scripts.

    Args:
        checkpoint: `.pth` with an entry `model`; the optimiser's state beside it is left out.
        mean, std: `.npy` (1, 124, 2) or (124, 2) in their unit of 256 px: the neck, then the 123 points.
        size: of their network: large is the published one.

    Raises:
        BadModel: a file is damaged, or not what it should be; the message says which, and what is wrong with it.
    """
    settings = NetSettings(arch="release", size=size, keypoints=KEYPOINTS, window_frames=WINDOW_FRAMES, dropout=DROPOUT)
    statistics = _array(mean, "mean"), _array(std, "std")
    if (least := statistics[1][1:].min()) <= 0:
        raise BadModel(f"{std}: a standard deviation of {least:g} is no spread: is it the std's file?")
    held = read_checkpoint(checkpoint)
    model = AudioToSkeleton.new(settings, RELEASE_LABEL)
    model.net.load_state_dict(_weights(held, checkpoint, model.net.state_dict(), SIZES[size][1]))
    _fill(model.space, *statistics)
    sources = {"checkpoint": checkpoint, "mean": mean, "std": std}
    model.trained_on = {
        "settings": {"min_score": MIN_SCORE},
        "imported": {name: sha256_of(path) for name, path in sources.items()},
        "step": held.get("step") if isinstance(held.get("step"), int) else None,
    }
    model.net.eval()
    return model


def _weights(held: Mapping[str, Any], path: Path, own: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """The checkpoint's weights by our names, after everything about them was checked."""
    theirs = held.get("model")
    if not isinstance(theirs, dict):
        raise BadModel(
            f"{path} is no checkpoint of the authors' scripts: it has no entry `model` with the weights, but {_listed(held)}"
        )
    wanted = {_their_name(name): tuple(value.shape) for name, value in own.items()}
    wanted |= dict.fromkeys(POSITIONS, (_POSITION_ROWS, 1, width))
    trouble = list(_troubles(theirs, wanted))
    if trouble:
        raise BadModel(f"{path} is not the authors' network: {'; '.join(trouble)}")
    table = interleaved_sinusoids(_ROWS_USED, width)[:, None]
    for name in POSITIONS:
        if float((theirs[name][:_ROWS_USED] - table).abs().max()) > _SAME_POSITION:
            raise BadModel(f"{path}: {name} is another table of positions than the authors'")
    return {name: theirs[_their_name(name)] for name in own}


def _troubles(found: Mapping[Any, Any], wanted: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """What keeps these tensors from being the wanted ones, kind by kind; values are read last, when every size is right."""
    missing, extra = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    if missing:
        yield f"{len(missing)} tensors missing: {_listed(missing)}"
    if extra:
        yield f"{len(extra)} too many: {_listed(extra)}"
    here = {name: found[name] for name in wanted if name in found}
    strange = [name for name, value in here.items() if not _is_plain(value)]
    if strange:
        yield f"{len(strange)} entries are no float32 tensors: {_listed(f'{name} ({_kind(here[name])})' for name in strange)}"
    shaped = {name: tuple(value.shape) for name, value in here.items() if isinstance(value, Tensor)}
    other = [f"{name} is {shape}, not {wanted[name]}" for name, shape in shaped.items() if shape != wanted[name]]
    if other:
        yield f"{len(other)} of another shape: {_listed(other)}"
    if not (missing or extra or strange or other):
        bad = [name for name, value in here.items() if not bool(torch.isfinite(value).all())]
        if bad:
            yield f"{len(bad)} tensors hold values that are not finite: {_listed(bad)}"


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.dtype == torch.float32
        and value.layout == torch.strided
        and value.device.type == "cpu"
    )


def _kind(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else type(value).__name__


def _listed(names: Any) -> str:
    """Some names, printable whatever a file calls its entries."""
    shown = [str(name)[:120].encode("unicode_escape").decode() for name in names]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return (", ".join(shown[:_SHOWN]) or "nothing") + more


def _their_name(name: str) -> str:
    first, dot, rest = name.partition(".")
    return f"{NAMES[first]}{dot}{rest}"


def _array(path: Path, what: str) -> np.ndarray:
    """(124, 2) float64 of a `.npy` file, whose size is known before its values are read."""
    try:
        held = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, MemoryError) as error:
        trouble = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadModel(f"{path} is no plain .npy array with the {what}: {trouble}") from error
    points = 1 + KEYPOINTS
    if held.shape not in ((1, points, 2), (points, 2)):
        raise BadModel(
            f"{path}: the {what} has shape {held.shape}, not (1, {points}, 2): the neck, then {KEYPOINTS} points"
        )
    if held.dtype.kind != "f":
        raise BadModel(f"{path}: the {what} has type {held.dtype}, not a floating one")
    values = np.array(held, np.float64).reshape(points, 2)
    if not np.isfinite(values).all():
        raise BadModel(f"{path}: the {what} holds values that are not finite")
    return values


def _fill(space: SkeletonSpace, mean: np.ndarray, std: np.ndarray) -> None:
    """Set the buffers from arrays (124, 2) in their unit; without the floor of `fill`, because the weights were trained without."""
    chosen = list(kept_points(KEYPOINTS))
    for buffer, values in ((space.mean, mean), (space.std, std)):
        buffer[chosen] = torch.from_numpy(values[1:] * UNIT_PX).to(buffer.dtype)
    space.seen.zero_()
    space.seen[chosen] = 1.0
    space.framing.copy_(torch.from_numpy(_framing(mean, std)))


def _framing(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Percentiles (3, 3) of shoulder width, neck x and neck y, px: estimated as normal, because the files hold no others.

    The neck is the shoulders' middle, so each shoulder is half their width away from it.
    """
    left = 1 + layout.LEFT_SHOULDER
    width, spread = 2 * np.linalg.norm(mean[left]), 2 * std[left, 0]
    rows = [(width, spread), *zip(mean[0] + 1, std[0], strict=True)]
    found = np.array([[middle - _NORMAL * by, middle, middle + _NORMAL * by] for middle, by in rows]) * UNIT_PX
    return np.maximum(found, 0)
