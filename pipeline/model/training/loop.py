"""The training loop, to be read from top to bottom: shards in, checkpoints out.

A step is a function of the recipe, the shards and its number alone: batches, noise, time steps and dropped audio are drawn from
the seed and that number. So a run killed at any step and restarted gives the losses of an undisturbed one.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.interrupt import Interrupt
from pipeline.base.progress import Progress
from pipeline.base.reasons import Failure
from pipeline.media.writer import WriteError
from pipeline.model import diffusion
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training import TrainingError, checkpoint
from pipeline.model.training.batch import Prepared, loss_weights, prepare, with_still_lead
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.metrics import Metrics, non_finite
from pipeline.model.training.micro_batch import blank, micro_batch
from pipeline.model.training.provenance import TRAINED_ON, RecipeChanged, check_same, provenance
from pipeline.model.training.recipe import Recipe
from pipeline.model.training.samples import draw_sample
from pipeline.model.training.setup import accelerator_of, new_model, optimizer_of, rate_of
from pipeline.model.training.validation import held_out_split, validation_loss
from pipeline.model.training.windows import Batch, Steps, Windows, loader, onto, seed_of
from pipeline.tables import people
from pipeline.tables.lock import driving

log = logging.getLogger(__name__)

CHECKPOINTS, SAMPLES = "checkpoints", "samples"


def train(
    recipe: Recipe, shards: Path, folder: Path, caches: Path, device: str = "cpu", *, say: Callable[[str], None] = print
) -> Path:
    """Train, or resume training; returns the path of the last checkpoint.

    Args:
        recipe: all settings.
        shards: folder of the shards; splits train and validation are read.
        folder: of this training: `checkpoints`, `samples`, `metrics.jsonl`, `trained_on.json`, TensorBoard's events.
        caches: where the memory-mapped caches of shards are kept.
        device: "cpu" or "cuda".
        say: receives lines for the user.

    Raises:
        RecipeChanged: the folder holds a run with another recipe or other shards.
        CacheError, ShardError, BadModel, pipeline.tables.lock.Occupied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = accelerator_of(recipe, folder, device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it a GPU refuses to be deterministic
    torch.use_deterministic_algorithms(recipe.deterministic)
    if recipe.batch < accelerator.num_processes:
        raise TrainingError(f"a batch of {recipe.batch} windows is too small for {accelerator.num_processes} processes")
    main = accelerator.is_main_process
    said = say if main else lambda _: None
    with accelerator.main_process_first():
        data = open_cache(shards, "train", caches, recipe.min_score, say=said)
        held_out = held_out_split(recipe, shards, caches, say=said)
    with driving(folder, "train") if main else nullcontext(), Interrupt() as interrupt:
        return _Run(recipe, folder, accelerator, data, held_out, shards, interrupt, said).train()


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
        interrupt: Interrupt,
        say: Callable[[str], None],
    ) -> None:
        self.recipe, self.folder, self.accelerator = recipe, folder, accelerator
        self.data, self.held_out = data, held_out
        self.shards, self.interrupt, self.say = shards, interrupt, say
        self.device, self.main = accelerator.device, accelerator.is_main_process
        self.about = provenance(recipe, data, held_out)
        torch.manual_seed(recipe.seed)
        self.model = new_model(recipe, data).to(self.device)
        self.average = new_model(recipe, data).to(self.device) if recipe.ema_decay else None
        for model in (self.model, self.average):
            if model is not None:
                model.trained_on = self.about
        self.optimizer = optimizer_of(recipe, self.model.net)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate_of(recipe))
        self.bars = diffusion.alpha_bars().to(self.device)
        self.weights = loss_weights(recipe.loss, self.model.space).to(self.device)
        self.kept_micro = 0
        self.first = self._resume()
        if self.average is not None and not self.first:
            self.average.net.load_state_dict(self.model.net.state_dict())
        self.net: nn.Module = accelerator.prepare_model(self.model.net)
        self.share = -(-recipe.batch // accelerator.num_processes)
        # A resumed run keeps its micro-batch: another size would round differently, and draw other dropout masks.
        self.micro = (
            recipe.micro_batch
            or self.kept_micro
            or micro_batch(self.share, self._trial, self.device, recipe.window_frames)
        )
        self.metrics = Metrics(folder, recipe, accelerator, self.first)

    def train(self) -> Path:
        recipe = self.recipe
        self._start()
        windows = Windows(self.data, recipe.window_frames, recipe.net().lead_frames, recipe.seed)
        steps = Steps(
            self.first, recipe.steps, recipe.batch, self.accelerator.process_index, self.accelerator.num_processes
        )
        readers = recipe.readers if recipe.readers >= 0 else (4 if self.device.type == "cuda" else 0)
        step = self.first
        with Progress("train", recipe.steps - self.first) as progress:
            for step, batch in enumerate(
                loader(windows, steps, readers, pin=self.device.type == "cuda"), self.first + 1
            ):
                loss, norm = self._step(step, batch)
                self.metrics.add(step, loss, norm, float(self.schedule.get_last_lr()[0]), progress)
                stop = self._stopping()
                last = step == recipe.steps
                if step % recipe.checkpoint_every == 0 or last or stop:
                    self._save(step)  # before validation and samples, which may fail
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
        """Whether any process was asked to stop: all must stop after the same step, or they would deadlock."""
        if self.accelerator.num_processes == 1:
            return self.interrupt.asked
        if self.interrupt.asked:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _step(self, step: int, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Take one optimiser step on this process's share of the batch; the micro-batch only affects memory.

        Returns:
            the loss, and the gradient's norm if clipping is on.
        """
        recipe = self.recipe
        generator = self._generator(step)
        ready = prepare(
            onto(batch, self.device),
            self.model.space,
            recipe.augmentation(),
            self._generator(step, "cpu"),
            keep_unsure=recipe.as_released,
        )
        count = len(ready.clean)
        noise = torch.randn(ready.clean.shape, generator=generator, device=self.device)
        t = torch.randint(0, diffusion.STEPS, (count,), generator=generator, device=self.device)
        null = torch.rand(count, generator=generator, device=self.device) < recipe.null_audio
        if ready.lead is not None:
            ready = with_still_lead(
                ready, torch.rand(count, generator=generator, device=self.device) < recipe.lead_still
            )
        if recipe.dropout:
            torch.manual_seed(seed_of(recipe.seed, step, self.accelerator.process_index))
        self.net.train()
        total = count if recipe.as_released else (ready.counts * self.weights).sum().clamp(min=1)
        loss = torch.zeros((), device=self.device)
        for first in range(0, count, self.micro):
            rows = slice(first, first + self.micro)
            with self._syncing(last=first + self.micro >= count):
                error = self._error(ready.part(rows), noise[rows], t[rows], null[rows])
                self.accelerator.backward(error / total)
            loss += error.detach() / total
        norm = None
        if recipe.clip_norm:
            norm = torch.as_tensor(self.accelerator.clip_grad_norm_(self.net.parameters(), recipe.clip_norm))
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._average(step)
        return loss, norm

    def _error(self, ready: Prepared, noise: Tensor, t: Tensor, null: Tensor, net: nn.Module | None = None) -> Tensor:
        """Weighted sum of squared errors of x0 over the unmasked values; for the release, the sum of the samples' means."""
        x_t = diffusion.noisy(ready.clean, noise, t, self.bars)
        predicted = (self.net if net is None else net)(
            x_t, t, ready.audio, ready.reference, null, ready.present, ready.lead
        )
        weights = ready.counts * self.weights
        if self.recipe.as_released:
            weights = diffusion.mean_by_sample(weights)
        error = diffusion.squared_error(predicted, ready.clean, weights)
        if self.recipe.velocity_loss:
            error = error + self.recipe.velocity_loss * diffusion.velocity_error(predicted, ready.clean, weights)
        return error

    @contextmanager
    def _syncing(self, *, last: bool) -> Iterator[None]:
        """Synchronise gradients between processes only in a step's last micro-batch."""
        if last or self.accelerator.num_processes == 1:
            yield
        else:
            with self.accelerator.no_sync(self.net):
                yield

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Update the moving average of the weights; its decay starts low, so that it forgets the random initialisation."""
        if self.average is None:
            return
        decay = min(self.recipe.ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.average.net.parameters()), [p.detach() for p in self.model.net.parameters()], 1 - decay
        )

    def _generator(self, step: int, device: str = "") -> torch.Generator:
        """A generator seeded by this step and process."""
        made = torch.Generator(device or self.device)
        return made.manual_seed(seed_of(self.recipe.seed, step, self.accelerator.process_index))

    @property
    def _best(self) -> AudioToSkeleton:
        """The weights to generate with: the moving average where there is one."""
        return self.average or self.model

    def _validate(self, step: int) -> None:
        """Note the validation loss, always with the same noise; in the main process, while the others wait."""
        if self.held_out is not None and self.main:
            loss = validation_loss(self._best, self.held_out, self.recipe, self.device, self.micro)
            self.metrics.note({"step": step, "validation_loss": loss})
        self.accelerator.wait_for_everyone()

    def _sample(self, step: int) -> None:
        if self.held_out is not None and self.main:
            path = self.folder / SAMPLES / f"{checkpoint.name_of(step)}.mp4"
            try:
                with people.noting(self.folder, [path], self.held_out.videos[:1]):
                    draw_sample(self._best, self.held_out, self.shards, path)
            except (Failure, WriteError, OSError) as error:  # a failed sample must not end the training
                log.warning("no sample at step %d: %s", step, error)
        self.accelerator.wait_for_everyone()

    def _save(self, step: int) -> None:
        # All processes hold the same weights, so all of them raise. The loss is only checked when it is logged, maybe later.
        if not all(bool(torch.isfinite(weights).all()) for weights in self.model.net.parameters()):
            raise non_finite("weights are not finite", step)
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
        """Load the last complete checkpoint; returns its step, 0 when there is none."""
        last = checkpoint.last_whole(self.folder / CHECKPOINTS)
        if last is None:
            return 0
        path, state = last
        check_same(state["about"], self.about, self.folder)
        if state["processes"] != self.accelerator.num_processes:
            raise RecipeChanged(
                f"{path} was written by {state['processes']} processes, this run has {self.accelerator.num_processes}: each "
                "draws its own noise, so resume with as many, or give another --model-name"
            )
        self.kept_micro = int(state["micro"])
        checkpoint.restore(path, self.model, self.average, self.optimizer)
        self.schedule.load_state_dict(state["schedule"])
        for group, rate in zip(self.optimizer.param_groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = rate
        self.say(f"resuming from step {state['step']:,}")
        return int(state["step"])

    def _start(self) -> None:
        """Write down this run's provenance, and drop metrics noted after the step it resumes from."""
        if not self.main:
            return
        seen = [video for cache in (self.data, self.held_out) if cache is not None for video in cache.videos]
        people.note(self.folder, self.folder / CHECKPOINTS, seen, more=True)
        files.write_text(self.folder / TRAINED_ON, json.dumps(self.about, indent=1, sort_keys=True) + "\n")
        self.metrics.begin()
        millions = sum(p.numel() for p in self.model.net.parameters()) / 1e6
        self.say(
            f"{self.recipe.arch} {self.recipe.size}, {millions:.1f} M parameters, on {self.data.index['hours']:.2f} h "
            f"({len(self.data)} clips, {self.data.audio_of}, cache {self.data.bytes / 2**20:.0f} MiB); "
            f"{self.recipe.steps - self.first:,} steps of {self.recipe.batch} windows, {self.micro} at a time"
        )

    def _trial(self, count: int, net: nn.Module | None = None) -> None:
        """Run forward and backward on `count` blank windows."""
        ready = blank(count, self.recipe, self.data.audio.shape[1], self.device)
        t = torch.zeros(count, dtype=torch.long, device=self.device)
        # Not through the wrapped network, which would synchronise: processes may need different numbers of trials.
        self.model.net.train()
        self._error(
            ready, torch.zeros_like(ready.clean), t, t.bool(), self.model.net if net is None else net
        ).backward()
        self.optimizer.zero_grad(set_to_none=True)
