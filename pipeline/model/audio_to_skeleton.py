"""A trained model as one file and one call: network, skeleton space and the kind of audio features it takes."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.base import files
from pipeline.model import diffusion
from pipeline.model.dit import AUDIO_FEATURES, NetSettings
from pipeline.model.net import Net, build
from pipeline.model.space import SkeletonSpace
from pipeline.registry.archives import BadModel
from pipeline.skeleton import smooth as smoothing
from pipeline.skeleton.local import rooted, to_local

FORMAT = "csg405.audio-to-skeleton"
VERSION = 1
GUIDANCE_UNPAIRED, GUIDANCE_PAIRED = 3.5, 1.0  # the paper's
Smooth = Literal["none", "paper", "release"]
Guide = Callable[[Callable[[Tensor, Tensor, bool], Tensor]], diffusion.Predict]
PAPERS_RECIPE = {"warmup_steps": 0, "clip_norm": 0, "ema_decay": 0, "loss": "points"} | dict.fromkeys(
    ("augment_scale", "augment_rotation_deg", "augment_mirror"), 0
)
NEVER_SEEN = 0.02  # a point seen in a smaller share of the training frames counts as not learned


@dataclass(frozen=True)
class Reference:
    """One skeleton in the pixels of a 512 crop.

    Attributes:
        local: (133, 2) local coordinates, px.
        valid: (133,) bool, points that count.
        neck: (2,) px.
    """

    local: NDArray[np.float32]
    valid: NDArray[np.bool_]
    neck: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        keypoints: NDArray[np.floating],
        scores: NDArray[np.floating],
        min_score: float = 0.3,
        sure_score: float = 0.0,
    ) -> "Reference":
        """Build a reference from one skeleton.

        Args:
            keypoints: (133, 2) px, NaN where unseen.
            scores: (133,).
            min_score: points scored lower are treated as unseen, and no other point is measured from them.
            sure_score: points scored lower are masked, but others may still be measured from them, as in training.
        """
        scores = np.nan_to_num(scores)
        points = np.where((scores >= min_score)[:, None], keypoints, np.nan)[None].astype(np.float32)
        local, neck = to_local(points)
        return cls(np.nan_to_num(local[0]), rooted(local)[0] & (scores >= sure_score), neck[0])


@dataclass(frozen=True)
class Motion:
    """A generated motion: local (F, 133, 2) and neck (F, 2) px of the 512 crop, NaN for points not modelled; scores (133,)."""

    local: NDArray[np.float32]
    neck: NDArray[np.float32]
    scores: NDArray[np.float32]


class AudioToSkeleton:
    """The audio-to-skeleton model: a network and the space it works in.

    Attributes:
        net: the network, built from `settings`.
        space: z-scores of skeletons.
        audio_of: what made the audio features it was trained on, such as `logmel768`.
        trained_on: its provenance: settings, data and versions.
    """

    def __init__(
        self,
        net: Net,
        space: SkeletonSpace,
        audio_of: str,
        trained_on: Mapping[str, Any] | None = None,
    ) -> None:
        self.net, self.space, self.audio_of, self.trained_on = net, space, audio_of, dict(trained_on or {})

    @classmethod
    def new(cls, settings: NetSettings, audio_of: str) -> "AudioToSkeleton":
        """Build an untrained model, with weights drawn from torch's global generator."""
        return cls(build(settings), space_of(settings), audio_of)

    @property
    def settings(self) -> NetSettings:
        return self.net.settings

    @property
    def sure_score(self) -> float:
        """Least score of a point that counted in training, and therefore of one in a reference; 0 when unknown."""
        return float(self.trained_on.get("settings", {}).get("min_score", 0.0))

    @property
    def published(self) -> bool:
        """Whether this is the authors' network, or was trained by the paper's recipe: it samples as the paper does by default.

        The recipe is known by what the paper does not mention, and profile `train-paper` switches off: warm-up, clipping, moving
        average, augmentation and weights by part.
        """
        recipe = dict(self.trained_on.get("settings", {}))
        for entry in reversed(
            self.trained_on.get("history", ())
        ):  # what was changed later, such as to rescue it, counts not
            recipe |= {name: was for name, (was, _) in entry.get("settings", {}).items()}
        return self.settings.arch == "release" or all(
            recipe.get(name) == value for name, value in PAPERS_RECIPE.items()
        )

    def to(self, device: str | torch.device) -> "AudioToSkeleton":
        self.net.to(device)
        self.space.to(device)
        return self

    def save(self, path: Path) -> None:
        """Write one safetensors file atomically: weights and space, with the settings in its header."""
        state = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        state |= {f"space.{name}": value for name, value in self.space.state_dict().items()}
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        header = {
            "format": FORMAT,
            "version": str(VERSION),
            "net": self.settings.to_json(),
            "audio_features_of": self.audio_of,
            "trained_on": json.dumps(self.trained_on, sort_keys=True),
        }
        header["sha256"] = _digest(tensors, header)
        with files.replacing(path) as temporary:
            save_tensors(tensors, temporary, header)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "AudioToSkeleton":
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            BadModel: the file is truncated, altered, or not an audio-to-skeleton model.
        """
        try:
            with safe_open(str(path), "pt") as file:
                header = file.metadata() or {}
                settings = _settings(header, path)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if header.get("sha256") != _digest(tensors, header):
                raise BadModel(f"{path} is damaged (its content does not match its header): take another checkpoint")
            _refuse_older_encoder(settings, tensors, path)
            with torch.random.fork_rng(devices=[]):  # the weights drawn here are overwritten
                made = cls(build(settings), space_of(settings), header.get("audio_features_of", ""))
            made.trained_on = dict(json.loads(header.get("trained_on", "{}")))
            for prefix, module in (("net.", made.net), ("space.", made.space)):
                module.load_state_dict(
                    {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
                )
        except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, BadModel):
                raise
            first_line = str(error).splitlines()[0]
            raise BadModel(
                f"{path} is damaged, or not an audio-to-skeleton model ({first_line}): take another checkpoint"
            ) from error
        made.net.eval()
        return made.to(device)

    @torch.inference_mode()
    def generate(
        self,
        audio: NDArray[np.floating],
        reference: Reference,
        *,
        guidance: float = GUIDANCE_UNPAIRED,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        guidance_rescale: float = 0.0,
        begin_at_reference: int = 0,
        smooth: Smooth = "none",
        sampler: diffusion.Sampler = "ancestral",
        steps: int = 0,
        seed: int = 0,
        overlap: int = 50,
        batch: int = 8,
        progress: Callable[[int, int], None] | None = None,
    ) -> Motion:
        """Generate a skeleton for every frame of audio, of any length.

        Args:
            audio: (F, 768) features on the 25-fps grid, made as `audio_of` says; F at least 1.
            reference: skeleton of the person who moves.
            guidance: classifier-free guidance scale; 1 is none.
            guidance_interval, guidance_rescale: see `pipeline.model.diffusion.guided`.
            begin_at_reference: first frames that stand at the reference; 0 leaves them to the network.
            smooth: Savitzky-Golay filter over the result, a variant of `pipeline.skeleton.smooth`.
            sampler, steps: see `pipeline.model.diffusion.scheduler`.
            seed: of the noise.
            overlap: least number of frames that neighbouring windows share; capped at half a window.
            batch: windows a network call.
            progress: called with the steps done and the total.
        """
        if not len(audio):
            raise ValueError("no audio features: there is nothing to generate motion from")
        device = self.space.mean.device
        generator = torch.Generator().manual_seed(seed)
        features = torch.from_numpy(np.array(audio, np.float32)).to(device)  # (F, 768)
        points, valid, neck = (
            torch.from_numpy(np.array(x)).to(device)[None] for x in (reference.local, reference.valid, reference.neck)
        )
        known, counts = self.space.encode(points, valid, neck, neck)  # (1, C)
        noise = torch.randn(1, len(features), self.settings.channels, generator=generator).to(device)
        guide = partial(diffusion.guided, scale=guidance, interval=guidance_interval, rescale=guidance_rescale)

        def begun(predict: diffusion.Predict) -> diffusion.Predict:
            if not begin_at_reference:
                return predict
            return diffusion.beginning_at(predict, known, counts & self._learned(), begin_at_reference)

        draw = {"sampler": sampler, "steps": steps, "generator": generator}
        if self.settings.lead_frames:
            motion = self._led(noise, features, known, guide, begun, draw, progress)
        else:
            predict = begun(self._windowed(features, known, guide, overlap, batch))
            motion = diffusion.sample(predict, noise, progress=progress, **draw)  # type: ignore[arg-type]
        return self._decoded(motion, neck, smooth)

    def _decoded(self, motion: Tensor, neck: Tensor, smooth: Smooth) -> Motion:
        """The motion of z-scores (1, F, C) from a neck (1, 2) px, without points that were not learned."""
        local, necks = self.space.decode(motion, neck)
        local[:, :, self.space.seen < NEVER_SEEN] = torch.nan
        modelled = torch.isfinite(local[0, 0]).all(-1).float().cpu().numpy()
        made = Motion(local[0].cpu().numpy(), necks[0].cpu().numpy(), modelled)
        if smooth == "none":
            return made
        scores = np.broadcast_to(modelled, made.local.shape[:2])
        return Motion(*smoothing.smooth(made.local, made.neck, scores, variant=smooth), modelled)

    def _windowed(self, audio: Tensor, reference: Tensor, guide: Guide, overlap: int, batch: int) -> diffusion.Predict:
        """A predictor of motion for all of audio (F, 768), whose windows are blended where they overlap."""
        window = self.settings.window_frames
        shared = min(overlap, window // 2)
        starts = diffusion.windows(len(audio), window, shared)
        audio_windows = torch.stack([audio[start : start + window] for start in starts])  # (N, length, 768)

        def net(parts: Tensor, step: Tensor, which: slice) -> Tensor:
            return self._guided(parts, step, audio_windows[which], reference, None, guide)

        return diffusion.blended(net, len(audio), window, shared, batch)

    def _led(
        self,
        noise: Tensor,
        audio: Tensor,
        reference: Tensor,
        guide: Guide,
        begun: Callable[[diffusion.Predict], diffusion.Predict],
        draw: dict[str, Any],
        progress: Callable[[int, int], None] | None,
    ) -> Tensor:
        """Generate as the release does: window by window, each conditioned on the last frames of the one before, unblended.

        Only the first window begins at the reference: the others go on from their lead.
        """
        window, count = self.settings.window_frames, self.settings.lead_frames
        lead = reference[:, None].expand(-1, count, -1)
        starts = range(0, noise.shape[1], window)
        parts: list[Tensor] = []
        for number, start in enumerate(starts):
            audio_window = audio[None, start : start + window]

            def predict(x_t: Tensor, step: Tensor, audio_window: Tensor = audio_window, lead: Tensor = lead) -> Tensor:
                return self._guided(x_t, step, audio_window, reference, lead, guide)

            def report(done: int, steps: int, number: int = number) -> None:
                if progress:
                    progress(number * steps + done, len(starts) * steps)

            whole = predict if number else begun(predict)
            parts.append(diffusion.sample(whole, noise[:, start : start + window], progress=report, **draw))
            lead = torch.cat([lead, parts[-1]], 1)[:, -count:]
        return torch.cat(parts, 1)

    def _learned(self) -> Tensor:
        """Mask (C,) of the values that were seen often enough in training."""
        learned = (self.space.seen >= NEVER_SEEN)[self.space.chosen].repeat_interleave(2)
        return torch.cat([learned, learned.new_ones(2)]) if self.space.neck else learned

    def _guided(
        self, x_t: Tensor, step: Tensor, audio: Tensor, reference: Tensor, lead: Tensor | None, guide: Guide
    ) -> Tensor:
        """Predict x0 (N, length, C) with classifier-free guidance.

        Points that were not learned are set to 0, their value in training: the loss does not constrain them, and the sampler
        would feed whatever the network outputs back to it as motion.
        """
        count = len(x_t)
        learned = self._learned()
        reference = reference.expand(count, -1)
        lead = None if lead is None else lead.expand(count, -1, -1)

        def both(x: Tensor, t: Tensor, null: bool) -> Tensor:
            silent = torch.full((count,), null, device=x.device)
            weighed: torch.Tensor = self.net(x, t, audio, reference, silent, lead=lead).float() * learned
            return weighed

        return guide(both)(x_t, step)


def _refuse_older_encoder(settings: NetSettings, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise BadModel for a model of `arch="release"` from before that network was the authors': its null vector is audio-wide."""
    null_audio = tensors.get("net.null_audio")
    if settings.arch == "release" and null_audio is not None and tuple(null_audio.shape) == (AUDIO_FEATURES,):
        raise BadModel(
            f"{path} was trained with arch=release when that was not yet the authors' network (other tokens, other positions): "
            "train it anew under another model_name, or import their weights with `csg405 import-model`"
        )


