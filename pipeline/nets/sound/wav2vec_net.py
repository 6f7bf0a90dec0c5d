"""wav2vec 2.0 (Baevski et al. 2020) under torch, as transformers builds it: hidden states of waves."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from pipeline.base.arrays import Floats32
from pipeline.nets.sound.torchaudio import mark_extension_absent
from pipeline.nets.sound.wav2vec import LAYERS, normal


class Wav2Vec:
    """wav2vec 2.0 base as transformers builds it, with weights from one safetensors file.

    Args:
        weights: model.safetensors of `facebook/wav2vec2-base-960h`, or of a net of the same form.
        device: "cpu" or "cuda".
        threads: processor threads; 0 leaves torch's own choice.
        config: of a smaller net, for tests: keyword arguments of `Wav2Vec2Config`.

    Raises:
        ValueError: the file holds other weights.
        ImportError: torch, transformers or safetensors is not installed.
    """

    def __init__(
        self, weights: Path, device: str = "cpu", threads: int = 0, config: dict[str, Any] | None = None
    ) -> None:
        mark_extension_absent()  # transformers imports it
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        if threads:
            torch.set_num_threads(threads)
        self._device = device
        net = Wav2Vec2Model(Wav2Vec2Config(**(config or {}))).eval()
        _fill(net, load_file(str(weights)), weights)
        self._net = net.to(device)

    def features(self, waves: Floats32, layer: int = LAYERS) -> Floats32:
        """Hidden states of one layer.

        Args:
            waves: (N, samples) at 16 kHz, -1..1; each is brought to mean 0 and variance 1, as in training.
            layer: 1..12; 12 is the last hidden state.

        Returns:
            (N, T, D), T = about 50 a second.
        """
        return self.states(normal(np.asarray(waves, np.float32)), layer)

    def states(self, waves: Floats32, layer: int = LAYERS) -> Floats32:
        """As `features`, of waves that are taken as they are."""
        if not 1 <= layer <= self._net.config.num_hidden_layers:
            raise ValueError(f"layer {layer}: this net has layers 1 to {self._net.config.num_hidden_layers}")
        with torch.inference_mode():
            inputs = torch.from_numpy(waves).to(self._device)
            states = self._net(inputs, output_hidden_states=True).hidden_states
            return np.asarray(states[layer].float().cpu().numpy())


def _fill(net: torch.nn.Module, state: dict[str, Any], source: Path) -> None:
    """Load weights, whatever head the file was saved with and however its position convolution is named."""
    own = net.state_dict()
    loaded = {name.removeprefix("wav2vec2."): value for name, value in state.items()}
    for old, new in (
        ("weight_g", "parametrizations.weight.original0"),
        ("weight_v", "parametrizations.weight.original1"),
    ):
        loaded = {
            name.replace(f"pos_conv_embed.conv.{old}", f"pos_conv_embed.conv.{new}"): v for name, v in loaded.items()
        }
    loaded = {name: value for name, value in loaded.items() if name in own}
    missing = sorted(set(own) - set(loaded) - {"masked_spec_embed"})  # that one is for training alone
    wrong = [name for name, value in loaded.items() if value.shape != own[name].shape]
    if missing or wrong:
        lacking = f"{len(missing)} weights missing, {len(wrong)} of other shapes, such as {(missing or wrong)[0]}"
        raise ValueError(f"{source} is not wav2vec 2.0 base: {lacking}")
    net.load_state_dict({**own, **loaded})
