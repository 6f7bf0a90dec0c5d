"""Trains the audio-to-skeleton model on the shards of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pipeline.engine.program import Program
from pipeline.engine.settings import runtime
from pipeline.model.training.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.engine.session import Session

FOLDER = "training"


class Train(Recipe, Program):
    """Shards -> `training/<model_name>`: checkpoints, losses, drawn samples, and what it was trained on.

    The same command goes on from the last whole checkpoint. On several GPUs: `accelerate launch -m stages.train ...`.
    """

    name: ClassVar[str] = "train"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "train the audio-to-skeleton model on the shards, or go on training it"
    extra: ClassVar[str] = "train"
    modules: ClassVar[tuple[str, ...]] = ("torch", "accelerate", "diffusers", "safetensors", "tensorboard")

    shards: str = Field("", description="folder of shards; the run's by default", json_schema_extra=runtime())
    cache: str = Field(
        "", description="folder of memory-mapped caches; `cache` in the run by default", json_schema_extra=runtime()
    )
    model_name: str = Field(
        "model",
        pattern=r"^[A-Za-z0-9][\w.-]*$",
        description="of the folder under `training`",
        json_schema_extra=runtime(),
    )

    def run(self, session: "Session") -> None:
        import click

        from pipeline.base.progress import log_to
        from pipeline.engine.devices import torch_device
        from pipeline.model.training.loop import train
        from pipeline.shards.read import open_shards
        from pipeline.tables import people

        shards = Path(self.shards) if self.shards else session.run / "shards"
        caches = Path(self.cache) if self.cache else session.run / "cache"
        if not people.inside(session.run, caches):
            rows = open_shards(shards).rows(("video_id",))
            people.note(session.run, caches, [row["video_id"] for row in rows], more=True)
        log_to(session.run, self.name)
        last = train(
            self, shards, session.run / FOLDER / self.model_name, caches, torch_device(session.profile), say=click.echo
        )
        click.echo(f"model: {last}")


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("train")