def save_tensors(tensors: dict[str, Tensor], path: Path, header: dict[str, str] | None = None) -> None:
    """Write a safetensors file; a full disk raises OSError, as with any other file."""
    try:
        save_file(tensors, path, header)
    except SafetensorError as error:
        match = re.search(r"os error (\d+)", str(error))
        if match is None:
            raise
        raise OSError(int(match[1]), str(error), str(path)) from error


def space_of(settings: NetSettings) -> SkeletonSpace:
    """The space of a network, its buffers not filled yet."""
    return SkeletonSpace(settings.keypoints, neck=settings.neck, picture=settings.ablate == "local")


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """Hex sha256 of a model's tensors and of its header without this digest."""
    digest = hashlib.sha256(json.dumps({k: v for k, v in header.items() if k != "sha256"}, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _settings(header: Mapping[str, str], path: Path) -> NetSettings:
    if header.get("format") != FORMAT:
        raise BadModel(f"{path} is not an audio-to-skeleton model: its header says {header.get('format', 'nothing')!r}")
    if header.get("version") != str(VERSION):
        raise BadModel(f"{path} has version {header.get('version')}, this csg405 reads {VERSION}: update csg405")
    try:
        return NetSettings(**json.loads(header.get("net", "")))
    except (ValidationError, ValueError, TypeError) as error:
        raise BadModel(f"{path}: its header describes no network ({str(error).splitlines()[0]})") from error
