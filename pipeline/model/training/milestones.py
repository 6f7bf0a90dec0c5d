"""Weights that stay: a model file every so many steps, and the best by validation; each is what generates, without optimiser."""

import logging
from pathlib import Path
from typing import Any

from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training.checkpoint import name_of
from pipeline.registry.archives import BadModel

log = logging.getLogger(__name__)

MILESTONES = "milestones"
BEST = "best.safetensors"


def keep(model: AudioToSkeleton, folder: Path, step: int) -> Path:
    """Write the milestone of `step` into `folder`; its header says the step."""
    path = folder / f"{name_of(step)}.safetensors"
    _save(model, path, {"step": step})
    return path


class Best:
    """The weights with the lowest validation loss of a run; the file itself holds the record, so that no kill separates them."""

    def __init__(self, folder: Path, of: dict[str, Any], *, anew: bool = False) -> None:
        """`of`: what a validation is over: losses over anything else are not compared. `anew`: the training began just now."""
        self.path, self.of = folder / BEST, of
        self.loss = float("inf")
        if self.path.is_file() and not anew:
            try:
                kept = AudioToSkeleton.load(self.path).trained_on.get("kept", {})
                if kept.get("validated_on") == of:
                    self.loss = float(kept["validation_loss"])
            except (BadModel, KeyError, TypeError, ValueError) as error:
                log.warning("%s does not read, and the next validation writes it anew: %s", self.path, error)

    def offer(self, model: AudioToSkeleton, step: int, loss: float) -> None:
        """Keep these weights if their loss is the lowest."""
        if loss < self.loss:
            record = {"step": step, "validation_loss": loss, "validated_on": self.of}
            _save(model, self.path, record)
            self.loss = loss


def _save(model: AudioToSkeleton, path: Path, kept: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = AudioToSkeleton(model.net, model.space, model.audio_of, {**model.trained_on, "kept": kept})
    named.save(path)
