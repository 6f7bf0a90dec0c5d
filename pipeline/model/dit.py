"""The audio-to-skeleton network: clean motion from noisy motion, audio features and one reference skeleton.

`DiT` is the paper's (Yang et al., ICCV 2025, section 4): a diffusion transformer (Peebles & Xie, ICCV 2023) with adaLN-zero blocks.
The reference skeleton is concatenated along time, the audio along features; the network predicts x0, not the noise.
What the authors' scripts train instead is `pipeline.model.release_encoder`; `pipeline.model.net` builds either.

Shapes: B samples, F frames at 25 fps, C = 2 K values a frame (x, y of each keypoint, z-scored; two more for the neck where it is
modelled), A = 768 audio features a frame, W the width.
"""

import json
import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from pipeline.base.strict import Strict

Arch = Literal["dit", "release"]
Size = Literal["tiny", "base", "large"]
Ablation = Literal["", "reference", "concat", "local"]
Modulation = Literal["block", "single"]

SIZES: dict[str, tuple[int, int, int]] = {  # layers, width, heads
    "tiny": (4, 192, 3),
    "base": (8, 512, 8),
    "large": (16, 1024, 16),
}
AUDIO_FEATURES = 768
LEAD_FRAMES = 25  # the release conditions on one second of clean motion before the window
MLP_RATIO = 4
MODULATIONS = 6  # shift, scale and gate of attention and of the MLP


class NetSettings(Strict):
    """Hyperparameters of a network; stored with its weights."""

    arch: Arch = "dit"
    size: Size = "base"
    keypoints: Literal[133, 123] = 133
    neck: bool = False
    window_frames: int = Field(250, ge=8, le=5000)
    ablate: Ablation = ""
    dropout: float = Field(0.0, ge=0, lt=1)
    modulation: Modulation = "block"

    @model_validator(mode="after")
    def _possible(self) -> "NetSettings":
        if self.arch == "release" and self.ablate == "concat":
            raise ValueError("the release's encoder has no cross-attention: ablate=concat needs arch=dit")
        if self.arch == "release" and self.ablate == "reference":
            raise ValueError("the release's lead frames start as the reference: ablate=reference needs arch=dit")
        if self.arch == "release" and self.modulation == "single":
            raise ValueError("the release's encoder is not modulated: modulation=single needs arch=dit")
        return self

    @property
    def channels(self) -> int:
        """C, values a frame."""
        return 2 * self.keypoints + 2 * self.neck

    @property
    def lead_frames(self) -> int:
        """Number of clean frames before the window that the network is conditioned on."""
        return LEAD_FRAMES if self.arch == "release" else 0

    def to_json(self) -> str:
        return json.dumps(self.model_dump(), sort_keys=True)


class DiT(nn.Module):
    """Diffusion transformer over F + 1 tokens: the reference skeleton, then the frames.

    A token is one linear projection of [skeleton, audio]; the reference has zeros for audio. Ablations of table 3: `reference`
    drops the reference token; `concat` uses cross-attention to the audio instead; `local` changes the data, not the network.
    With `modulation="single"` all blocks share one projection of the time step, and each adds a table of its own (adaLN-single;
    PixArt-alpha, Chen et al., ICLR 2024).
    """

    pos_embed: Tensor

    def __init__(self, settings: NetSettings) -> None:
        super().__init__()
        self.settings = settings
        layers, width, heads = SIZES[settings.size]
        crossed = settings.ablate == "concat"
        self.null_audio = nn.Parameter(torch.zeros(AUDIO_FEATURES))
        self.embed = nn.Linear(settings.channels + (0 if crossed else AUDIO_FEATURES), width)
        self.embed_audio = nn.Linear(AUDIO_FEATURES, width) if crossed else None
        self.time = TimestepEmbedder(width)
        single = settings.modulation == "single"
        self.modulation = nn.Linear(width, MODULATIONS * width) if single else None
        self.blocks = nn.ModuleList(
            Block(width, heads, settings.dropout, crossed=crossed, single=single) for _ in range(layers)
        )
        self.final_norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.final_modulation = nn.Linear(width, 2 * width)
        self.final = nn.Linear(width, settings.channels)
        self.register_buffer("pos_embed", position_embedding(settings.window_frames + 1, width), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise as DiT does: Xavier, with modulations and the last layer zero so that each block starts as the identity.

        Cross-attention has no gate, so its output projection is zero instead (as in PixArt-alpha, Chen et al. 2024).
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.null_audio, std=0.02)
        for block in self.blocks:
            assert isinstance(block, Block)
            if block.modulation is not None:
                nn.init.zeros_(block.modulation.weight)
            if block.crossed:
                nn.init.zeros_(block.out_x.weight)
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.final_modulation.weight)
        nn.init.zeros_(self.final.weight)

    def forward(
        self,
        noisy: Tensor,
        step: Tensor,
        audio: Tensor,
        reference: Tensor,
        null: Tensor | None = None,
        present: Tensor | None = None,
        lead: Tensor | None = None,
    ) -> Tensor:
        """Predict x0 from x_t.

        Args:
            noisy: (B, F, C) x_t, F up to the window's length.
            step: (B,) t.
            audio: (B, F, 768).
            reference: (B, C).
            null: (B,) bool, samples whose audio is replaced by the null vector; None: no sample.
            present: (B, F) bool, false for padding; None: no padding.
            lead: unused, so that both networks are called alike.

        Returns:
            (B, F, C) x0.
        """
        audio = with_null_audio(audio.to(noisy.dtype), self.null_audio, null)
        condition = F.silu(self.time(step))  # (B, W)
        tokens, audio_tokens = self._tokens(noisy, audio, reference)
        seen = None if present is None else F.pad(present, (1, 0), value=True)  # (B, 1 + F)
        if self.settings.ablate == "reference":
            tokens, seen = tokens[:, 1:], present
        of_blocks = condition if self.modulation is None else self.modulation(condition)  # (B, W), or (B, 6 W)
        for block in self.blocks:
            tokens = block(tokens, of_blocks, attention_mask(seen), audio_tokens, attention_mask(present))
        shift, scale = self.final_modulation(condition)[:, None].chunk(2, -1)  # (B, 1, W) each
        tokens = self.final_norm(tokens[:, -noisy.shape[1] :]) * (1 + scale) + shift
        predicted: Tensor = self.final(tokens)  # (B, F, C)
        return predicted

    def _tokens(self, noisy: Tensor, audio: Tensor, reference: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, 1 + F, W), the reference's first; and those of the audio (B, F, W), where it has its own."""
        audio_tokens = None
        if self.embed_audio is not None:
            audio_tokens = self.embed_audio(audio) + self.pos_embed[1 : audio.shape[1] + 1]
            tokens = self.embed(noisy)  # (B, F, W)
            first = self.embed(reference)[:, None]  # (B, 1, W)
        else:
            tokens = self.embed(torch.cat([noisy, audio], -1))  # (B, F, W)
            first = self.embed(F.pad(reference, (0, AUDIO_FEATURES)))[:, None]  # (B, 1, W)
        return torch.cat([first, tokens], 1) + self.pos_embed[: tokens.shape[1] + 1], audio_tokens


