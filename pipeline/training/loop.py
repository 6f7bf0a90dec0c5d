"""The training loop: shards in, checkpoints out. It reads from top to bottom.

What a step does follows from the recipe, the shards and its number alone: batches, noise, time steps and dropped audio are drawn
anew from the seed and the number. So a run that was killed at any step and started again gives the losses of one that was not.
"""

import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, find_executable_batch_size
from torch import Tensor, nn

from pipeline import files
from pipeline.lock import driving
from pipeline.media.writer import WriteError
from pipeline.nets import diffusion
from pipeline.nets.audio_to_skeleton import AudioToSkeleton
from pipeline.progress import Progress
from pipeline.reasons import Failure
from pipeline.training import TrainingError, checkpoint
from pipeline.training.batch import Prepared, loss_weights, prepare
from pipeline.training.cache import Cache, CacheError, open_cache
from pipeline.training.recipe import Recipe
from pipeline.training.show import draw_sample
from pipeline.training.windows import Batch, Steps, Windows, loader

log = logging.getLogger(__name__)

METRICS, ABOUT, CHECKPOINTS, SAMPLES = "metrics.jsonl", "trained_on.json", "checkpoints", "samples"
_MAY_CHANGE = frozenset({"steps"})  # of a run that goes on


class RecipeChanged(TrainingError):
    """A run cannot go on with other settings or data than it began with."""


