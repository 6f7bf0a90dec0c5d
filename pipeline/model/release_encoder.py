"""The network of the authors' scripts, number for number: with equal weights its output is theirs.

A post-norm transformer encoder over [time step, 25 lead frames, frames]. The lead, the second of clean motion before the window,
stands in place of a reference token. Every token but the first is an MLP of [embedded skeleton, embedded audio]; the lead has zeros
for audio. Shapes are those of `pipeline.model.dit`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.model.diffusion import STEPS
from pipeline.model.dit import AUDIO_FEATURES, LEAD_FRAMES, MLP_RATIO, SIZES, NetSettings


class ReleaseEncoder(nn.Module):
    """The release's network; its weights are what `pipeline.model.release_weights` imports."""

    pos_embed: Tensor

    def __init__(self, settings: NetSettings) -> None:
        super().__init__()
        self.settings = settings
        layers, width, heads = SIZES[settings.size]
        self.null_audio = nn.Parameter(torch.randn(width))  # behind the audio's projection, unlike the DiT's
        self.embed = nn.Linear(settings.channels, width)
        self.embed_audio = nn.Linear(AUDIO_FEATURES, width)
        self.mix = nn.Sequential(
            nn.Linear(2 * width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.dropout = nn.Dropout(settings.dropout)
        layer = nn.TransformerEncoderLayer(
            width, heads, MLP_RATIO * width, settings.dropout, "gelu", batch_first=True, norm_first=False
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.final = nn.Linear(width, settings.channels)
        rows = max(STEPS, 1 + LEAD_FRAMES + settings.window_frames)  # one table for time steps and for positions
        self.register_buffer("pos_embed", interleaved_sinusoids(rows, width), persistent=False)

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
        """Predict x0 (B, F, C), as `DiT.forward`.

        Args:
            noisy, step, audio, null, present: as there.
            reference: (B, C), which only stands in for a lead that is not given.
            lead: (B, 25, C), the frames before the window; None: the reference, repeated.
        """
        if lead is None:
            lead = reference[:, None].expand(-1, LEAD_FRAMES, -1)
        heard = self.embed_audio(audio.to(noisy.dtype))  # (B, F, W)
        if null is not None:
            heard = torch.where(null[:, None, None], self.null_audio.to(heard.dtype), heard)
        heard = F.pad(heard, (0, 0, LEAD_FRAMES, 0))  # (B, 25 + F, W)
        motion = self.embed(torch.cat([lead.to(noisy.dtype), noisy], 1))  # (B, 25 + F, W)
        time = self.time(self.pos_embed[step])[:, None]  # (B, 1, W)
        tokens = torch.cat([time, self.mix(torch.cat([motion, heard], -1))], 1)  # (B, N, W)
        tokens = self.dropout(tokens + self.pos_embed[: tokens.shape[1]])
        absent = None if present is None else ~F.pad(present, (1 + LEAD_FRAMES, 0), value=True)  # (B, N)
        encoded = self.encoder(tokens, src_key_padding_mask=absent)
        predicted: Tensor = self.final(encoded[:, 1 + LEAD_FRAMES :])  # (B, F, C)
        return predicted


def interleaved_sinusoids(count: int, width: int) -> Tensor:
    """Sinusoidal embedding (Vaswani et al. 2017) of 0 .. count - 1, (count, width): sine and cosine of each rate side by side.

    The rates are computed in the order of float32 operations that the release uses: another order moves the last rows by 1e-5.
    """
    rates = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10_000.0) / width))  # (width / 2,)
    angles = torch.arange(count).float()[:, None] * rates  # (count, width / 2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
