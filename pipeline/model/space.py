"""The network's space: z-scored skeleton coordinates, with the transform to it and back."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.skeleton import layout

FLOOR_PX = 0.5  # least standard deviation: a root has no variance, and dividing by less would amplify noise
RELEASE_DROPS = tuple(range(13, 23))  # knees, ankles and feet


def kept_points(count: Literal[133, 123]) -> tuple[int, ...]:
    """Indices of the modelled keypoints: all, or all but the ten that the release drops."""
    return tuple(k for k in range(layout.K) if count == layout.K or k not in RELEASE_DROPS)


class SkeletonSpace(nn.Module):
    """Maps (..., 133, 2) px to (..., C) z-scores and back: x, y of each modelled point, then the neck's offset from the reference.

    Buffers, stored with the weights: mean and std (133, 2) px, std at least 0.5; neck_std (2,) px; seen (133,) share of training
    frames in which a point was seen; framing (3, 3): 1st, 50th and 99th percentile of shoulder width, neck x, neck y in px.

    Args:
        keypoints: 133 or 123.
        neck: model the neck's path too.
        picture: use coordinates of the 512 crop instead of local ones (ablation `local` of table 3).
    """

    mean: Tensor
    std: Tensor
    neck_std: Tensor
    seen: Tensor
    framing: Tensor
    chosen: Tensor

    def __init__(self, keypoints: Literal[133, 123] = 133, *, neck: bool = False, picture: bool = False) -> None:
        super().__init__()
        self.neck, self.picture = neck, picture
        self.register_buffer("mean", torch.zeros(layout.K, 2))
        self.register_buffer("std", torch.ones(layout.K, 2))
        self.register_buffer("neck_std", torch.ones(2))
        self.register_buffer("seen", torch.ones(layout.K))
        self.register_buffer("framing", torch.zeros(3, 3))
        self.register_buffer("chosen", torch.tensor(kept_points(keypoints)), persistent=False)

    def fill(
        self,
        mean: NDArray[np.floating],
        std: NDArray[np.floating],
        neck_std: NDArray[np.floating],
        seen: NDArray[np.floating],
        framing: NDArray[np.floating],
    ) -> None:
        """Set the buffers; the floor of `std` is applied here."""
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float32))
        self.std.copy_(torch.as_tensor(np.maximum(std, FLOOR_PX), dtype=torch.float32))
        self.neck_std.copy_(torch.as_tensor(np.maximum(neck_std, FLOOR_PX), dtype=torch.float32))
        self.seen.copy_(torch.as_tensor(seen, dtype=torch.float32))
        self.framing.copy_(torch.as_tensor(framing, dtype=torch.float32))

    @torch.no_grad()
    def take_spreads(self, other: "SkeletonSpace") -> None:
        """Take the spreads of another space; a point that only one of the two has ever seen keeps mean and spread of that one."""
        self.std.copy_(torch.where(other.seen[:, None] > 0, other.std, self.std))
        self.neck_std.copy_(other.neck_std)
        self.mean.copy_(torch.where(self.seen[:, None] > 0, self.mean, other.mean))

    def encode(self, local: Tensor, valid: Tensor, neck: Tensor, reference_neck: Tensor) -> tuple[Tensor, Tensor]:
        """Encode local coordinates as z-scores.

        Args:
            local: (B, ..., 133, 2) px local coordinates.
            valid: (B, ..., 133) bool, points that count.
            neck: (B, ..., 2) px.
            reference_neck: (B, 2) px.

        Returns:
            values (B, ..., C), 0 where a point does not count, and counts (B, ..., C) bool.
        """
        points = to_picture(local, neck) if self.picture else local
        scores = ((points - self.mean) / self.std)[..., self.chosen, :].flatten(-2)
        counts = valid[..., self.chosen, None].expand(*valid.shape[:-1], len(self.chosen), 2).flatten(-2)
        values = torch.where(counts, scores, 0.0)
        if not self.neck:
            return values, counts
        way = (neck - _spread(reference_neck, neck)) / self.neck_std
        known = valid.any(-1, keepdim=True).expand(*valid.shape[:-1], 2)
        return torch.cat([values, torch.where(known, way, 0.0)], -1), torch.cat([counts, known], -1)

    def decode(self, values: Tensor, reference_neck: Tensor) -> tuple[Tensor, Tensor]:
        """Decode z-scores: the exact inverse of `encode` where a point counts.

        Args:
            values: (B, F, C).
            reference_neck: (B, 2) px, the neck's position, or its first one where the neck is modelled.

        Returns:
            local (B, F, 133, 2) and neck (B, F, 2), px; NaN for points that are not modelled.
        """
        count = 2 * len(self.chosen)
        points = torch.full((*values.shape[:-1], layout.K, 2), torch.nan, device=values.device)
        scores = values[..., :count].unflatten(-1, (-1, 2)).float()
        points[..., self.chosen, :] = scores * self.std[self.chosen] + self.mean[self.chosen]
        neck = _spread(reference_neck, points[..., 0, :]).expand(*points.shape[:-2], 2).float()
        if self.neck:
            neck = neck + values[..., count:].float() * self.neck_std
        if not self.picture:
            return points, neck
        neck = points[..., [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER], :].mean(-2)
        return from_picture(points, neck), neck


def _spread(neck: Tensor, like: Tensor) -> Tensor:
    """Reshape (B, 2) to (B, 1, ..., 2), with as many axes as `like`."""
    return neck.reshape(len(neck), *(1,) * (like.ndim - 2), 2)


def to_picture(local: Tensor, neck: Tensor) -> Tensor:
    """Crop pixels from local (..., 133, 2) and neck (..., 2); roots must be finite (see `pipeline.skeleton.local`)."""
    body = local + neck[..., None, :]
    points = body.clone()
    for group, root in layout.ROOTS:
        points[..., group, :] = local[..., group, :] + body[..., root, None, :]
    return points


def from_picture(points: Tensor, neck: Tensor) -> Tensor:
    """The inverse of `to_picture`."""
    local = points - neck[..., None, :]
    for group, root in layout.ROOTS:
        local[..., group, :] = points[..., group, :] - points[..., root, None, :]
    return local
