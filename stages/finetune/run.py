"""Writes StableAnimator's fine-tuning data of a run."""

from pathlib import Path

import click

from pipeline.backends.finetune import write_layout
from pipeline.engine.session import Session
from pipeline.model.generation.inputs import BadInput
from pipeline.storage import storage_of
from stages.finetune.settings import FinetuneSettings

FOLDER = "finetuning"


def run(settings: FinetuneSettings, session: Session) -> None:
    """Write the data, and print the command that fine-tunes. Raises BadInput where the shards do not do."""
    shards = Path(settings.shards) if settings.shards else storage_of(session.run).folder("shards")
    out = Path(settings.out) if settings.out else session.run / FOLDER / "stableanimator"
    try:
        made = write_layout(shards, session.run, out, settings.splits, settings.limit)
    except ValueError as error:
        raise BadInput(str(error)) from error
    for clip, why in made.skipped.items():
        click.echo(f"left out: {clip}: {why}", err=True)
    click.echo(f"{made.clips} clips in {made.folder}, {made.made} of them new; in StableAnimator's checkout:")
    click.echo(made.command)
