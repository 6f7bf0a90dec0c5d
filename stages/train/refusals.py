"""What was taken down is not trained on, and models that were trained on it are named."""

from pathlib import Path

import click

from pipeline.model.training import TrainingError
from pipeline.shards.read import open_shards
from pipeline.tables import people, takedowns, trained


def refuse_taken_down(run: Path, shards: Path, start: Path | None) -> None:
    """Read the ledgers of takedowns of the run and of the shards, and name the models that saw what they list.

    Args:
        run: the run's folder.
        shards: their folder; its own ledger lies in it, or beside it.
        start: the model that the training starts from, if any.

    Raises:
        TrainingError: the shards hold a work that was taken down. TakedownError: a ledger does not read.
    """
    ledgers = dict.fromkeys((run / takedowns.LEDGER, shards / takedowns.LEDGER, shards.parent / takedowns.LEDGER))
    taken = {mark: one for path in ledgers for mark, one in takedowns.read(path).items()}
    if not taken:
        return
    marks = frozenset(taken)
    for folder in trained.that_saw(run, marks):
        then = "train another one without them, then delete it and every copy"
        click.echo(f"warning: {folder} was trained on works that were taken down: {then}", err=True)
    if start is not None and (people.behind(start) & marks or takedowns.models_listed(start, taken.values())):
        click.echo(
            f"warning: {start} was trained on works that were taken down, and so is what starts from it", err=True
        )
    if shards.is_dir():
        held = {
            row["video_id"] for row in open_shards(shards).rows(("video_id",)) if people.mark(row["video_id"]) in marks
        }
        if held:
            raise TrainingError(
                f"{shards} holds {len(held):,} works that were taken down: in a run `csg405 takedown` takes them out; of shards "
                "from elsewhere get a version without them"
            )
