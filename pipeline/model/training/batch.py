"""Preparation of a stored batch for the network: augmentation, z-scores and masks, on the device, where it is nearly free."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pipeline.base.units import CLIP_SIDE_PX
from pipeline.model.space import SkeletonSpace
from pipeline.model.training.windows import Batch
from pipeline.skeleton import layout

_MIRROR = torch.from_numpy(layout.MIRROR.copy())
_MIDDLE = (CLIP_SIDE_PX - 1) / 2  # px, the centre of rotation and mirroring


@dataclass(frozen=True)
class Prepared:
    """A batch as the network takes it: B samples, F frames, C values a frame.

    Attributes:
        clean: (B, F, C) x0; counts (B, F, C) bool, the values that enter the loss.
        audio: (B, F, 768).
        reference: (B, C).
        present: (B, F) bool.
        lead: (B, L, C), or None.
    """

    clean: Tensor
    counts: Tensor
    audio: Tensor
    reference: Tensor
    present: Tensor
    lead: Tensor | None

    def part(self, rows: slice) -> "Prepared":
        """Select some of the samples."""
        lead = None if self.lead is None else self.lead[rows]
        return Prepared(
            self.clean[rows], self.counts[rows], self.audio[rows], self.reference[rows], self.present[rows], lead
        )


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random augmentation, drawn once a sample: clip, reference and lead change alike.

    Attributes:
        scale: largest relative change of size.
        rotation_deg: largest rotation in the picture plane.
        mirror: share of samples that are mirrored, left and right swapped.
    """

    scale: float = 0.0
    rotation_deg: float = 0.0
    mirror: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.scale or self.rotation_deg or self.mirror)

    def changes(self, amount: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices (B, 2, 2), mirroring included, and (B,) bool of the mirrored samples, from (B, 3) uniform in [0, 1)."""
        mirrored = amount[:, 2] < self.mirror
        size = 1 + self.scale * (2 * amount[:, 0] - 1)
        angle = torch.deg2rad(self.rotation_deg * (2 * amount[:, 1] - 1))
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
        flip = torch.ones(len(amount), 2)
        flip[mirrored, 0] = -1
        return size[:, None, None] * turn * flip[:, None], mirrored


def loss_weights(kind: Literal["points", "parts"], space: SkeletonSpace) -> Tensor:
    """Loss weights (C,), with mean 1 over the points seen in training.

    Args:
        kind: points: 1 each; parts: body and feet, face, left hand and right hand have equal weight.
        space: defines the channels, and the share of frames in which each point is seen.
    """
    weights = torch.ones(layout.K)
    if kind == "parts":
        seen = space.seen.cpu() > 0
        for part in (layout.BODY_AND_FEET, layout.FACE, layout.LEFT_HAND, layout.RIGHT_HAND):
            weights[part] = 1 / seen[part].sum().clamp(min=1)
        weights = weights / weights[seen].mean()
    flat = weights[space.chosen.cpu()].repeat_interleave(2)
    return torch.cat([flat, torch.ones(2)]) if space.neck else flat


def prepare(
    batch: Batch,
    space: SkeletonSpace,
    augmentation: Augmentation | None = None,
    change: Tensor | None = None,
    *,
    keep_unsure: bool = False,
) -> Prepared:
    """Turn a stored batch, already on the device of `space`, into z-scores and masks.

    Args:
        batch: as `Windows` gives it.
        space: the model's.
        augmentation, change: what is changed at random, and (B, 3) uniform in [0, 1) that say how much.
        keep_unsure: x0 keeps the values of points that do not count, as in the release: noised, the network sees them in x_t.
            Otherwise they are 0. Reference and lead have 0 for them either way.
    """
    local = batch["skeleton"].float() + batch["offset"][:, None]
    parts = {"": (local, batch["valid"], batch["neck"])}
    if keep_unsure:  # the cache keeps their coordinates; those of unseen points deviate by nothing
        parts["known"] = (local, batch["valid"] | (batch["skeleton"] != 0).any(-1), batch["neck"])
    for name in ("reference", "lead"):
        if name in batch:
            parts[name] = (batch[name], batch[f"{name}_valid"], batch[f"{name}_neck"])
    if augmentation and change is not None:
        matrices, mirrored = (each.to(local.device) for each in augmentation.changes(change))
        parts = {name: changed(*part, matrices, mirrored) for name, part in parts.items()}
    at = parts["reference"][2]
    clean, counts = space.encode(*parts[""], at)
    if keep_unsure:
        clean, _ = space.encode(*parts["known"], at)
    reference, _ = space.encode(*parts["reference"], at)
    lead = space.encode(*parts["lead"], at)[0] if "lead" in parts else None
    return Prepared(clean, counts & batch["present"][..., None], batch["audio"], reference, batch["present"], lead)


def changed(
    local: Tensor, valid: Tensor, neck: Tensor, matrices: Tensor, mirrored: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, rotate and mirror samples.

    Args:
        local: (B, ..., 133, 2) px.
        valid: (B, ..., 133).
        neck: (B, ..., 2) px.
        matrices: (B, 2, 2), mirroring included.
        mirrored: (B,) bool: left and right are swapped.
    """
    order = _MIRROR.to(local.device)
    swap = mirrored.reshape(-1, *(1,) * (local.ndim - 1))
    local = torch.where(swap, local[..., order, :], local)
    valid = torch.where(swap[..., 0], valid[..., order], valid)
    local = torch.einsum("bij,b...j->b...i", matrices, local)
    neck = torch.einsum("bij,b...j->b...i", matrices, neck - _MIDDLE) + _MIDDLE
    return local, valid, neck


def with_still_lead(ready: Prepared, still: Tensor) -> Prepared:
    """Replace the lead of the samples in `still` by its last frame, repeated: that is how a generated video starts."""
    assert ready.lead is not None
    lead = torch.where(still[:, None, None], ready.lead[:, -1:].expand_as(ready.lead), ready.lead)
    return Prepared(ready.clean, ready.counts, ready.audio, ready.reference, ready.present, lead)
