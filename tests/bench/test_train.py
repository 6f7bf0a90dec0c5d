"""What the bench of training counts, and that its lines for a GPU run."""

from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pipeline.model.dit import NetSettings
from pipeline.model.net import build
from tests.bench import bench_train
from tests.bench.bench_train import WINDOW, big_step, operations, planted_data, told_step


def test_operations_are_those_that_torch_counts() -> None:
    settings, samples = NetSettings(size="tiny", window_frames=WINDOW), 2
    net = build(settings)
    shape = (samples, WINDOW, settings.channels)
    heard, known = torch.zeros(samples, WINDOW, 768), torch.zeros(samples, settings.channels)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # which it counts on a processor too
        step, null = torch.zeros(samples, dtype=torch.long), torch.zeros(samples, dtype=torch.bool)
        net(torch.zeros(shape, requires_grad=True), step, heard, known, null).sum().backward()
    # Ours leaves out what only the time step passes, and counts no gradient of the audio.
    assert counter.get_total_flops() == pytest.approx(operations(net, samples), rel=0.02)


def test_shares_and_goals_of_a_step() -> None:
    rows = list(told_step("a step", [86.0, 100.0, 120.0], 40e12, 800e12, goals=True))
    step, hoped, amount, of_peak, of_product = rows
    assert (step.ours, step.limit, step.met, hoped.met) == (100.0, 50.0, True, False)
    assert (amount.ours, of_peak.ours) == (40.0, pytest.approx(400.0))
    assert of_peak.share == pytest.approx(400 / 989) and of_peak.met is False
    assert of_product.share == pytest.approx(0.5)
    assert not any(row.goal for row in told_step("a step", [1.0], 1e12, 1e12, goals=False))


def test_the_lines_for_a_gpu_run_with_a_little_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_train, "WINDOW", 16)
    shards, data, _ = planted_data(tmp_path, (1, 12.0))
    rows = list(big_step(tmp_path, shards, data, "cpu", 1, "off", 2, "tiny"))
    assert len(rows) == 5 and all(row.ours > 0 for row in rows)
    assert rows[1].what.startswith("train, dit tiny, 2 x 16") and rows[1].what.endswith("eager")
