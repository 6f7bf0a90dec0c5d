"""What is random of a step belongs to its windows: the same on any number of processes, and so is the gradient."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.model.training import loop
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.draws import draw, drawn
from pipeline.model.training.setup import new_model
from pipeline.model.training.windows import Windows, numbers_of
from tests.pipeline.model.training.small import fit, recipe

STEP = 7
PROCESSES = [2, 4, 8]
RECIPES: dict[str, dict[str, Any]] = {
    "dit": {"loss": "parts", "velocity_loss": 0.5},
    "release": {"arch": "release", "keypoints": 123},
}
_CHANGED = {"augment_mirror": 0.5, "augment_rotation_deg": 5.0, "augment_scale": 0.1, "null_audio": 0.5}


@pytest.fixture(scope="module")
def cache(shards: Path) -> Cache:
    return open_cache(shards, "train", shards.parent / "cache")


@pytest.mark.parametrize("processes", PROCESSES)
@pytest.mark.parametrize("batch", [8, 11])
@pytest.mark.parametrize("arch", RECIPES)
def test_processes_draw_together_what_one_draws(cache: Cache, arch: str, batch: int, processes: int) -> None:
    made = recipe(**RECIPES[arch], **_CHANGED, lead_still=0.5, batch=batch)
    space, windows, cpu = new_model(made, cache).space, Windows(cache, 40, made.net().lead_frames), torch.device("cpu")

    def of(numbers: range) -> list[Tensor]:
        ready, noise, t, null = drawn(made, space, windows.__getitems__(list(numbers)), numbers, cpu)
        parts = (ready.clean, ready.counts, ready.audio, ready.reference, ready.present, ready.lead)
        return [*(part for part in parts if part is not None), noise, t, null]

    whole = of(numbers_of(STEP, batch))
    for rank in range(processes):
        for ours, all_of_them in zip(of(numbers_of(STEP, batch, rank, processes)), whole, strict=True):
            assert torch.equal(ours, all_of_them[rank::processes])


def test_every_window_draws_its_own() -> None:
    found = draw(3, range(400), 8, 2, torch.device("cpu"))
    assert len({tuple(row.flatten().tolist()) for row in found.noise}) == 400
    assert abs(float(found.noise.mean())) < 0.05 and abs(float(found.noise.std()) - 1) < 0.05
    assert len(found.t.unique()) > 90 and int(found.t.min()) >= 0 and int(found.t.max()) < 100
    assert abs(float((found.null < 0.1).float().mean()) - 0.1) < 0.05
    assert not torch.equal(found.noise, draw(4, range(400), 8, 2, torch.device("cpu")).noise)


class _Process:
    """One of several processes' accelerator, whose sums with the others are known."""

    def __init__(self, rank: int, processes: int, shares: list[Tensor]) -> None:
        self.process_index, self.num_processes, self._shares = rank, processes, shares

    def reduce(self, share: Tensor, how: str) -> Tensor:
        assert how == "mean"
        self._shares.append(share)
        return torch.stack(self._shares[: self.num_processes]).mean(0)


@pytest.mark.parametrize("arch", RECIPES)
def test_the_mean_of_the_gradients_of_four_and_eight_processes_is_that_of_one(
    shards: Path, tmp_path: Path, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a batch that they do not divide evenly, a window at a time, and another count of points in every window."""
    runs: list[Any] = []
    monkeypatch.setattr(loop._Run, "train", lambda run: runs.append(run) or tmp_path)
    fit(shards, tmp_path, batch=11, **RECIPES[arch])
    [run] = runs
    windows = Windows(run.data, 40, run.recipe.net().lead_frames)
    for (
        weights
    ) in run.model.net.parameters():  # the last layer begins at nought, and no other one would have a gradient
        torch.nn.init.normal_(weights, std=0.05, generator=torch.Generator().manual_seed(weights.numel()))

    def gradient(rank: int, processes: int, shares: list[Tensor], micro: int) -> list[Tensor]:
        run.accelerator = _Process(rank, processes, shares)
        numbers = list(numbers_of(STEP, 11, rank, processes))
        ready, noise, t, null = run._drawn(STEP + 1, windows.__getitems__(numbers))
        total = run._total(ready)
        run.model.net.zero_grad(set_to_none=True)
        for first in range(0, len(numbers), micro):
            rows = slice(first, first + micro)
            error = run._error(ready.part(rows), noise[rows], t[rows], null[rows], run.model.net)
            (error / total).backward()
        return [weights.grad.clone() for weights in run.model.net.parameters() if weights.grad is not None]

    one = gradient(0, 1, [], 11)
    largest = max(float(each.abs().max()) for each in one)
    for processes in (4, 8):
        shares: list[Tensor] = []
        for rank in range(processes):  # what each counts, before any divides by it
            gradient(rank, processes, shares, 11)
        each = [gradient(rank, processes, list(shares), 1) for rank in range(processes)]
        for theirs, ours in zip(one, zip(*each, strict=True), strict=True):
            assert float((torch.stack(ours).mean(0) - theirs).abs().max()) < 1e-5 * largest
