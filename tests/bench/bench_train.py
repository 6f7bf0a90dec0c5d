"""Training against a plain loop as the release's (the peer); its data against Parquet; generation against its bare network.

python -m tests.bench train [--rounds N]        CSG405_BENCH_SIZE=base where size large does not fit into memory

All on planted skeletons and sound, with random weights. On a processor both loops compute in float32; on a GPU ours has what it
has by default, bf16 and torch.compile, and the peer has torch's defaults. The loops train the release's encoder, of one size; the
rows of generation and of a GPU's whole batch are about `dit`. Both readers read from the page cache.
"""

import gc
import os
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.shards.format import AUDIO_FEATURES
from pipeline.shards.read import open_shards
from tests.bench.table import LIMIT, OURS, PEER, Goal, Row, Skipped, contest, cores, cost_of

if TYPE_CHECKING:
    from pipeline.model.diffusion import Sampler

SIZE = os.environ.get("CSG405_BENCH_SIZE", "large")
WINDOW, BATCH = 250, 128  # frames, and the paper's windows a step
GOAL_MS, STRETCH_MS = 118.0, 86.0  # of a step of that batch
PEAK = 989e12  # dense bf16 operations a second of an H100 or H200
BEST_OPEN = 0.46  # of them: the most that open training code is known to reach
SPEAKERS, SECONDS_EACH = 10, 150.0  # planted, in all more frames than one such batch has
PLANNED_STEPS, FEWER_STEPS = 100, 20  # of generation: ancestral, DDIM
TRIED_STEPS, TURNS = 2, 5  # of generation on a processor: steps a turn, and turns a round
PEER_COLUMNS = ("local", "scores", "neck", "audio_features")


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    shards, data, device = planted_data(folder, (SPEAKERS, SECONDS_EACH))
    trained = list(training(folder, shards, data, device, rounds))
    yield from trained
    yield from reading(shards, data, device, trained[0].ours, rounds)
    yield from generation(data, device, rounds)
    if device == "cpu":
        raise Skipped("ms a step of 128 x 250 windows, its memory and its share of the matrix rate need a GPU")
    for compiled in ("on", "off"):
        yield from big_step(folder, shards, data, device, rounds, compiled)


def steps_alone(folder: Path) -> Iterator[Row]:
    """The paper's whole batch on a GPU, eager and then compiled; on a processor the same with a little net and batch."""
    shards, data, device = planted_data(folder, (1, 12.0), on_gpu=(4, 60.0))
    size, batch = (SIZE, BATCH) if device == "cuda" else ("tiny", 4)
    for compiled in ("off", "on"):
        yield from big_step(folder, shards, data, device, 1, compiled, batch, size)


def planted_data(
    folder: Path, amount: tuple[int, float], on_gpu: tuple[int, float] | None = None
) -> tuple[Path, Any, str]:
    """Planted shards, their cache, and the device that trains on them. Raises Skipped without the extra.

    Args:
        amount: speakers, and seconds of each.
        on_gpu: the same where there is a GPU, if it differs there.
    """
    try:
        import torch
        import transformers  # noqa: F401

        from pipeline.model.training.cache import open_cache
        from pipeline.theatre import planted
    except ImportError as error:
        raise Skipped(f"needs the extra `train`: {error}") from error
    torch.set_num_threads(cores())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    speakers, seconds_each = on_gpu if on_gpu and device == "cuda" else amount
    shards = folder / "shards"
    planted.write(shards, {"train": range(speakers)}, seconds_each)
    return shards, open_cache(shards, "train", folder / "caches"), device


def run_of(folder: Path, shards: Path, data: Any, device: str, **settings: Any) -> Any:
    """The loop's own run, set up and not begun."""
    from pipeline.base.interrupt import Interrupt
    from pipeline.model.training.loop import _Run
    from pipeline.model.training.recipe import Recipe
    from pipeline.model.training.setup import accelerator_of

    recipe = Recipe(window_frames=WINDOW, **settings)
    accelerator = accelerator_of(recipe, folder, device)
    return _Run(recipe, folder / "run", accelerator, data, None, shards, Interrupt(), print)


def readers(device: str) -> int:
    """As the loop has them by default."""
    return 4 if device == "cuda" else 0


def stepping(run: Any, data: Any, device: str, steps: int) -> Callable[[], None]:
    """So many steps of the loop, from the cache to the averaged weights."""
    from pipeline.model.training.windows import Steps, Windows, loader

    recipe = run.recipe
    windows = Windows(data, recipe.window_frames, recipe.net().lead_frames, recipe.seed)
    batches = enumerate(loader(windows, Steps(0, 1 << 20, recipe.batch), readers(device), pin=device == "cuda"), 1)
    return repeated(lambda: run._step(*next(batches)), steps, device)


