"""Writes shards as StableAnimator's fine-tuning data, for the rows with a dagger in the paper's table 2."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.engine.program import Program
from pipeline.engine.settings import runtime

if TYPE_CHECKING:
    from pipeline.engine.session import Session

FOLDER = "finetuning"


class Finetune(Program):
    """Clips of the shards -> pictures, drawn poses, face masks and a list, as StableAnimator's training reads them.

    Whole clips or none: the same command goes on. What it prints at last is the command that fine-tunes, to be run in
    StableAnimator's checkout; the weights that it makes go to `generate` and `evaluate` as
    `--backend-weights "{unet_model_name_or_path = 'PATH', posenet_model_name_or_path = 'PATH',
    face_encoder_model_name_or_path = 'PATH'}"`.
    """

    name: ClassVar[str] = "finetune"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "write the shards as StableAnimator's fine-tuning data"

    shards: str = Field("", description="folder of shards; the run's by default", json_schema_extra=runtime())
    out: str = Field(
        "", description="of the data; `finetuning/stableanimator` in the run by default", json_schema_extra=runtime()
    )
    splits: tuple[Literal["train", "validation", "test"], ...] = Field(("train",), description="of the shards")
    limit: int = Field(0, ge=0, description="as many clips at most; 0 takes all: a clip of 10 s has about 60 MB")

    def run(self, session: "Session") -> None:
        import click

        from pipeline.backends.finetune import write_layout
        from pipeline.model.generation.inputs import BadInput

        shards = Path(self.shards) if self.shards else session.run / "shards"
        out = Path(self.out) if self.out else session.run / FOLDER / "stableanimator"
        try:
            made = write_layout(shards, session.run, out, self.splits, self.limit)
        except ValueError as error:
            raise BadInput(str(error)) from error
        for clip, why in made.skipped.items():
            click.echo(f"left out: {clip}: {why}", err=True)
        click.echo(f"{made.clips} clips in {made.folder}, {made.made} of them new; in StableAnimator's checkout:")
        click.echo(made.command)


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("finetune")
