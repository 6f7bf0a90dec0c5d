"""The training loop, to be read from top to bottom: shards in, checkpoints out.

A step is a function of the recipe, the shards and its number alone: batches, noise, time steps and dropped audio are drawn from
the seed and the numbers of the step's windows. So a run killed at any step and restarted gives the losses of an undisturbed one,
on any number of processes.
"""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.interrupt import Interrupt
from pipeline.base.progress import Progress
from pipeline.base.reasons import Failure
from pipeline.base.version import version_of
from pipeline.media.writer import WriteError
from pipeline.model import diffusion
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training import TrainingError, checkpoint
from pipeline.model.training.adapters import merged
from pipeline.model.training.batch import Prepared, loss_weights
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.draws import SCHEME, drawn
from pipeline.model.training.metrics import Metrics
from pipeline.model.training.micro_batch import blank, micro_batch
from pipeline.model.training.milestones import MILESTONES, Best, keep
from pipeline.model.training.provenance import TRAINED_ON, RecipeChanged, changes, provenance, resumed
from pipeline.model.training.recipe import Recipe
from pipeline.model.training.refit import batches_of, refit
from pipeline.model.training.samples import Generated, draw_sample
from pipeline.model.training.setup import accelerator_of, all_alive, new_model, optimizer_of, rate_of, shorten_timeout
from pipeline.model.training.skips import NotFinite, Skips, not_finite
from pipeline.model.training.start import STARTED_FROM, CannotStart, adapt, begin, check_begun, freeze
from pipeline.model.training.validation import held_out_split, validation_losses
from pipeline.model.training.windows import Batch, Steps, Windows, loader, numbers_of, seed_of
from pipeline.shards.format import ShardError
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
    alive = partial(all_alive, accelerator.num_processes, recipe.process_timeout_minutes)
    with alive(), accelerator.main_process_first():
        data = open_cache(shards, "train", caches, recipe.min_score, recipe.speaker, say=said)
        held_out = held_out_split(recipe, shards, caches, say=said)
    with driving(folder, "train") if main else nullcontext(), alive(), Interrupt() as interrupt:
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
        self.about = provenance(recipe, data, held_out, accelerator.num_processes)
        torch.manual_seed(recipe.seed)
        self.model = new_model(recipe, data).to(self.device)
        self.average = new_model(recipe, data).to(self.device) if recipe.ema_decay else None
        self.frozen = self._freeze()
        self.optimizer = optimizer_of(recipe, self.model.net)
        self.rate = rate_of(recipe)
        self.skips = Skips(recipe.skip_in_a_row, 1 if self.device.type == "cuda" else 0, self._not_finite)
        self.bars = diffusion.alpha_bars().to(self.device)
        self.kept_micro = 0
        self.due = False  # a checkpoint that was put off while steps were skipped
        self.first = self._resume()
        self.weights = loss_weights(recipe.loss, self.model.space).to(self.device)  # of the space that was restored
        for model in (self.model, self.average):
            if model is not None:
                model.trained_on = self.about
        self.net: nn.Module = accelerator.prepare_model(self.model.net)
        self.share = -(-recipe.batch // accelerator.num_processes)
        # A resumed run keeps its micro-batch: another size would round differently, and draw other dropout masks.
        self.micro = (
            recipe.micro_batch
            or self.kept_micro
            or micro_batch(self.share, self._trial, self.device, recipe.window_frames)
        )
        self.metrics = Metrics(folder, recipe, accelerator, self.first, say)
        of = {"windows": recipe.validation_windows, "shards": self.about["data"].get("validation")}
        self.best = Best(folder / MILESTONES, of, anew=self.first == 0)
        self.generated = None if held_out is None else Generated(held_out, shards, recipe.generate_clips)

    def train(self) -> Path:
        recipe = self.recipe
        self._start()
        windows = Windows(self.data, recipe.window_frames, recipe.net().lead_frames, recipe.seed)
        steps = Steps(
            self.first, recipe.steps, recipe.batch, self.accelerator.process_index, self.accelerator.num_processes
        )
        readers = recipe.readers if recipe.readers >= 0 else (4 if self.device.type == "cuda" else 0)
        step = self.first
        # Of several processes one shows how far they are.
        with Progress("train", len(steps), None if self.main else io.StringIO()) as progress:
            for step, batch in enumerate(
                loader(windows, steps, readers, pin=self.device.type == "cuda"), self.first + 1
            ):
                loss, norm = self._step(step, batch)
                if step == self.first + 1:
                    shorten_timeout(recipe.process_timeout_minutes)
                self.metrics.add(step, loss, norm, recipe.learning_rate * self.rate(step), progress)
                stop = self._stopping()
                self._keep(step, stop=stop)
                if stop:
                    break
        self.accelerator.end_training()
        if self.skips.total:
            self.say(f"{self.skips.total:,} of {step:,} steps were skipped: their gradients were not finite")
        if step < recipe.steps:
            raise KeyboardInterrupt
        return self.folder / CHECKPOINTS / checkpoint.name_of(step)

    def _keep(self, step: int, *, stop: bool) -> None:
        """Write and measure what is due after `step`."""
        recipe, last = self.recipe, step == self.recipe.steps
        self.due |= step % recipe.checkpoint_every == 0
        # While steps are skipped the weights may be what makes them fail, and a run that goes on must not start from those.
        skipping = bool(self.skips.state()["in_a_row"])
        held = stop and not (skipping and checkpoint.listed(self.folder / CHECKPOINTS))
        if last or held or (self.due and not skipping):
            self._save(step)  # before validation and samples, which may fail
        if recipe.milestone_every and step % recipe.milestone_every == 0:
            if self.main:
                keep(self._best, self.folder / MILESTONES, step)
            self.accelerator.wait_for_everyone()
        if step % recipe.validate_every == 0 or last:
            self._validate(step)
        if recipe.generate_every and (step % recipe.generate_every == 0 or last):
            self._measure(step)
        if recipe.sample_every and (step % recipe.sample_every == 0 or last):
            self._sample(step)

    def _not_finite(self, what: str) -> NotFinite:
        there = checkpoint.listed(self.folder / CHECKPOINTS)
        halves = self.accelerator.mixed_precision != "no"
        return not_finite(what, self.recipe, there[-1] if there else None, halves=halves)

    def _stopping(self) -> bool:
        """Whether any process was asked to stop: all must stop after the same step, or they would deadlock."""
        if self.accelerator.num_processes == 1:
            return self.interrupt.asked
        if self.interrupt.asked:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _step(self, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take one optimiser step on this process's share of the batch; the micro-batch only affects memory.

        A step whose gradient is not finite changes neither weights nor the optimiser's state.

        Returns:
            the loss, NaN for a step that was skipped, and the gradient's norm.

        Raises:
            NotFinite: too many steps in a row were skipped.
        """
        ready, noise, t, null = self._drawn(step, batch)
        if self.recipe.dropout:
            torch.manual_seed(seed_of(self.recipe.seed, step, self.accelerator.process_index))
        self.net.train()
        count, total = len(ready.clean), self._total(ready)
        loss = torch.zeros((), device=self.device)
        for first in range(0, count, self.micro):
            rows = slice(first, first + self.micro)
            with self._syncing(last=first + self.micro >= count):
                error = self._error(ready.part(rows), noise[rows], t[rows], null[rows])
                self.accelerator.backward(error / total)
            loss += error.detach() / total
        norm = self._gradient_norm()
        bad = ~torch.isfinite(norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self.rate(step - 1)
        # As torch's GradScaler tells a fused optimiser to leave everything as it is.
        self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._average(step)
        self.skips.note(step, bad)
        return torch.where(bad, torch.nan, loss), norm

    def _drawn(self, step: int, batch: Batch) -> tuple[Prepared, Tensor, Tensor, Tensor]:
        """A batch on the device with what is random of it: noise, t, and whose audio is null."""
        recipe, processes = self.recipe, self.accelerator
        numbers = numbers_of(step - 1, recipe.batch, processes.process_index, processes.num_processes)
        return drawn(recipe, self.model.space, batch, numbers, self.device)

    def _total(self, ready: Prepared) -> Tensor:
        """What errors are divided by, so that the mean of the processes' gradients is the gradient of the whole batch's loss."""
        if self.recipe.as_released:
            return torch.full((), self.recipe.batch / self.accelerator.num_processes, device=self.device)
        share = (ready.counts * self.weights).sum()
        return torch.as_tensor(self.accelerator.reduce(share, "mean")).clamp(min=1)

    def _gradient_norm(self) -> Tensor:
        """The gradient's norm, before it is clipped where clipping is on."""
        weights = list(self.net.parameters())
        if self.recipe.clip_norm:
            return torch.as_tensor(self.accelerator.clip_grad_norm_(weights, self.recipe.clip_norm))
        return torch.nn.utils.get_total_norm(each.grad for each in weights if each.grad is not None)

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
        averaged, now = (
            [each.detach() for each in model.net.parameters() if each.requires_grad]
            for model in (self.average, self.model)
        )
        torch._foreach_lerp_(averaged, now, 1 - decay)

    @property
    def _best(self) -> AudioToSkeleton:
        """The weights to generate with, without adapters: the moving average where there is one."""
        return merged(self.average or self.model)

    def _validate(self, step: int) -> None:
        """Note the validation loss, always with the same noise; in the main process, while the others wait."""
        if self.held_out is not None and self.main:
            best = self._best
            found = validation_losses(best, self.held_out, self.recipe, self.device, self.micro)
            self.metrics.note({"step": step, **found})
            self.best.offer(best, step, found["validation_loss"])
        self.accelerator.wait_for_everyone()

    def _measure(self, step: int) -> None:
        """Note measures of generated validation clips; in the main process, while the others wait."""
        if self.generated is not None and self.main:
            try:
                self.metrics.note({"step": step, **self.generated.measures(self._best)})
            except (Failure, ShardError, OSError) as error:  # the sound may be gone; that must not end the training
                log.warning("generated clips were not measured at step %d: %s", step, error)
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
            raise self._not_finite(f"weights are not finite at step {step:,}")
        skipped = self.skips.state()
        if skipped["total"]:
            self.about["skipped_steps"] = skipped["total"]
        if self.main:
            self._write_about()
            checkpoint.write(
                self.folder / CHECKPOINTS,
                step,
                self.model,
                self.average,
                self.optimizer,
                {
                    "about": self.about,
                    "micro": self.micro,
                    "noise": SCHEME,
                    "skipped": skipped,
                    "processes": self.accelerator.num_processes,
                },
                self.recipe.keep_checkpoints,
            )
        self.due = False
        self.accelerator.wait_for_everyone()

    def _resume(self) -> int:
        """Load the last complete checkpoint; returns its step, 0 when there is none."""
        last = checkpoint.last_whole(self.folder / CHECKPOINTS)
        if last is None:
            if self.recipe.start_from:
                self._begin()
            self._begin_average()
            return 0
        path, state = last
        if state.get("noise") != SCHEME:
            raise RecipeChanged(
                f"{path} was written by a csg405 whose noise was drawn by process; this one draws it by window, which would be "
                "another run: let that csg405 finish it, or start another training from its weights: "
                f"train.start_from={path} train.model_name=NAME"
            )
        check_begun(state["about"], self.recipe, self.folder)
        self.about |= resumed(state["about"], self.about, state["step"], self.folder)
        if state["about"]["settings"].get("precision") == self.recipe.precision:  # else other sizes fit into memory
            self.kept_micro = int(state["micro"])
        self.skips.restore(state["skipped"])
        begins = self.average is not None and not state["about"]["settings"]["ema_decay"]  # it was switched on just now
        checkpoint.restore(path, self.model, None if begins else self.average, self.optimizer)
        if begins:
            self._begin_average()
        self.say(f"resuming from step {state['step']:,}{changes(state['about'], self.about)}")
        if state["step"] > self.recipe.steps:
            self.say(f"steps={self.recipe.steps:,} are fewer than it has made: nothing is trained")
        return int(state["step"])

    def _begin(self) -> None:
        """Take weights and statistics of the start, and fit its last layer to the shards."""
        recipe = self.recipe
        self.about[STARTED_FROM] = begin(self.model, recipe)
        self.say(f"starting from {recipe.start_from}, with the statistics of the {recipe.start_statistics}")
        if batches := batches_of(recipe, self.model.net):
            found = refit(self.model, self.data, recipe, batches)
            self.about[STARTED_FROM]["refit"] = found
            self.say(
                f"its last layer was fitted to {batches * recipe.batch:,} windows of these shards: squared error "
                f"{found['error_before']:.3f} before, {found['error_after']:.3f} after (train.start_refit=0 leaves it as it is)"
            )

    def _begin_average(self) -> None:
        """Let the moving average begin with the weights of this moment."""
        if self.average is not None:
            self.average.net.load_state_dict(self.model.net.state_dict())
            self.average.space.load_state_dict(self.model.space.state_dict())

    def _freeze(self) -> int:
        """Freeze what the recipe says, and add its adapters; returns how many numbers stay."""
        recipe = self.recipe
        named = "lora_rank" if recipe.lora_rank else "freeze" if recipe.freeze else ""
        if not named and recipe.start_refit <= 0:
            return 0
        if recipe.freeze and recipe.lora_rank:
            raise CannotStart("train.lora_rank trains adapters alone, so train.freeze has no meaning: leave one out")
        if not recipe.start_from and not checkpoint.listed(self.folder / CHECKPOINTS):
            what = f"{named} keeps weights" if named else "start_refit fits the last layer"
            raise CannotStart(f"train.{what} of a model: name it with train.start_from=MODEL")
        if not named:
            return 0
        nets = [each.net for each in (self.model, self.average) if each is not None]
        for net in nets:
            if recipe.lora_rank:
                self.about["lora"] = {"layers": adapt(net, recipe), "peft": version_of("peft")}
            else:
                freeze(net, recipe.freeze)
        return sum(weights.numel() for weights in nets[0].parameters() if not weights.requires_grad)

    def _write_about(self) -> None:
        files.write_text(self.folder / TRAINED_ON, json.dumps(self.about, indent=1, sort_keys=True) + "\n")

    def _start(self) -> None:
        """Write down this run's provenance, and drop metrics noted after the step it resumes from."""
        if not self.main:
            return
        seen = [video for cache in (self.data, self.held_out) if cache is not None for video in cache.videos]
        before = people.behind(Path(self.recipe.start_from).expanduser()) if self.recipe.start_from else frozenset()
        for name in (CHECKPOINTS, MILESTONES):
            people.note(self.folder, self.folder / name, seen, more=True, marks=before)
        self._write_about()
        self.metrics.begin()
        millions = sum(p.numel() for p in self.model.net.parameters()) / 1e6
        frozen = f" ({self.frozen / 1e6:.1f} M of them frozen)" if self.frozen else ""
        self.say(
            f"{self.recipe.arch} {self.recipe.size}, {millions:.1f} M parameters{frozen}, on {self.data.index['hours']:.2f} h "
            f"({len(self.data)} clips, {self.data.audio_of}, cache {self.data.bytes / 2**20:.0f} MiB); "
            f"{max(0, self.recipe.steps - self.first):,} steps of {self.recipe.batch} windows, {self.micro} at a time"
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