def repeated(run: Callable[[], object], times: int, device: str) -> Callable[[], None]:
    """Run so many times, then wait for the device."""
    import torch

    def runs() -> None:
        for _ in range(times):
            run()
        if device == "cuda":
            torch.cuda.synchronize()

    return runs


def training(folder: Path, shards: Path, data: Any, device: str, rounds: int) -> Iterator[Row]:
    """Samples a second of the loop, of the plain loop, and of forwards and backwards alone."""
    from tests.bench.plain_loop import PlainLoop, write_clips

    on_gpu = device == "cuda"
    batch = 32 if on_gpu else 2  # 32: what each of the paper's four GPUs has of a step
    settings = {"arch": "release", "size": SIZE, "keypoints": 123, "dropout": 0.1}
    run = run_of(folder, shards, data, device, **settings, batch=batch, micro_batch=batch)
    clips = folder / "clips"
    write_clips(shards, clips)
    peer = PlainLoop(run.recipe.net(), data.statistics, clips, batch, device)
    steps, turns = (20, rounds) if on_gpu else (1, 3 * rounds)
    contestants: dict[str, Callable[[], object]] = {
        OURS: stepping(run, data, device, steps),
        PEER: repeated(peer.step, steps, device),
        LIMIT: repeated(lambda: run._trial(batch, run.net), steps, device),
    }
    costs = contest(contestants, turns)
    for kind, unit in kinds(device):
        samples = {name: [steps * batch / getattr(cost, kind) for cost in found] for name, found in costs.items()}
        ours, peers, limit = (statistics.median(samples[name]) for name in (OURS, PEER, LIMIT))
        goal = Goal("ratio", 3 if on_gpu else 1.3) if kind == "wall" else None
        what = f"train, release {SIZE}, {batch} x {WINDOW} a step"
        yield Row(what, f"samples/{unit}", ours, peers, limit, goal, samples)


def kinds(device: str) -> tuple[tuple[str, str], ...]:
    """Of seconds that say something: on the clock, and of a processor that does the work."""
    return (("wall", "s"),) if device == "cuda" else (("wall", "s"), ("cpu", "CPU s"))


def reading(shards: Path, data: Any, device: str, consumed: float, rounds: int) -> Iterator[Row]:
    """The mapped reader against Parquet, what the steps before asked for, and what `GOAL_MS` a step would ask for."""
    from pipeline.model.training.cache import FRAME_BYTES
    from pipeline.model.training.windows import Steps, Windows, loader

    assert data.frames.sum() > BATCH * WINDOW
    steps = 64 if device == "cuda" else 4
    windows = Windows(data, WINDOW)

    def mapped() -> None:
        for _ in loader(windows, Steps(0, steps, BATCH), readers(device), pin=device == "cuda"):
            pass

    def parquet() -> None:
        rows = open_shards(shards, "train").rows(PEER_COLUMNS)
        while chunk := list(islice(rows, BATCH)):
            unpacked(chunk)

    costs = contest({OURS: mapped, PEER: parquet}, 3 * rounds)
    amounts = {OURS: steps * BATCH, PEER: len(data)}
    samples = {name: [amounts[name] / cost.wall for cost in found] for name, found in costs.items()}
    ours, peer = (statistics.median(samples[name]) for name in (OURS, PEER))
    size = WINDOW * FRAME_BYTES / 1e9
    what = "windows read (limit: what training consumed)"
    yield Row(what, "windows/s", ours, peer, consumed, Goal("share", 2), samples)
    asked = BATCH * size / GOAL_MS * 1000
    yield Row(f"the same in bytes (limit: {BATCH} in {GOAL_MS:.0f} ms)", "GB/s", size * ours, size * peer, asked)


