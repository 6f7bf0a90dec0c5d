"""`csg405 import-model`: the authors' weights as a model of ours."""

from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.base import files, install
from pipeline.cli.faults import Fault
from pipeline.engine.runner import importable
from pipeline.tables.takedowns import beside, models_listed, read

_NEEDED = ("torch", "safetensors")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import-model")
@click.argument("checkpoint", type=_FILE)
@click.option("--mean", required=True, type=_FILE, help="Their .npy of means, beside their data.")
@click.option("--std", required=True, type=_FILE, help="Their .npy of standard deviations.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Model to write, .safetensors."
)
@click.option(
    "--size",
    type=click.Choice(["tiny", "base", "large"]),
    default="large",
    show_default=True,
    help="Of the network: large is the published one.",
)
@click.option(
    "--takedowns",
    "ledgers",
    multiple=True,
    type=_FILE,
    help="Ledger of takedowns, beside the one that lies with CHECKPOINT.",
)
def import_model(checkpoint: Path, mean: Path, std: Path, out: Path, size: str, ledgers: Sequence[Path]) -> None:
    """Make a model for `generate` and `evaluate` of the authors' published audio-to-skeleton checkpoint.

    CHECKPOINT is a .pth as their scripts save it. Only weights are read, nothing is unpickled that could run code, and every name,
    shape and type must be their network's: what is not is refused by name. Voices are then heard as in their scripts, by
    wav2vec 2.0 (`csg405 models fetch wav2vec2`). A checkpoint that a takedowns.jsonl names as trained on a work that was taken down
    is refused.
    """
    if missing := [name for name in _NEEDED if not importable(name)]:
        raise Fault(f"import-model needs {', '.join(missing)}: {install.with_extra('train')}")
    from pipeline.model import dit, release_weights  # torch

    if out.suffix != ".safetensors":
        raise click.BadParameter(f"{out}: the name of a model ends in .safetensors", param_hint="--out")
    files.check_writable(out.parent)
    _refuse_taken_down(checkpoint, [beside(checkpoint), beside(out.parent), *ledgers])
    model = release_weights.import_model(checkpoint, mean, std, size)
    model.save(out)
    click.echo(f"{dit.parameters_of(model.net):,} parameters of {checkpoint.name}, audio features {model.audio_of}")
    click.echo(f"wrote {out}: use it with --model {out}")


def _refuse_taken_down(checkpoint: Path, ledgers: Sequence[Path]) -> None:
    """Raise Fault for a model that a ledger names, TakedownError for a ledger that does not read."""
    for ledger in dict.fromkeys(ledgers):
        if found := models_listed(checkpoint, read(ledger).values()):
            days = ", ".join(sorted({one.date for one in found}))
            raise Fault(
                f"{checkpoint} was trained on {len(found):,} works that were taken down ({days}, by {ledger}): get a model "
                "that was trained without them"
            )
