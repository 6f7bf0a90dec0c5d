"""Shards as a map-style torch Dataset, and a way to batch clips of different lengths."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from pipeline.shards.format import shard_schema
from pipeline.shards.read import decode_audio

if TYPE_CHECKING:
    from pipeline.shards.read import Shards

_IDS = ("clip_id", "person", "frames")
SOUND = "sound"


class ShardDataset(Dataset[dict[str, Any]]):
    """Gives a dict an item: `clip_id`, `person`, `frames`, and the columns asked for, arrays as tensors.

    Works with the workers of a DataLoader, forked or spawned: each opens the files itself. A loader that shuffles reads a row group
    of up to 4 clips for each item; give it a sampler that walks over blocks, or `num_workers`, where that is too slow.

    Args:
        shards: what `open_shards` gives.
        columns: of the shards, and `sound` for the decoded wave; clips without one have none, (0,).

    Raises:
        ValueError: a column that shards do not have.
    """

    def __init__(self, shards: "Shards", columns: Sequence[str]) -> None:
        known = {*shard_schema().names, SOUND} - {"audio"}
        if unknown := [name for name in columns if name not in known]:
            raise ValueError(f"shards have no column {unknown[0]!r}")
        self.shards, self.columns = shards, tuple(columns)

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards.unread(), "columns": self.columns}

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, number: int) -> dict[str, Any]:
        wanted = [name for name in self.columns if name != SOUND] + ["audio"] * (SOUND in self.columns)
        row = self.shards.row(number, (*_IDS, *wanted))
        names = dict.fromkeys((*_IDS, *self.columns))
        return {name: _tensor(_sound(row) if name == SOUND else row.get(name)) for name in names}


def _sound(row: Mapping[str, Any]) -> Any:
    return np.zeros(0, np.float32) if row["audio"] is None else decode_audio(row["audio"])


def _tensor(value: Any) -> Any:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def padded(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A `collate_fn`: tensors are padded with zeros to the longest, other values stay lists; `frames` says how long each is."""
    batch: dict[str, Any] = {name: [item[name] for item in items] for name in items[0]}
    for name, values in batch.items():
        if all(isinstance(value, torch.Tensor) for value in values):
            batch[name] = pad_sequence(values, batch_first=True)
    return {**batch, "frames": torch.tensor(batch["frames"])}
