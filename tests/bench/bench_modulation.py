"""`train.modulation="single"` (adaLN-single; ours) against a projection in each block (peer): weights, time, and what is learnt.

python -m tests.bench modulation [--rounds N]

Weights are those of size `large`; a step is timed at smaller sizes, the two in turns; the losses are those of two short trainings
of size tiny on planted speakers, scored on unseen ones, from each of a few seeds.
"""

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench.table import OURS, PEER, Row, Skipped, contest

KINDS = {OURS: "single", PEER: "block"}
TIMED = (("tiny", 4, 4), ("base", 2, 1))  # size, windows of 250 frames a step, steps a turn
SEEDS, STEPS = (0, 1), 300
RECIPE = {
    "size": "tiny", "window_frames": 16, "batch": 8, "steps": STEPS, "learning_rate": 2e-3, "warmup_steps": 50, "ema_decay": 0.98,
    "loss": "parts", "log_every": 50, "validate_every": STEPS, "sample_every": 0, "checkpoint_every": STEPS, "milestone_every": 0,
}  # fmt: skip


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    try:
        import torch

        from pipeline.model.training.cache import open_cache
        from pipeline.theatre import planted
    except ImportError as error:
        raise Skipped(f"needs the extra `train`: {error}") from error
    torch.set_num_threads(1)  # threads that wait for each other would measure what else the machine does
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shards = folder / "shards"
    planted.write(shards, {"train": range(30), "validation": range(900, 908)}, 12.0)
    yield Row("weights of dit large", "M", millions(KINDS[OURS]), millions(KINDS[PEER]))
    data = open_cache(shards, "train", folder / "caches")
    for size, batch, steps in TIMED:
        yield from timed(folder, shards, data, device, rounds, size, batch, steps)
    found = {name: [learnt(folder, shards, kind, seed) for seed in SEEDS] for name, kind in KINDS.items()}
    what = f"validation loss after {STEPS} steps, tiny, {len(SEEDS)} seeds"
    yield Row(what, "", statistics.mean(found[OURS]), statistics.mean(found[PEER]), samples=found)


def millions(kind: Any) -> float:
    """Weights of size large, in millions."""
    import torch

    from pipeline.model.dit import NetSettings, parameters_of
    from pipeline.model.net import build

    with torch.device("meta"):
        return parameters_of(build(NetSettings(size="large", modulation=kind))) / 1e6


def timed(
    folder: Path, shards: Path, data: Any, device: str, rounds: int, size: str, batch: int, steps: int
) -> Iterator[Row]:
    """Milliseconds a step of the loop, from the cache to the averaged weights."""
    from tests.bench.bench_train import WINDOW, kinds, run_of, stepping

    def contestant(kind: str) -> Callable[[], None]:
        settings = {"size": size, "modulation": kind, "batch": batch, "micro_batch": batch}
        return stepping(run_of(folder / kind, shards, data, device, **settings), data, device, steps)

    costs = contest({name: contestant(kind) for name, kind in KINDS.items()}, 3 * rounds)
    for kind, unit in kinds(device):
        samples = {name: [1000 * getattr(cost, kind) / steps for cost in found] for name, found in costs.items()}
        ours, peer = (statistics.median(samples[name]) for name in (OURS, PEER))
        yield Row(
            f"a step, dit {size}, {batch} x {WINDOW}, {device}", unit.replace("s", "ms"), ours, peer, samples=samples
        )


def learnt(folder: Path, shards: Path, kind: Any, seed: int) -> float:
    """The validation loss of a short training."""
    from pipeline.model.training.loop import train
    from pipeline.model.training.recipe import Recipe
    from tests.pipeline.model.training.small import losses

    made = folder / f"{kind}-{seed}"
    train(Recipe(**RECIPE, modulation=kind, seed=seed), shards, made, folder / "caches", say=lambda _: None)
    return losses(made, "validation_loss")[STEPS]
