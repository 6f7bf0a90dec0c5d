"""What a warm start saves: fine-tuning on one planted speaker, from a model of 600 others, against training anew.

python -m tests.bench warm_start

All trainings see the same 60 s of the speaker, and are scored on six other clips of that speaker after every so many steps: limb
lengths against the speaker's own (of the motion as sampled, and smoothed as `generate` does by default: jitter makes limbs longer,
and hides that arms swing too little), the mouth's opening against the planted envelope, and the validation loss. How many steps
does fine-tuning need for what 600 new steps come to, with means and spreads of its start (`tuned`), with the speaker's means and
the spreads of the start (`means`), with both of the speaker's shards (`own`), and with these and the last layer fitted to the
shards before the first step (`fit`)?
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.model.training.metrics import METRICS
from tests.bench.table import Goal, Row, Skipped

OTHERS, WHO = range(600), 900  # speakers
SECONDS_EACH, SECONDS, SCORED_SECONDS = 10.0, 60.0, 70.0
START_STEPS, STEPS, MOST = 2000, 600, 200  # of the start, of a new training, of fine-tuning
SCORED = (25, 50, 100, 150, 200, 300, 400, 500, 600)
COMMON = {
    "size": "tiny", "window_frames": 16, "batch": 8, "learning_rate": 2e-3, "warmup_steps": 50, "ema_decay": 0.98,
    "loss": "parts", "log_every": 50, "validate_every": 25, "sample_every": 0, "checkpoint_every": 200, "milestone_every": 25,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "": {},
    ", own means": {"start_statistics": "means"},
    ", own statistics": {"start_refit": 0, "start_statistics": "shards"},
    ", own statistics, last layer fitted": {"start_statistics": "shards"},
}
HEAD = "   ".join(
    [
        f"{'steps':>5}",
        *(f"{what + ': new':>12}  tuned  means    own    fit" for what in ("limbs, %", "smoothed", "mouth")),
        "loss: new    own    fit",
    ]
)


@dataclass(frozen=True)
class Score:
    """Of a model on clips of the speaker that it has not seen: error in % as sampled and smoothed, correlation, validation loss."""

    limbs: float
    smoothed: float
    mouth: float
    loss: float


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    try:
        from pipeline.theatre import planted
    except ImportError as error:
        raise Skipped(f"needs the extra `train`: {error}") from error
    planted.write(folder / "others" / "shards", {"train": OTHERS}, SECONDS_EACH)
    write_speaker(folder / "one" / "shards")
    start = fit(folder / "others", "start", START_STEPS, schedule="cosine", milestone_every=0)
    new = scores(folder / "one", "new", STEPS)
    tuned = {
        named: scores(folder / "one", f"tuned{number}", MOST, start_from=str(start), **settings)
        for number, (named, settings) in enumerate(ARMS.items())
    }
    print(HEAD)
    for steps, of_new in new.items():
        print(line(steps, of_new, *(found.get(steps) for found in tuned.values())))
    for named, found in tuned.items():
        yield from rows_of(found, new[STEPS], named)


def rows_of(tuned: dict[int, Score], goal: Score, named: str) -> Iterator[Row]:
    """The steps after which fine-tuning is as good as a new training."""
    reaching = {
        "limb error": [steps for steps, found in tuned.items() if found.limbs <= goal.limbs],
        "limb error of the smoothed motion": [
            steps for steps, found in tuned.items() if found.smoothed <= goal.smoothed
        ],
        "mouth to sound": [steps for steps, found in tuned.items() if found.mouth >= goal.mouth],
    }
    if "own statistics" in named:  # losses are of z-scores, and compare by the same means and spreads alone
        reaching["validation loss"] = [steps for steps, found in tuned.items() if found.loss <= goal.loss]
    for what, reached in reaching.items():
        first = float(reached[0]) if reached else float("inf")
        what = f"fine-tuning{named} to the {what} of {STEPS} new steps"
        yield Row(what, "steps", first, float(STEPS), None, Goal("value", MOST))


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


def scores(place: Path, name: str, steps: int, **settings: Any) -> dict[int, Score]:
    """Train on the speaker, and score the weights after each of `SCORED` steps."""
    from pipeline.model.audio_to_skeleton import AudioToSkeleton
    from stages.ablation.scores import score

    folder = fit(place, name, steps, speaker=("s900",), **settings)
    lines = [json.loads(text) for text in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    losses = {each["step"]: each["validation_loss"] for each in lines if "validation_loss" in each}
    found = {}
    for step in (step for step in SCORED if step <= steps):
        model = AudioToSkeleton.load(folder / "milestones" / f"step-{step:09d}.safetensors")
        of = score(model, range(WHO, WHO + 1), seconds_each=SCORED_SECONDS)
        smoothed = score(model, range(WHO, WHO + 1), seconds_each=SCORED_SECONDS, smooth="release")
        found[step] = Score(
            of["limb_error_percent"], smoothed["limb_error_percent"], of["mouth_correlation"], losses[step]
        )
    return found


def line(steps: int, new: Score, *tuned: Score | None) -> str:
    parts = [f"{steps:>5}"]
    for name, width, form, of in (
        ("limbs", 12, ".3f", tuned),
        ("smoothed", 12, ".3f", tuned),
        ("mouth", 12, ".3f", tuned),
        ("loss", 9, ".3f", tuned[-2:]),
    ):
        others = " ".join(f"{'' if each is None else format(getattr(each, name), form):>6}" for each in of)
        parts.append(f"{getattr(new, name):>{width}{form}} {others}")
    return "   ".join(parts)
