"""Trains the variants, scores them and writes the table."""

import json
from pathlib import Path

import click

from pipeline.base import files
from pipeline.engine.devices import torch_device
from pipeline.engine.session import Session
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training.checkpoint import weights_of
from pipeline.model.training.loop import train
from pipeline.model.training.recipe import Recipe
from pipeline.theatre import planted
from stages.ablation.scores import score, table, words
from stages.ablation.settings import VARIANTS, AblationSettings


def run(settings: AblationSettings, session: Session) -> None:
    """Write `ablation.json` after each training, and `ablation.md` at the end."""
    unknown = set(settings.variants) - set(VARIANTS)
    if unknown:
        raise click.UsageError(f"no variant is called {', '.join(sorted(unknown))}: there are {', '.join(VARIANTS)}")
    folder = Path(settings.folder) if settings.folder else session.run / "ablation"
    shards, device = folder / "shards", torch_device(session.profile)
    if not (shards / "_index.json").is_file():
        hours = planted.write(shards, splits(settings), settings.seconds_each)
        click.echo(f"planted {', '.join(f'{split} {value:.2f} h' for split, value in hours.items())}")
    rows = []
    for variant in settings.variants:
        for seed in range(settings.seeds):
            place = folder / f"{variant.replace(' ', '-')}-{settings.size}-{seed}"
            last = train(recipe(settings, variant, seed), shards, place, folder / "cache", device, say=click.echo)
            rows.append({"variant": variant, "seed": seed, **_scored(settings, last, place, device)})
            click.echo(f"{variant}, seed {seed}: {words(rows[-1])}")
            text = json.dumps({"settings": settings.model_dump(), "rows": rows}, indent=1)
            files.write_text(folder / "ablation.json", text)
    text = table(rows)
    files.write_text(folder / "ablation.md", text)
    click.echo(text)


def splits(settings: AblationSettings) -> dict[str, range]:
    """Speakers of each split; none is in two."""
    last = settings.speakers + settings.held_out
    return {
        "train": range(settings.speakers),
        "validation": range(settings.speakers, last),
        "test": range(last, last + settings.held_out),
    }


def recipe(settings: AblationSettings, variant: str, seed: int) -> Recipe:
    """How a variant is trained."""
    return Recipe(
        ablate=VARIANTS[variant],
        seed=seed,
        size=settings.size,
        steps=settings.steps,
        batch=settings.batch,
        window_frames=settings.window_frames,
        learning_rate=settings.learning_rate,
        warmup_steps=min(100, settings.steps // 10),
        schedule="cosine",
        weight_decay=0.0,
        ema_decay=0.995,
        loss="parts",  # the face's 68 points would otherwise leave little of a step to the arms, whose lengths are scored
        validate_every=settings.steps,
        sample_every=0,
        checkpoint_every=settings.steps,
    )


def _scored(settings: AblationSettings, last: Path, place: Path, device: str) -> dict[str, float]:
    model = AudioToSkeleton.load(weights_of(last), device)
    lines = (place / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [row["validation_loss"] for row in map(json.loads, lines) if "validation_loss" in row]
    return {**score(model, splits(settings)["test"], settings.guidance), "validation_loss": losses[-1]}