class Block(nn.Module):
    """A DiT block: attention and MLP, each shifted, scaled and gated by the time step (adaLN-zero).

    With `crossed` (ablation `concat`) it also attends to the audio tokens. With `single` it takes its modulation from outside, and
    adds a table.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, crossed: bool, single: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.up = nn.Linear(width, MLP_RATIO * width)
        self.down = nn.Linear(MLP_RATIO * width, width)
        self.modulation = None if single else nn.Linear(width, MODULATIONS * width)
        if single:
            self.table = nn.Parameter(torch.zeros(MODULATIONS * width))
        if crossed:
            self.norm_x = nn.LayerNorm(width, eps=1e-6)
            self.query = nn.Linear(width, width)
            self.key_value = nn.Linear(width, 2 * width)
            self.out_x = nn.Linear(width, width)
        self.crossed = crossed

    def forward(
        self,
        tokens: Tensor,  # (B, N, W)
        condition: Tensor,  # (B, W); with `single` (B, 6 W)
        mask: Tensor | None,  # (B, 1, 1, N)
        audio_tokens: Tensor | None,  # (B, F, W)
        audio_mask: Tensor | None,  # (B, 1, 1, F)
    ) -> Tensor:
        modulation = condition + self.table if self.modulation is None else self.modulation(condition)
        modulation = modulation[:, None]  # (B, 1, 6 W)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = modulation.chunk(6, -1)
        inner = self.norm_1(tokens) * (1 + scale_1) + shift_1
        q, k, v = self.qkv(inner).chunk(3, -1)
        tokens = tokens + gate_1 * self._dropped(self.out(self._attend(q, k, v, mask)))
        if audio_tokens is not None:
            k, v = self.key_value(audio_tokens).chunk(2, -1)
            tokens = tokens + self.out_x(self._attend(self.query(self.norm_x(tokens)), k, v, audio_mask))
        inner = self.norm_2(tokens) * (1 + scale_2) + shift_2
        inner = self.down(F.gelu(self.up(inner), approximate="tanh"))
        updated: Tensor = tokens + gate_2 * self._dropped(inner)
        return updated

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, H, N, W / H)
        return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)  # (B, N, W)

    def _dropped(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.dropout, self.training) if self.dropout else values


class TimestepEmbedder(nn.Module):
    """Embed time steps t (B,) as (B, W): sinusoids, then a two-layer MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, step: Tensor) -> Tensor:
        waves = sinusoids(step.float(), self.width)  # (B, W)
        embedded: Tensor = self.second(F.silu(self.first(waves.to(self.first.weight.dtype))))
        return embedded


def sinusoids(values: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding (Vaswani et al. 2017): (N,) -> (N, width), sines then cosines, periods from 2 pi to 20,000 pi."""
    half = width // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=values.device) / half)
    angles = values[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def position_embedding(count: int, width: int) -> Tensor:
    """Sinusoidal position embedding of `count` tokens: (count, width)."""
    return sinusoids(torch.arange(count, dtype=torch.float32), width)


def with_null_audio(audio: Tensor, null_audio: Tensor, null: Tensor | None) -> Tensor:
    """Audio (B, F, 768) in which the samples marked in `null` (B,) have the learned null vector in every frame."""
    if null is None:
        return audio
    return torch.where(null[:, None, None], null_audio.to(audio.dtype), audio)


def attention_mask(present: Tensor | None) -> Tensor | None:
    """Attention mask (B, 1, 1, N) from (B, N) bool: keys that may be attended to."""
    return None if present is None else present[:, None, None]


def parameters_of(net: nn.Module) -> int:
    """Count the parameters."""
    return sum(parameter.numel() for parameter in net.parameters())