def unpacked(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """A batch from rows of a shard, each cut to a window: rows as they come, which spares Parquet all seeking."""
    shapes = {"local": (133, 2), "scores": (133,), "neck": (2,), "audio_features": (AUDIO_FEATURES,)}
    batch = {}
    for name, shape in shapes.items():
        kind = np.float16 if name == "audio_features" else np.float32
        batch[name] = np.zeros((len(rows), WINDOW, *shape), kind)
        for number, row in enumerate(rows):
            values = row[name][:WINDOW]
            batch[name][number, : len(values)] = values
    return batch


def generation(data: Any, device: str, rounds: int) -> Iterator[Row]:
    """Seconds for ten seconds of motion; the limit asks the network as often and does nothing else."""
    import torch

    from pipeline.model.audio_to_skeleton import AudioToSkeleton, Reference
    from pipeline.model.dit import NetSettings

    torch.manual_seed(405)
    model = AudioToSkeleton.new(NetSettings(size=SIZE, window_frames=WINDOW), data.audio_of).to(device)
    model.net.eval()
    clip = int(data.frames.argmax())
    first = int(data.first[clip])
    local = np.nan_to_num(data.local(clip)[0])
    reference = Reference(local, np.array(data.valid[first]), np.array(data.neck[first]))
    audio = np.array(data.audio[first : first + WINDOW])
    tried, turns = (PLANNED_STEPS, rounds) if device == "cuda" else (TRIED_STEPS, TURNS * rounds)
    fewer = min(FEWER_STEPS, tried)

    def made(sampler: "Sampler", steps: int) -> Callable[[], None]:
        return repeated(partial(model.generate, audio, reference, sampler=sampler, steps=steps), 1, device)

    @torch.inference_mode()
    def bare() -> None:
        shape = (1, WINDOW, model.settings.channels)
        x_t, heard = torch.zeros(shape, device=device), torch.zeros(1, WINDOW, audio.shape[1], device=device)
        step, known = torch.zeros(1, dtype=torch.long, device=device), torch.zeros(1, shape[2], device=device)
        for _ in range(2 * tried):  # with the voice and without
            model.net(x_t, step, heard, known, torch.zeros(1, dtype=torch.bool, device=device))

    asked = {"ancestral": made("ancestral", tried), "ddim": made("ddim", fewer), LIMIT: repeated(bare, 1, device)}
    costs = contest(asked, turns)
    for name, wanted, run in (("ancestral", PLANNED_STEPS, tried), ("ddim", FEWER_STEPS, fewer)):
        for kind, unit in kinds(device):
            ours = [getattr(cost, kind) * wanted / run for cost in costs[name]]
            limit = [getattr(cost, kind) * wanted / tried for cost in costs[LIMIT]]
            medians = statistics.median(ours), None, statistics.median(limit)
            what = f"10 s, {SIZE}, {wanted} {name} steps" + (f" (from {turns * run})" if run != wanted else "")
            yield Row(what, unit, *medians, None, {OURS: ours, LIMIT: limit})


def big_step(
    folder: Path,
    shards: Path,
    data: Any,
    device: str,
    rounds: int,
    compiled: str,
    batch: int = BATCH,
    size: str = SIZE,
) -> Iterator[Row]:
    """A step of the paper's whole batch on one GPU; the limit is its arithmetic at the rate of a bare matrix product."""
    import torch

    gc.collect()  # what the rows before had on the device
    torch.compiler.reset()
    if device == "cuda":
        torch.cuda.empty_cache()
    rate = matrix_rate(device, 8192 if device == "cuda" else 512)
    run = run_of(folder, shards, data, device, size=size, batch=batch, compile=compiled)
    what = f"train, dit {size}, {batch} x {WINDOW}, {run.micro} at a time" + (", eager" if compiled == "off" else "")
    each = 20 if device == "cuda" else 1
    steps = stepping(run, data, device, each)
    yield Row(f"{what}: its first {each}, with all that is made for them", "s", cost_of(steps).wall)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ours = [1000 * cost.wall / each for cost in contest({OURS: steps}, 3 * rounds, warm=False)[OURS]]
    yield from told_step(
        what, ours, operations(run.model.net, batch), rate, goals=device == "cuda" and compiled == "on"
    )
    if device == "cuda":
        yield Row("its memory at the peak", "GiB", torch.cuda.max_memory_allocated() / 2**30)


def told_step(what: str, ours: list[float], amount: float, rate: float, *, goals: bool) -> Iterator[Row]:
    """Milliseconds of steps, and what they are of a device.

    Args:
        ours: ms, each of a step.
        amount: operations of a step.
        rate: of a bare matrix product, operations a second.
    """
    median = statistics.median(ours)
    bounds = (Goal("value", GOAL_MS), Goal("value", STRETCH_MS), Goal("share", BEST_OPEN)) if goals else (None,) * 3
    yield Row(what, "ms", median, None, 1000 * amount / rate, bounds[0], {OURS: ours})
    if goals:
        yield Row("the same against what is hoped for", "ms", median, None, None, bounds[1])
    done = amount / (1e9 * median)
    yield Row("its arithmetic", "TFLOP", amount / 1e12)
    yield Row("the same a second (limit: an H200's bf16)", "TFLOP/s", done, None, PEAK / 1e12, bounds[2])
    yield Row("the same (limit: a bare bf16 matrix product)", "TFLOP/s", done, None, rate / 1e12)


def matrix_rate(device: str, side: int) -> float:
    """Operations a second of the product of two square bf16 matrices, at the best of ten."""
    import torch

    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    products = repeated(lambda: left @ right, 10, device)
    products()
    return 10 * 2 * side**3 / min(cost_of(products).wall for _ in range(10))


def operations(net: Any, samples: int) -> float:
    """Of a step of `DiT`, forwards and backwards: 6 a token and weight that it passes, and attention's 12 N^2 W a layer."""
    from torch import nn

    passed = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    weights = sum(m.weight.numel() for name, m in passed.items() if "modulation" not in name and "time" not in name)
    tokens, width = WINDOW + 1, net.embed.out_features
    return float(samples * (6 * weights * tokens + 12 * len(net.blocks) * tokens**2 * width))
