"""As many windows at a time as fit, in parts of a size, and no random number is spent on finding out."""

from pathlib import Path

import psutil
import pytest
import torch

from pipeline.model.training import loop
from pipeline.model.training.micro_batch import blank, even, micro_batch
from tests.pipeline.model.training.small import fit, losses, recipe

CPU = torch.device("cpu")


def test_a_run_finds_how_many_windows_fit(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    monkeypatch.setattr(loop, "micro_batch", lambda *given: found.append(micro_batch(*given)) or found[-1])
    fit(shards, tmp_path / "roomy", micro_batch=0, steps=1)
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=12 << 20))
    fit(shards, tmp_path / "narrow", micro_batch=0, steps=1)
    assert found[0] == 4
    assert 1 <= found[1] < 4
    assert losses(tmp_path / "narrow")[1] == pytest.approx(losses(tmp_path / "roomy")[1], rel=1e-5)


@pytest.mark.parametrize(("room", "expected"), [(20.5, 8), (9.0, 4), (4.5, 2), (0.1, 1)])
def test_half_of_the_free_memory_is_filled(room: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of windows that keep 1 MiB each beside weights that are kept once."""
    weights = torch.ones(1 << 18, requires_grad=True)

    def trial(count: int) -> None:
        (weights * torch.ones(count, 1 << 18)).sum().backward()

    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=int(room * 2**20)))
    assert micro_batch(8, trial, CPU, 40) == expected


@pytest.mark.slow
def test_on_a_gpu_what_was_reckoned_is_tried_and_lowered_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, tried = torch.ones(4, requires_grad=True), list[int]()

    def trial(count: int) -> None:
        tried.append(count)
        if count > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate more than there is")
        (weights * torch.ones(count, 4)).sum().backward()

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
    found = micro_batch(16, trial, torch.device("cuda"), 40)
    assert found <= 5 and 16 % found == 0
    assert tried[2] == 16 and tried[2:] == sorted(
        tried[2:], reverse=True
    )  # after one window and two, for what each keeps


def test_random_numbers_are_as_if_nothing_had_been_tried() -> None:
    weights = torch.ones(8, requires_grad=True)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    micro_batch(4, lambda count: (torch.rand(count, 8) * weights).sum().backward(), CPU, 40)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("arch", "lead"), [("dit", False), ("release", True)])
def test_a_blank_window_has_the_shapes_of_a_batch(arch: str, lead: bool) -> None:
    made = recipe(arch=arch, keypoints=123 if lead else 133)
    ready = blank(3, made, 768, CPU)
    channels = made.net().channels
    assert ready.clean.shape == ready.counts.shape == (3, made.window_frames, channels)
    assert (ready.audio.shape, ready.reference.shape) == ((3, made.window_frames, 768), (3, channels))
    assert (ready.lead is not None) is lead


@pytest.mark.parametrize(
    ("count", "most", "size"), [(128, 200, 128), (128, 54, 32), (128, 26, 16), (7, 3, 3), (4, 3, 2), (5, 1, 1)]
)
def test_parts_of_a_step_are_alike_where_that_takes_few_more(count: int, most: int, size: int) -> None:
    assert even(count, most) == size
