"""Training as the release's scripts do it, written from what is known of them: the peer of `bench_train`.

wav2vec 2.0 runs inside every step on raw sound; clips are read one by one from numpy files; float32, AdamW, nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.base.units import SAMPLES_PER_FRAME
from pipeline.model import diffusion
from pipeline.model.dit import NetSettings
from pipeline.model.net import build
from pipeline.model.space import kept_points
from pipeline.model.training.statistics import Statistics
from pipeline.nets.sound.torchaudio import mark_extension_absent
from pipeline.shards.read import decode_audio, open_shards

MIN_SCORE, MIN_STD_PX, LEAD_STILL, NULL_AUDIO, LEARNING_RATE = 0.7, 0.5, 0.3, 0.1, 5e-5


def write_clips(shards: Path, folder: Path) -> None:
    """A skeleton (F, 133, 3), x and y in local px and the score, and a wave (F x 640,) of each clip, as numpy files."""
    folder.mkdir()
    for number, row in enumerate(open_shards(shards, "train").rows(("local", "scores", "audio"))):
        skeleton = np.concatenate([np.nan_to_num(row["local"]), row["scores"][..., None]], -1)
        np.save(folder / f"{number:06d}.skeleton.npy", skeleton.astype(np.float32))
        np.save(folder / f"{number:06d}.wave.npy", decode_audio(row["audio"]))


class PlainLoop:
    """A network of the same class and size as ours, and wav2vec 2.0 base with random weights beside it.

    Args:
        settings: of the network, the release's encoder.
        statistics: of the clips, for z-scores.
        folder: of the clips, as `write_clips` leaves them.
        batch: windows a step.
        device: "cpu" or "cuda".
    """

    def __init__(self, settings: NetSettings, statistics: Statistics, folder: Path, batch: int, device: str) -> None:
        mark_extension_absent()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.settings, self.batch, self.device = settings, batch, device
        self.net = build(settings).to(device).train()
        self.hearing = Wav2Vec2Model(Wav2Vec2Config()).eval()
        self.hearing.to(torch.device(device))
        self.optimizer = torch.optim.AdamW(self.net.parameters(), LEARNING_RATE)
        self.bars = diffusion.alpha_bars().to(device)
        self.points = list(kept_points(settings.keypoints))
        self.mean = statistics.mean.astype(np.float32)
        self.std = np.maximum(statistics.std, MIN_STD_PX).astype(np.float32)
        self.clips = sorted(folder.glob("*.skeleton.npy"))
        self.random = np.random.default_rng(405)

    def step(self) -> None:
        """One optimiser step on windows drawn at random."""
        with _full_precision():
            clean, counts, lead, reference, waves = (x.to(self.device) for x in self._batch())
            audio = self._features(waves)
            t = torch.randint(0, diffusion.STEPS, (self.batch,), device=self.device)
            null = torch.rand(self.batch, device=self.device) < NULL_AUDIO
            x_t = diffusion.noisy(clean, torch.randn_like(clean), t, self.bars)
            found = self.net(x_t, t, audio, reference, null, None, lead)
            weights = diffusion.mean_by_sample(counts.float())
            loss = diffusion.squared_error(found, clean, weights) / len(counts)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def _features(self, waves: Tensor) -> Tensor:
        """(B, samples) -> (B, F, 768): the last hidden state, linear to the frames."""
        waves = (waves - waves.mean(1, keepdim=True)) / (waves.var(1, keepdim=True) + 1e-7).sqrt()
        states = self.hearing(waves).last_hidden_state  # (B, T, 768)
        frames = self.settings.window_frames
        return F.interpolate(states.transpose(1, 2), frames, mode="linear", align_corners=True).transpose(1, 2)

    def _batch(self) -> tuple[Tensor, ...]:
        """Clean (B, F, C), counts (B, F, C), lead (B, 25, C), reference (B, C), waves (B, F x 640)."""
        samples = zip(*(self._sample() for _ in range(self.batch)), strict=True)
        return tuple(torch.from_numpy(np.stack(values)) for values in samples)

    def _sample(self) -> tuple[np.ndarray, ...]:
        path = self.clips[self.random.integers(len(self.clips))]
        skeleton, wave = np.load(path), np.load(path.with_name(path.name.replace("skeleton", "wave")))
        frames, window = len(skeleton), self.settings.window_frames
        start = int(self.random.integers(0, max(0, frames - window) + 1))
        values, sure = self._scores(skeleton)
        known = np.where(sure, values, 0)
        lead = known[np.maximum(np.arange(start - self.settings.lead_frames, start), 0)]
        if self.random.random() < LEAD_STILL:
            lead = np.repeat(lead[-1:], len(lead), 0)
        reference = known[self.random.integers(frames)]
        short = max(0, window - frames)
        clean, counts = (np.pad(x[start : start + window], ((0, short), (0, 0))) for x in (values, sure))
        heard = wave[start * SAMPLES_PER_FRAME : (start + window) * SAMPLES_PER_FRAME]
        return clean, counts, lead, reference, np.pad(heard, (0, window * SAMPLES_PER_FRAME - len(heard)))

    def _scores(self, skeleton: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(F, C) z-scores, and (F, C) bool: whose score is not low."""
        sure = np.repeat((skeleton[:, self.points, 2] > MIN_SCORE)[..., None], 2, -1)
        values = ((skeleton[..., :2] - self.mean) / self.std)[:, self.points]
        return values.reshape(len(skeleton), -1), sure.reshape(len(skeleton), -1)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Matrices in float32, torch's own default, which our loop changes on a GPU; put back, lest ours is compiled again."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
