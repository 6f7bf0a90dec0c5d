"""Random windows of clips as tensors: batch n is the same in every run, on any number of processes.

Nothing here is stateful: a batch is a function of the seed and its number, so that a killed run resumes exactly.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline.model.training.cache import Cache
from pipeline.skeleton import layout

Batch = dict[str, Tensor]
_UPPER = tuple(layout.UPPER_BODY.values())


class Windows(Dataset[Batch]):
    """Windows of a cache; item n is drawn from the seed and n, and every clip comes once an epoch.

    A batch holds, for B samples, F frames, L lead frames:
        skeleton (B, F, 133, 2) float16 px from offset (B, 133, 2) float32; valid (B, F, 133) bool; neck (B, F, 2) float32 px;
        audio (B, F, 768) float16; present (B, F) bool, false beyond the end of a short clip;
        reference (B, 133, 2), reference_valid (B, 133), reference_neck (B, 2): one frame of the same clip, of those with most of
        the upper body; lead (B, L, 133, 2), lead_valid, lead_neck: the frames before, absent where L is 0.

    Args:
        cache: the split.
        window: F.
        lead: L.
        seed: of the draws.
        still: for validation: windows start as early as they can, and references are the clip's first frame with most of the upper
            body.

    Where there is a lead, no window starts before the lead's true frames, as in the release; a clip shorter than the lead repeats
    its first frame.
    """

    def __init__(self, cache: Cache, window: int, lead: int = 0, seed: int = 0, *, still: bool = False) -> None:
        self.cache, self.window, self.lead, self.seed, self.still = cache, window, lead, seed, still

    def __len__(self) -> int:
        return len(self.cache)

    def __getitem__(self, number: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([number]).items()}

    def __getitems__(self, numbers: list[int]) -> Batch:
        picked = [self._pick(number) for number in numbers]
        clips = np.array([clip for clip, _, _ in picked])
        batch = {"offset": torch.from_numpy(self.cache.offset[clips])}
        present = np.zeros((len(picked), self.window), np.bool_)
        arrays = {
            "skeleton": np.zeros((len(picked), self.window, layout.K, 2), np.float16),
            "valid": np.zeros((len(picked), self.window, layout.K), np.bool_),
            "neck": np.zeros((len(picked), self.window, 2), np.float32),
            "audio": np.zeros((len(picked), self.window, self.cache.audio.shape[1]), np.float16),
        }
        references, leads = [], []
        for row, (clip, start, reference) in enumerate(picked):
            first = int(self.cache.first[clip])
            length = min(self.window, int(self.cache.frames[clip]) - start)
            span = slice(first + start, first + start + length)
            present[row, :length] = True
            for name, target in arrays.items():
                target[row, :length] = getattr(self.cache, name)[span]
            references.append(first + reference)
            # Before the clip's first frame there is nothing: it is repeated.
            leads.append(first + np.maximum(np.arange(start - self.lead, start), 0))
        batch |= {name: torch.from_numpy(values) for name, values in arrays.items()}
        batch["present"] = torch.from_numpy(present)
        batch |= self._frames("reference", clips, np.array(references))
        if self.lead:
            batch |= self._frames("lead", clips, np.stack(leads))
        return batch

    def _frames(self, name: str, clips: NDArray[np.int64], at: NDArray[np.int64]) -> Batch:
        """Coordinates, masks and necks of single frames `at` (B,) or (B, L) of clips (B,)."""
        offset = self.cache.offset[clips].reshape(len(clips), *(1,) * (at.ndim - 1), layout.K, 2)
        return {
            name: torch.from_numpy(self.cache.skeleton[at].astype(np.float32) + offset),
            f"{name}_valid": torch.from_numpy(np.asarray(self.cache.valid[at])),
            f"{name}_neck": torch.from_numpy(np.asarray(self.cache.neck[at])),
        }

    def _pick(self, number: int) -> tuple[int, int, int]:
        """Clip, first frame and reference frame of item `number`."""
        epoch, place = divmod(number, len(self.cache))
        clip = place if self.still else int(self._order(epoch)[place])
        self.cache.check(clip)
        frames, first = int(self.cache.frames[clip]), int(self.cache.first[clip])
        whole = self.cache.valid[first : first + frames][:, _UPPER].sum(1)
        best = np.flatnonzero(whole == whole.max())
        earliest = min(self.lead, frames - 1)
        if self.still:
            return clip, earliest, int(best[0])
        rng = np.random.default_rng([self.seed, 1, number])
        start = earliest + int(rng.integers(0, max(0, frames - self.window - earliest) + 1))
        return clip, start, int(best[rng.integers(len(best))])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return _permutation(self.seed, epoch, len(self.cache))


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


class Steps(Sampler[list[int]]):
    """Item numbers of the steps `first` (included) to `last` (excluded), for process `rank` of `world`."""

    def __init__(self, first: int, last: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.first, self.last, self.batch, self.rank, self.world = first, last, batch, rank, world

    def __len__(self) -> int:
        return max(0, self.last - self.first)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            yield list(numbers_of(step, self.batch, self.rank, self.world))


def numbers_of(step: int, batch: int, rank: int = 0, world: int = 1) -> range:
    """Numbers of the windows of step `step`, counted from 0, that process `rank` of `world` takes."""
    return range(step * batch + rank, (step + 1) * batch, world)


def loader(windows: Windows, steps: Steps, workers: int = 0, *, pin: bool = False) -> DataLoader[Batch]:
    """A loader of batches in order, prefetched by `workers` processes."""
    more: dict[str, Any] = {"prefetch_factor": 4, "persistent_workers": True} if workers else {}
    return DataLoader(windows, batch_sampler=steps, collate_fn=_as_it_is, num_workers=workers, pin_memory=pin, **more)


def _as_it_is(batch: Any) -> Batch:
    return dict(batch)


def onto(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to a device."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def seed_of(*numbers: int) -> int:
    """Derive a 63-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
