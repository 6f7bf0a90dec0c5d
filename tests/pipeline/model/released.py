"""Checkpoints in the form of the authors', with planted weights: every number comes from a frozen generator of numpy.

`released.npz` beside this file holds what the authors' own network made of these weights and inputs, recorded once.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

WIDTH, LAYERS = 192, 4  # those of size `tiny`
POINTS, CHANNELS, AUDIO = 123, 246, 768
RECORDED = Path(__file__).with_suffix(".npz")


def shapes(width: int = WIDTH, layers: int = LAYERS) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint's weights, as its scripts store them."""
    named: dict[str, tuple[int, ...]] = {"audio_learnable": (width,)}

    def linear(name: str, into: int, out: int) -> None:
        named[f"{name}.weight"], named[f"{name}.bias"] = (out, into), (out,)

    linear("input_process.poseEmbedding", CHANNELS, width)
    linear("concat_to_hidden.0", 2 * width, 4 * width)
    linear("concat_to_hidden.2", 4 * width, width)
    linear("embed_timestep.time_embed.0", width, width)
    linear("embed_timestep.time_embed.2", width, width)
    linear("embed_audio", AUDIO, width)
    linear("output_process.poseFinal", width, CHANNELS)
    for number in range(layers):
        layer = f"seqTransEncoder.layers.{number}"
        named[f"{layer}.self_attn.in_proj_weight"] = (3 * width, width)
        named[f"{layer}.self_attn.in_proj_bias"] = (3 * width,)
        linear(f"{layer}.self_attn.out_proj", width, width)
        linear(f"{layer}.linear1", width, 4 * width)
        linear(f"{layer}.linear2", 4 * width, width)
        for norm in ("norm1", "norm2"):
            named[f"{layer}.{norm}.weight"] = named[f"{layer}.{norm}.bias"] = (width,)
    return named


def planted_state(width: int = WIDTH, layers: int = LAYERS) -> dict[str, Tensor]:
    """Weights by name, and the two tables of positions that lie beside them in a checkpoint."""
    draw = np.random.RandomState(405)
    state = {}
    for name, shape in sorted(shapes(width, layers).items()):
        scale = 1.0 if len(shape) == 1 else 1.0 / np.sqrt(shape[1])
        values = draw.standard_normal(shape) * (0.2 if name.endswith("bias") else scale)
        state[name] = torch.from_numpy((1 + 0.2 * values if "norm" in name else values).astype(np.float32))
    table = positions(5000, width)[:, None]
    return {**state, "sequence_pos_encoder.pe": table, "embed_timestep.sequence_pos_encoder.pe": table}


def positions(count: int, width: int) -> Tensor:
    """Sines in the even columns, cosines in the odd ones: (count, width)."""
    rates = torch.exp(torch.arange(0, width, 2).float() * (-np.log(10_000.0) / width))
    angles = torch.arange(count).float()[:, None] * rates
    table = torch.empty(count, width)
    table[:, ::2], table[:, 1::2] = angles.sin(), angles.cos()
    return table


def checkpoint(**changed: Any) -> dict[str, Any]:
    """What their scripts save: weights, the optimiser's state, the step, the mean loss."""
    state = planted_state()
    optimizer = torch.optim.AdamW([torch.nn.Parameter(state["audio_learnable"].clone())], lr=5e-5).state_dict()
    return {"model": state, "optimizer": optimizer, "step": 3_000_000, "mean_loss": 0.0421, **changed}


def planted_statistics() -> tuple[np.ndarray, np.ndarray]:
    """Mean and std (1, 124, 2) in units of 256 px, the neck first, of an upright person in the crop."""
    draw = np.random.RandomState(405)
    mean = draw.uniform(-0.2, 0.2, (1, 1 + POINTS, 2))
    mean[0, 0], mean[0, 6], mean[0, 7] = (0.02, 0.1), (0.3, 0.0), (-0.3, 0.0)  # neck, left and right shoulder
    return mean, draw.uniform(0.02, 0.1, (1, 1 + POINTS, 2))


def planted_inputs(count: int, frames: int) -> dict[str, Tensor]:
    """Inputs of the network; `states` (B, 2 F - 1, 768) is what wav2vec hears in the window, twice as often as frames come."""
    draw = np.random.RandomState(frames)
    sizes = {
        "noisy": (count, frames, CHANNELS),
        "lead": (count, 25, CHANNELS),
        "states": (count, 2 * frames - 1, AUDIO),
    }
    given = {
        name: torch.from_numpy(draw.standard_normal(size).astype(np.float32)) for name, size in sorted(sizes.items())
    }
    return given | {"step": torch.tensor([3, 70])[:count]}


def write(folder: Path, **changed: Any) -> tuple[Path, Path, Path]:
    """Their three files in a folder: checkpoint, mean, std; entries of the checkpoint may be changed."""
    paths = folder / "checkpoint_3000000.pth", folder / "mean.npy", folder / "std.npy"
    torch.save(checkpoint(**changed), paths[0])
    for path, values in zip(paths[1:], planted_statistics(), strict=True):
        np.save(path, values)
    return paths
