"""What a warm start saves: fine-tuning on one planted speaker, from a model of 600 others, against training anew.

python -m tests.bench warm_start

All trainings see the same 60 s of the speaker, and are scored on three other clips of that speaker: limb lengths against the
speaker's own, and the mouth's opening against the planted envelope. Every score is the mean over three references (single frames,
whose noise of half a pixel a model may take for the speaker) and three seeds: one seed and one reference differ by more than what
is compared. How many steps does fine-tuning need (`train.start_from`, `train.start_statistics="shards"`, which fits the last layer
before the first step) for what 600 new steps come to?
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.table import Goal, Row, Skipped

OTHERS, WHO = range(600), 900  # speakers
SECONDS_EACH, SECONDS, SCORED_SECONDS = 10.0, 60.0, 40.0
START_STEPS, STEPS, MOST = 10_000, 600, 200  # of the start, of a new training, of fine-tuning
TUNED = (25, 50, 100, 150, 200)
REFERENCES, SEEDS = (0, 60, 140), (0, 1, 2)  # frames of a clip, and seeds of trainings
COMMON = {
    "size": "tiny", "window_frames": 16, "batch": 8, "learning_rate": 2e-3, "warmup_steps": 50, "ema_decay": 0.98,
    "loss": "parts", "log_every": 50, "validate_every": 1000, "sample_every": 0, "checkpoint_every": 1000, "milestone_every": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Score:
    """Of models on clips of the speaker that they have not seen: error of limbs, %, a seed each, and correlation of the mouth."""

    limbs: tuple[float, ...]
    mouth: tuple[float, ...]

    def __str__(self) -> str:
        each = "  ".join(f"{limbs:.3f}" for limbs in self.limbs)
        return f"{np.mean(self.limbs):>7.3f}   ({each})   {np.mean(self.mouth):>7.3f}"


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    try:
        from pipeline.theatre import planted
    except ImportError as error:
        raise Skipped(f"needs the extra `train`: {error}") from error
    planted.write(folder / "others" / "shards", {"train": OTHERS}, SECONDS_EACH)
    write_speaker(folder / "one" / "shards")
    start = fit(folder / "others", "start", START_STEPS, schedule="cosine")
    print(f"{'':<34}   limbs, error %, mean (seeds)        mouth to sound")
    new = scores(folder / "one", "new", STEPS, "new")
    scores(folder / "one", "new-200", MOST, "new")
    tuned = {
        steps: scores(
            folder / "one", f"tuned-{steps}", steps, "tuned", start_from=str(start), start_statistics="shards"
        )
        for steps in TUNED
    }
    for what, reached in (
        ("limb error", [steps for steps, found in tuned.items() if np.mean(found.limbs) <= np.mean(new.limbs)]),
        ("mouth to sound", [steps for steps, found in tuned.items() if np.mean(found.mouth) >= np.mean(new.mouth)]),
    ):
        first = float(reached[0]) if reached else float("inf")
        yield Row(
            f"fine-tuning to the {what} of {STEPS} new steps", "steps", first, float(STEPS), None, Goal("value", MOST)
        )


def write_speaker(folder: Path) -> None:
    """Shards of one speaker, whose clips are in training and validation, each named in the column `speaker`."""
    from pipeline.theatre import planted
    from tests.pipeline.model.training.small import write_shards

    def rows(seconds: float, seed: int) -> list[dict[str, Any]]:
        return [{**planted.row(each), "speaker": "s900"} for each in planted.clips(range(WHO, WHO + 1), seconds, seed)]

    write_shards(folder, {"train": rows(SECONDS, 0), "validation": rows(SECONDS / 3, 2)})


def fit(place: Path, name: str, steps: int, **settings: Any) -> Path:
    """Train; returns the folder of the training."""
    from pipeline.model.training.loop import train
    from pipeline.model.training.recipe import Recipe

    train(Recipe(**{**COMMON, "steps": steps, **settings}), place / "shards", place / name, place / "cache")
    return place / name


def scores(place: Path, name: str, steps: int, named: str, **settings: Any) -> Score:
    """Train on the speaker with each seed, and score what would generate; prints a line."""
    found = [_score(fit(place, f"{name}-{seed}", steps, speaker=("s900",), seed=seed, **settings)) for seed in SEEDS]
    score = Score(tuple(limbs for limbs, _ in found), tuple(mouth for _, mouth in found))
    print(f"{named + f', {steps} steps':<34}{score}", flush=True)
    return score


def _score(training: Path) -> tuple[float, float]:
    """Limb error, %, and correlation of the mouth, means over the references; sampled as the paper does, 100 steps."""
    from pipeline.model.audio_to_skeleton import AudioToSkeleton
    from pipeline.model.training.checkpoint import weights_of
    from stages.ablation.scores import score

    model, who = AudioToSkeleton.load(weights_of(training)), range(WHO, WHO + 1)
    each = [score(model, who, 1.0, SCORED_SECONDS, sampler="ancestral", frame=frame) for frame in REFERENCES]
    limbs, mouth = (float(np.mean([of[name] for of in each])) for name in ("limb_error_percent", "mouth_correlation"))
    return limbs, mouth
