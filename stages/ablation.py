"""What reference, concatenation and local coordinates are worth: table 3 of the paper on planted truth instead of film."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from pipeline.engine.program import Program
from pipeline.engine.settings import runtime

if TYPE_CHECKING:
    from pipeline.engine.session import Session
    from pipeline.model.audio_to_skeleton import AudioToSkeleton
    from pipeline.model.training.recipe import Recipe

VARIANTS = {
    "full": "",
    "without reference": "reference",
    "cross-attention": "concat",
    "without local": "local",
}
_SCORES = ("mouth_correlation", "limb_error_percent", "validation_loss")


class Ablation(Program):
    """Trains each variant on the same planted pairs, with several seeds, and scores it on speakers that none has seen.

    Synchrony is the correlation of the generated mouth's opening with the planted envelope of the sound; identity is how far the
    generated limbs' lengths are from those of the reference.
    """

    name: ClassVar[str] = "ablation"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "table 3 on planted skeletons and sound"
    extra: ClassVar[str] = "train"
    modules: ClassVar[tuple[str, ...]] = ("torch", "accelerate", "diffusers", "safetensors", "tensorboard")

    variants: tuple[str, ...] = Field(tuple(VARIANTS), description=f"of {', '.join(VARIANTS)}")
    seeds: int = Field(3, ge=1, description="trainings of each variant")
    size: str = Field("tiny", pattern="^(tiny|base|large)$", description="as train.size; base asks for a GPU")
    steps: int = Field(3000, ge=1, description="of each training")
    batch: int = Field(32, ge=1, description="windows a step")
    window_frames: int = Field(16, ge=8, description="frames a window, at 25 fps")
    learning_rate: float = Field(3e-3, gt=0, description="its peak")
    speakers: int = Field(600, ge=2, description="speakers that are trained on")
    seconds_each: float = Field(12.0, ge=5, description="of each speaker, seconds")
    held_out: int = Field(10, ge=1, description="other speakers, that the scores are taken of")
    guidance: float = Field(1.0, ge=0, description="classifier-free guidance scale of the scored motion")
    folder: str = Field("", description="of the table; `ablation` in the run by default", json_schema_extra=runtime())

    def run(self, session: "Session") -> None:
        import click

        from pipeline.base import files
        from pipeline.engine.devices import torch_device
        from pipeline.model.training.loop import train
        from pipeline.theatre import planted

        unknown = set(self.variants) - set(VARIANTS)
        if unknown:
            raise click.UsageError(
                f"no variant is called {', '.join(sorted(unknown))}: there are {', '.join(VARIANTS)}"
            )
        folder = Path(self.folder) if self.folder else session.run / "ablation"
        shards, device = folder / "shards", torch_device(session.profile)
        if not (shards / "_index.json").is_file():
            hours = planted.write(shards, self.splits(), self.seconds_each)
            click.echo(f"planted {', '.join(f'{split} {value:.2f} h' for split, value in hours.items())}")
        found = []
        for variant in self.variants:
            for seed in range(self.seeds):
                place = folder / f"{variant.replace(' ', '-')}-{self.size}-{seed}"
                last = train(self.recipe(variant, seed), shards, place, folder / "cache", device, say=click.echo)
                found.append({"variant": variant, "seed": seed, **self._scored(last, place, device)})
                click.echo(f"{variant}, seed {seed}: {_words(found[-1])}")
                files.write_text(
                    folder / "ablation.json", json.dumps({"settings": self.model_dump(), "rows": found}, indent=1)
                )
        text = table(found)
        files.write_text(folder / "ablation.md", text)
        click.echo(text)

    def splits(self) -> dict[str, range]:
        """Speakers of each split; nobody is in two."""
        last = self.speakers + self.held_out
        return {
            "train": range(self.speakers),
            "validation": range(self.speakers, last),
            "test": range(last, last + self.held_out),
        }

    def recipe(self, variant: str, seed: int) -> "Recipe":
        """How a variant is trained."""
        from pipeline.model.training.recipe import Recipe

        return Recipe(
            ablate=VARIANTS[variant],
            seed=seed,
            size=self.size,
            steps=self.steps,
            batch=self.batch,
            window_frames=self.window_frames,
            learning_rate=self.learning_rate,
            warmup_steps=min(100, self.steps // 10),
            schedule="cosine",
            weight_decay=0.0,
            ema_decay=0.995,
            loss="parts",  # the face's 68 points would otherwise leave little of a step to the arms, whose lengths are scored
            validate_every=self.steps,
            sample_every=0,
            checkpoint_every=self.steps,
        )

    def _scored(self, last: Path, place: Path, device: str) -> dict[str, float]:
        from pipeline.model.audio_to_skeleton import AudioToSkeleton
        from pipeline.model.training.checkpoint import weights_of

        model = AudioToSkeleton.load(weights_of(last), device)
        lines = (place / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [row["validation_loss"] for row in map(json.loads, lines) if "validation_loss" in row]
        return {**score(model, self.splits()["test"], self.guidance), "validation_loss": losses[-1]}


def score(
    model: "AudioToSkeleton", speakers: range, guidance: float = 1.0, seconds_each: float = 24.0
) -> dict[str, float]:
    """Synchrony and identity on speakers that were not trained on.

    Each is led by the first frame of a clip of theirs, and moved by the sound of their other clips (DDIM, 20 steps).

    Returns:
        mouth_correlation: of the generated mouth's opening with the planted envelope, mean over clips.
        limb_error_percent: of the generated limbs' median lengths to the speaker's, mean over limbs and clips; each limb's own
        as `<limb>_error_percent`.
    """
    from pipeline.model.audio_to_skeleton import Reference
    from pipeline.nets.sound.wav2vec import logmel
    from pipeline.skeleton.local import from_local
    from pipeline.theatre import planted

    correlations: list[float] = []
    errors: dict[str, list[float]] = {}
    for first, others in _by_speaker(speakers, seconds_each):
        who, points = planted.speaker(first.speaker), first.pair.keypoints
        reference = Reference.of(points[0], np.isfinite(points[0]).all(-1).astype(float))
        truth = {"upper arm": who.upper_arm, "forearm": who.forearm, "shoulders": who.shoulders}
        for other in others:
            features = logmel(other.pair.wave, len(other.pair.envelope))
            made = model.generate(features, reference, guidance=guidance, sampler="ddim", overlap=8, seed=other.clip)
            keypoints = from_local(made.local, made.neck)
            correlations.append(float(np.corrcoef(planted.mouth_opening(keypoints), other.pair.envelope)[0, 1]))
            for limb, length in planted.limb_lengths(keypoints).items():
                errors.setdefault(limb, []).append(100 * abs(length / truth[limb] - 1))
    each = {f"{limb.replace(' ', '_')}_error_percent": float(np.mean(values)) for limb, values in errors.items()}
    return {
        "mouth_correlation": float(np.mean(correlations)),
        "limb_error_percent": float(np.mean(list(each.values()))),
        **each,
    }


def _by_speaker(speakers: range, seconds_each: float) -> Iterator[tuple[Any, list[Any]]]:
    """The first pair of each speaker, and the others; other pairs than those of the shards."""
    from pipeline.theatre import planted

    for number in speakers:
        found = list(planted.clips(range(number, number + 1), seconds_each, seed=1))
        yield found[0], found[1:] or found


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: mean and spread (standard deviation over seeds) of each score, a variant a row."""
    lines = [
        "| variant | seeds | mouth to envelope, correlation | limb lengths, error % | validation loss |",
        "|---|---|---|---|---|",
    ]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        cells = [_mean([row[name] for row in mine]) for name in _SCORES]
        lines.append(f"| {variant} | {len(mine)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1 if len(values) > 1 else 0):.3f}"


def _words(row: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {row[name]:.3f}" for name in _SCORES)


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("ablation")