def train(
    recipe: Recipe, shards: Path, folder: Path, caches: Path, device: str = "cpu", *, say: Callable[[str], None] = print
) -> Path:
    """Train, or go on training; returns the last checkpoint.

    Args:
        recipe: how.
        shards: folder of the shards; splits train and validation are read.
        folder: of this training: `checkpoints`, `samples`, `metrics.jsonl`, `trained_on.json`, TensorBoard's events.
        caches: where the memory-mapped caches of shards are kept.
        device: "cpu" or "cuda".
        say: told a line when something is worth one.

    Raises:
        RecipeChanged: the folder holds a run of another recipe or other shards.
        CacheError, ShardError, BadModel, pipeline.lock.Occupied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = _accelerator(recipe, folder, device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it a GPU refuses to be deterministic
    torch.use_deterministic_algorithms(recipe.deterministic)
    if recipe.batch < accelerator.num_processes:
        raise TrainingError(
            f"a batch of {recipe.batch} windows leaves some of {accelerator.num_processes} processes none"
        )
    with accelerator.main_process_first():
        data = open_cache(shards, "train", caches, recipe.min_score)
        held_out = _validation(recipe, shards, caches)
    if accelerator.is_main_process:
        with driving(folder, "train"), _Asked() as asked:
            return _Run(recipe, folder, accelerator, data, held_out, shards, asked, say).train()
    with _Asked() as asked:
        return _Run(recipe, folder, accelerator, data, held_out, shards, asked, lambda _: None).train()


class _Run:
    """One process's part of a training run."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        accelerator: Accelerator,
        data: Cache,
        held_out: Cache | None,
        shards: Path,
        asked: "_Asked",
        say: Callable[[str], None],
    ) -> None:
        self.recipe, self.folder, self.accelerator, self.data, self.held_out = (
            recipe,
            folder,
            accelerator,
            data,
            held_out,
        )
        self.shards, self.asked, self.say = shards, asked, say
        self.device, self.main = accelerator.device, accelerator.is_main_process
        self.about = about(recipe, data, held_out)
        torch.manual_seed(recipe.seed)
        self.model = new_model(recipe, data).to(self.device)
        self.average = new_model(recipe, data).to(self.device) if recipe.ema_decay else None
        for model in (self.model, self.average):
            if model is not None:
                model.trained_on = self.about
        self.optimizer = _optimizer(recipe, self.model.net)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _rate(recipe))
        self.bars = diffusion.alpha_bars().to(self.device)
        self.weights = loss_weights(recipe.loss, self.model.space).to(self.device)
        self.kept_micro = 0
        self.first = self._resume()
        if self.average is not None and not self.first:
            self.average.net.load_state_dict(self.model.net.state_dict())
        self.net: nn.Module = accelerator.prepare_model(self.model.net)
        self.share = -(-recipe.batch // accelerator.num_processes)
        # A run that goes on keeps its micro-batch: another one rounds otherwise, and draws other dropout.
        self.micro = recipe.micro_batch or self.kept_micro or self._probe()

    def train(self) -> Path:
        recipe = self.recipe
        self._start()
        windows = Windows(self.data, recipe.window_frames, recipe.net().lead_frames, recipe.seed)
        steps = Steps(
            self.first, recipe.steps, recipe.batch, self.accelerator.process_index, self.accelerator.num_processes
        )
        readers = recipe.readers if recipe.readers >= 0 else (4 if self.device.type == "cuda" else 0)
        log_ = _Losses(self, self.first)
        step = self.first
        with Progress("train", recipe.steps - self.first) as progress:
            for step, batch in enumerate(
                loader(windows, steps, readers, pin=self.device.type == "cuda"), self.first + 1
            ):
                loss, norm = self._step(step, batch)
                log_.add(step, loss, norm, progress)
                stop = self._stopping()
                last = step == recipe.steps
                if step % recipe.checkpoint_every == 0 or last or stop:
                    self._save(step)  # first: what follows may fail
                if step % recipe.validate_every == 0 or last:
                    self._validate(step)
                if recipe.sample_every and (step % recipe.sample_every == 0 or last):
                    self._sample(step)
                if stop:
                    break
        self.accelerator.end_training()
        if step < recipe.steps:
            raise KeyboardInterrupt
        return self.folder / CHECKPOINTS / checkpoint.name_of(step)

    def _stopping(self) -> bool:
        """Whether any process was asked to stop: all stop after the same step, or they would wait for each other for ever."""
        if self.accelerator.num_processes == 1:
            return self.asked.yes
        if self.asked.yes:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _step(self, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """One optimiser step on this process's share of the batch; the micro-batch changes nothing but the memory it takes."""
        recipe = self.recipe
        generator = self._generator(step)
        ready = prepare(
            _onto(batch, self.device), self.model.space, recipe.augmentation(), self._generator(step, "cpu")
        )
        count = len(ready.clean)
        noise = torch.randn(ready.clean.shape, generator=generator, device=self.device)
        t = torch.randint(0, diffusion.STEPS, (count,), generator=generator, device=self.device)
        null = torch.rand(count, generator=generator, device=self.device) < recipe.null_audio
        if ready.lead is not None:
            ready = _stilled(ready, torch.rand(count, generator=generator, device=self.device) < recipe.lead_still)
        if recipe.dropout:
            torch.manual_seed(_seed(recipe.seed, step, self.accelerator.process_index))
        self.net.train()
        total = (ready.counts * self.weights).sum().clamp(min=1)
        loss = torch.zeros((), device=self.device)
        for first in range(0, count, self.micro):
            rows = slice(first, first + self.micro)
            with self._syncing(last=first + self.micro >= count):
                error = self._error(ready.part(rows), noise[rows], t[rows], null[rows])
                self.accelerator.backward(error / total)
            loss += error.detach() / total
        norm = torch.zeros(())
        if recipe.clip_norm:
            norm = torch.as_tensor(self.accelerator.clip_grad_norm_(self.net.parameters(), recipe.clip_norm))
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._average(step)
        return loss, norm

    def _error(self, ready: Prepared, noise: Tensor, t: Tensor, null: Tensor, net: nn.Module | None = None) -> Tensor:
        """Weighted sum of squared errors of x0 over the numbers that count."""
        x_t = diffusion.noisy(ready.clean, noise, t, self.bars)
        found = (self.net if net is None else net)(
            x_t, t, ready.audio, ready.reference, null, ready.present, ready.lead
        )
        return diffusion.squared_error(found, ready.clean, ready.counts * self.weights)

    @contextmanager
    def _syncing(self, *, last: bool) -> Iterator[None]:
        """Gradients cross between processes with a step's last micro-batch only."""
        if last or self.accelerator.num_processes == 1:
            yield
        else:
            with self.accelerator.no_sync(self.net):
                yield

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """The moving average of the weights; short at first, so that it does not remember how training began."""
        if self.average is None:
            return
        decay = min(self.recipe.ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.average.net.parameters()), [p.detach() for p in self.model.net.parameters()], 1 - decay
        )

    def _generator(self, step: int, device: str = "") -> torch.Generator:
        """Random numbers of this step and process."""
        made = torch.Generator(device or self.device)
        return made.manual_seed(_seed(self.recipe.seed, step, self.accelerator.process_index))

    @property
    def _best(self) -> AudioToSkeleton:
        """The weights that generate."""
        return self.average or self.model

    def _validate(self, step: int) -> None:
        """The loss on held-out windows with the same noise every time; by the main process, while the others wait."""
        if self.held_out is not None and self.main:
            loss = validation_loss(self._best, self.held_out, self.recipe, self.device, self.micro)
            self._note({"step": step, "validation_loss": loss})
        self.accelerator.wait_for_everyone()

    def _sample(self, step: int) -> None:
        if self.held_out is not None and self.main:
            path = self.folder / SAMPLES / f"{checkpoint.name_of(step)}.mp4"
            try:
                draw_sample(self._best, self.held_out, self.shards, path)
            except (Failure, WriteError, OSError) as error:  # a video is not worth a training
                log.warning("no sample at step %d: %s", step, error)
        self.accelerator.wait_for_everyone()

    def _save(self, step: int) -> None:
        if self.main:
            checkpoint.write(
                self.folder / CHECKPOINTS,
                step,
                self.model,
                self.average,
                self.optimizer,
                {
                    "about": self.about,
                    "schedule": self.schedule.state_dict(),
                    "micro": self.micro,
                    "processes": self.accelerator.num_processes,
                },
                self.recipe.keep_checkpoints,
            )
        self.accelerator.wait_for_everyone()

    def _resume(self) -> int:
        """Load the last whole checkpoint; returns its step, 0 when there is none."""
        found = checkpoint.last_whole(self.folder / CHECKPOINTS)
        if found is None:
            return 0
        path, state = found
        _check_same(state["about"], self.about, self.folder)
        if state["processes"] != self.accelerator.num_processes:
            raise RecipeChanged(
                f"{path} was written by {state['processes']} processes, this run has {self.accelerator.num_processes}: each "
                "draws noise of its own, so go on with as many, or give another --model-name"
            )
        self.kept_micro = int(state["micro"])
        checkpoint.restore(path, self.model, self.average, self.optimizer)
        self.schedule.load_state_dict(state["schedule"])
        for group, rate in zip(self.optimizer.param_groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = rate
        self.say(f"going on from step {state['step']:,}")
        return int(state["step"])

    def _start(self) -> None:
        """Leave word of what this run is made from, and drop what was noted after the step that it goes on from."""
        if not self.main:
            return
        files.write_text(self.folder / ABOUT, json.dumps(self.about, indent=1, sort_keys=True) + "\n")
        path = self.folder / METRICS
        if path.is_file():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= self.first]
            files.write_text(path, "".join(f"{line}\n" for line in kept))
        # The settings as TensorBoard takes them.
        plain = {name: str(value) for name, value in self.recipe.result_settings().items()}
        self.accelerator.init_trackers("tensorboard", plain)
        millions = sum(p.numel() for p in self.model.net.parameters()) / 1e6
        self.say(
            f"{self.recipe.arch} {self.recipe.size}, {millions:.1f} M parameters, on {self.data.index['hours']:.2f} h "
            f"({len(self.data)} clips, {self.data.audio_of}, cache {self.data.bytes / 2**20:.0f} MiB); "
            f"{self.recipe.steps - self.first:,} steps of {self.recipe.batch} windows, {self.micro} at a time"
        )

    def _note(self, values: dict[str, Any]) -> None:
        """A line of `metrics.jsonl`, and the same numbers to TensorBoard."""
        if not self.main:
            return
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        numbers = {name: value for name, value in values.items() if name != "step"}
        self.accelerator.log(numbers, step=values["step"])

    def _probe(self) -> int:
        """How many windows fit at a time: by the memory that one asks for; on a GPU then by trying."""
        recipe = self.recipe
        settings = recipe.net()
        with torch.random.fork_rng(devices=[]):
            rough = even(self.share, _windows_that_fit(self._trial, self.device))
        if self.device.type != "cuda":
            return rough

        @find_executable_batch_size(starting_batch_size=rough)
        def largest(batch_size: int) -> int:
            self._trial(batch_size)
            return batch_size

        found = even(self.share, int(largest()))
        self.optimizer.zero_grad(set_to_none=True)
        log.info("micro-batch %d of %d windows of %d frames", found, self.share, settings.window_frames)
        return found

    def _trial(self, count: int, net: nn.Module | None = None) -> None:
        """Forwards and backwards through `count` windows of nothing."""
        settings, shape = self.recipe.net(), (count, self.recipe.window_frames)
        clean = torch.zeros(*shape, settings.channels, device=self.device)
        lead = torch.zeros(count, settings.lead_frames, settings.channels, device=self.device)
        ready = Prepared(
            clean,
            torch.ones_like(clean, dtype=torch.bool),
            torch.zeros(*shape, self.data.audio.shape[1], device=self.device, dtype=torch.float16),
            clean[:, 0],
            torch.ones(shape, dtype=torch.bool, device=self.device),
            lead if settings.lead_frames else None,
        )
        t = torch.zeros(count, dtype=torch.long, device=self.device)
        # Not through the wrapped network: how often this is tried is each process's own affair.
        self.model.net.train()
        self._error(ready, torch.zeros_like(clean), t, t.bool(), self.model.net if net is None else net).backward()
        self.optimizer.zero_grad(set_to_none=True)


class _Losses:
    """Gathers losses and notes their mean every so often, without waiting for the device in between."""

    def __init__(self, run: _Run, first: int) -> None:
        self.run, self.losses, self.norms = run, [], []  # type: tuple[_Run, list[Tensor], list[Tensor]]
        self.since, self.step = time.monotonic(), first

    def add(self, step: int, loss: Tensor, norm: Tensor, progress: Progress) -> None:
        self.losses.append(loss)
        self.norms.append(norm)
        if step % self.run.recipe.log_every == 0 or step == self.run.recipe.steps:
            mean = self.run.accelerator.reduce(torch.stack(self.losses).mean(), "mean").item()
            now = time.monotonic()
            if not math.isfinite(mean):
                raise TrainingError(
                    f"the loss is {mean} at step {step}: lower learning_rate, or set clip_norm; the last checkpoint is safe"
                )
            rate = (step - self.step) / max(1e-9, now - self.since)
            self.run._note(
                {
                    "step": step,
                    "loss": mean,
                    "learning_rate": self.run.schedule.get_last_lr()[0],
                    "gradient_norm": torch.stack([n.float().cpu() for n in self.norms]).mean().item(),
                    "steps_per_second": rate,
                }
            )
            progress.note = f"loss {mean:.4f}"
            self.losses, self.norms, self.since, self.step = [], [], now, step
        progress.advance("steps")


class _Asked:
    """Ctrl-C and SIGTERM end a run after the step at hand, with a checkpoint; a second one at once."""

    def __init__(self) -> None:
        self.yes = False
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "_Asked":
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.yes:
            raise KeyboardInterrupt
        self.yes = True


@torch.inference_mode()
def validation_loss(model: AudioToSkeleton, held_out: Cache, recipe: Recipe, device: torch.device, micro: int) -> float:
    """Masked MSE in z-scores over the first windows of a split, each at one time step and noise of its own, always the same."""
    count = min(len(held_out), recipe.validation_windows)
    windows = Windows(held_out, recipe.window_frames, recipe.net().lead_frames, recipe.seed, still=True)
    bars, model = diffusion.alpha_bars().to(device), model
    model.net.eval()
    error = total = 0.0
    for first in range(0, count, micro):
        numbers = list(range(first, min(count, first + micro)))
        ready = prepare(_onto(windows.__getitems__(numbers), device), model.space)
        drawn = [torch.Generator().manual_seed(_seed(recipe.seed, 1 << 40, number)) for number in numbers]
        noise = torch.stack([torch.randn(ready.clean.shape[1:], generator=each) for each in drawn]).to(device)
        t = torch.tensor([37 * number % diffusion.STEPS for number in numbers], device=device)
        x_t = diffusion.noisy(ready.clean, noise, t, bars)
        found = model.net(x_t, t, ready.audio.float(), ready.reference, None, ready.present, ready.lead)
        error += diffusion.squared_error(found, ready.clean, ready.counts).item()
        total += ready.counts.sum().item()
    return error / max(1.0, total)


def new_model(recipe: Recipe, data: Cache) -> AudioToSkeleton:
    """An untrained model whose space is that of the data."""
    model = AudioToSkeleton.new(recipe.net(), data.audio_of)
    found = data.statistics
    mean, std = (found.picture_mean, found.picture_std) if model.space.picture else (found.mean, found.std)
    model.space.fill(mean, std, found.neck_std, found.seen, np.stack([found.shoulders, found.neck_x, found.neck_y]))
    return model


def about(recipe: Recipe, data: Cache, held_out: Cache | None) -> dict[str, Any]:
    """What a run is made from: settings, the shards' hashes, versions."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("csg405", "torch", "accelerate", "diffusers", "numpy", "safetensors"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    described = {
        cache.index["split"]: {
            name: cache.index[name] for name in ("shards", "clips", "hours", "left_out_without_features", "min_score")
        }
        for cache in (data, held_out)
        if cache is not None
    }
    return {
        "settings": recipe.result_settings(),
        "data": described,
        "audio_features_of": data.audio_of,
        "versions": versions,
    }


def _check_same(then: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """RecipeChanged when a run would go on with other settings or data; it may be made longer."""
    old, new = then["settings"], now["settings"]
    changed = [
        f"{name} was {old.get(name)!r}, now {new.get(name)!r}"
        for name in sorted({*old, *new} - _MAY_CHANGE)
        if old.get(name) != new.get(name)
    ]
    if then["data"].get("train") != now["data"].get("train"):
        changed.append("the shards are other ones")
    if changed:
        raise RecipeChanged(
            f"{folder} holds a run that is not this one: {'; '.join(changed)}. Give this one a name of its own (--model-name "
            "NAME), or delete that folder"
        )


def _accelerator(recipe: Recipe, folder: Path, device: str) -> Accelerator:
    on_gpu = device == "cuda" and torch.cuda.is_available()
    precision = {"auto": "bf16" if on_gpu else "no", "fp32": "no", "bf16": "bf16"}[recipe.precision]
    compiled = recipe.compile == "on" or (recipe.compile == "auto" and on_gpu)
    if on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = True
    if compiled:
        torch.compiler.reset()  # of a training before this one in the same process: there is a limit of compilations
    AcceleratorState._reset_state()  # or a second training would be compiled as the first one was
    return Accelerator(
        cpu=not on_gpu,
        mixed_precision=precision,
        log_with="tensorboard",
        project_dir=str(folder),
        dynamo_backend="inductor" if compiled else "no",
        # The others wait while the first one writes the cache, which takes an hour where it is large.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=12))],
    )


def _validation(recipe: Recipe, shards: Path, caches: Path) -> Cache | None:
    """The validation split; None when it is empty."""
    try:
        return open_cache(shards, "validation", caches, recipe.min_score)
    except CacheError as error:
        log.warning("no validation: %s", error)
        return None


def _optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    # Fused: one pass over the weights, also on a processor, where torch's default makes a dozen.
    if recipe.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), recipe.learning_rate, fused=True)
    return torch.optim.AdamW(net.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def _rate(recipe: Recipe) -> Callable[[int], float]:
    """The learning rate's share of its peak at each step."""

    def share(step: int) -> float:
        if step < recipe.warmup_steps:
            return (step + 1) / (recipe.warmup_steps + 1)
        if recipe.schedule == "constant":
            return 1.0
        done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return share


def _stilled(ready: Prepared, still: Tensor) -> Prepared:
    """Some samples' lead is its last frame, repeated: what a generated video begins with."""
    assert ready.lead is not None
    lead = torch.where(still[:, None, None], ready.lead[:, -1:].expand_as(ready.lead), ready.lead)
    return Prepared(ready.clean, ready.counts, ready.audio, ready.reference, ready.present, lead)


def _windows_that_fit(trial: Callable[[int], None], device: torch.device) -> int:
    """By the bytes that autograd keeps of one window more, as many as fill a share of the free memory."""
    import psutil

    def kept(windows: int) -> int:
        found: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            trial(windows)
        return sum(found.values())

    each = kept(2) - kept(1)  # without the weights, which are kept once
    on_gpu = device.type == "cuda"  # which nobody else uses
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    return max(1, int((0.7 if on_gpu else 0.5) * free / max(1, each)))


def even(count: int, most: int) -> int:
    """Windows at a time, at most so many: such that all parts of `count` are alike, where that takes few more parts.

    A part of another size would be compiled once more, and would fill a GPU less.
    """
    fewest = -(-count // min(count, most))
    parts = next((parts for parts in range(fewest, 2 * fewest) if count % parts == 0), fewest)
    return -(-count // parts)


def _onto(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _seed(*numbers: int) -> int:
    """One 63-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62  # a line that a kill cut short
