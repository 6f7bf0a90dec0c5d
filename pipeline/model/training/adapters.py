"""LoRA's adapters (Hu et al., ICLR 2022) in a network, which peft computes with: merged into plain weights, and kept apart.

What a training leaves behind is plain: `model.safetensors` and `average.safetensors` hold the updates within the weights, and
generate like any other. From `adapters.safetensors` beside them, where the frozen weights and the adapters are apart, it goes on.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.model.audio_to_skeleton import AudioToSkeleton

NAME = "default"  # of the adapter, to peft
ADAPTER = ".lora_"  # in the name of its weights; those it lies over are named `base_layer`
_OVERLAID = "base_layer."


def adapted(net: nn.Module) -> bool:
    """Whether the network has adapters."""
    return any(ADAPTER in name for name, _ in net.named_parameters())


def load_base(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the weights of a plain network, under the adapters where there are any."""
    names = _names(net)
    net.load_state_dict({**net.state_dict(), **{names[plain]: value for plain, value in weights.items()}})


@torch.no_grad()
def merged(model: AudioToSkeleton) -> AudioToSkeleton:
    """The same model without adapters, their updates added to its weights; the model itself where it has none."""
    if not adapted(model.net):
        return model
    state = model.net.state_dict()
    weights = {plain: state[name] for plain, name in _names(model.net).items()}
    for name, module in model.net.named_modules():
        if hasattr(module, "get_delta_weight"):
            weights[f"{name}.weight"] = weights[f"{name}.weight"] + module.get_delta_weight(NAME)
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are overwritten
        plain = AudioToSkeleton.new(model.settings, model.audio_of)
    plain.net.load_state_dict(weights)
    plain.space.load_state_dict(model.space.state_dict())
    plain.trained_on = model.trained_on
    return plain.to(model.space.mean.device)


def apart(model: AudioToSkeleton, average: AudioToSkeleton | None) -> dict[str, Tensor]:
    """The frozen weights and the adapters of a model, and the adapters of its moving average, which shares the former."""
    tensors = {f"model.{name}": value for name, value in model.net.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.net.state_dict().items() if ADAPTER in name}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def restore_apart(tensors: Mapping[str, Tensor], model: AudioToSkeleton, average: AudioToSkeleton | None) -> None:
    """Load what `apart` gave into models with the same adapters.

    Raises:
        RuntimeError: names or shapes are others.
    """
    own, averaged = (
        {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        for prefix in ("model.", "average.")
    )
    model.net.load_state_dict(own)
    if average is not None:
        if not averaged:
            raise RuntimeError("it holds no moving average")
        average.net.load_state_dict(own | averaged)


def _names(net: nn.Module) -> dict[str, str]:
    """Names in the plain network -> names in this one."""
    return {name.replace(_OVERLAID, ""): name for name in net.state_dict() if ADAPTER not in name}
