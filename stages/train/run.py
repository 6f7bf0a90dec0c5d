"""Trains the model of a run."""

import os
from functools import partial
from pathlib import Path

import click

from pipeline.base.log import logged
from pipeline.engine.devices import torch_device
from pipeline.engine.runs import check_is_run
from pipeline.engine.session import Session
from pipeline.model.training.checkpoint import model_of
from pipeline.model.training.loop import train
from pipeline.shards.read import open_shards
from pipeline.storage import storage_of
from pipeline.tables import people
from stages.train.refusals import refuse_taken_down
from stages.train.settings import TrainSettings

FOLDER = "training"


def run(settings: TrainSettings, session: Session) -> None:
    """Train, or go on training; the model ends up in `training/<model_name>`."""
    shards = Path(settings.shards) if settings.shards else storage_of(session.run).folder("shards")
    if not settings.shards and not shards.is_dir():
        check_is_run(session.run)
    started = model_of(settings.start_from, session.run / FOLDER, "train.start_from") if settings.start_from else None
    refuse_taken_down(session.run, shards, started)
    caches = Path(settings.cache) if settings.cache else session.run / "cache"
    if not people.inside(session.run, caches):
        rows = open_shards(shards).rows(("video_id",))
        people.note(session.run, caches, [row["video_id"] for row in rows], more=True)
    folder = session.run / FOLDER / settings.model_name
    if started:
        settings = settings.model_copy(update={"start_from": str(started)})
    say = _nothing if _is_another() else click.echo  # of several processes one speaks
    with logged(session.run, settings.name, partial(say, err=True)):
        last = train(settings, shards, folder, caches, torch_device(session.profile), say=say)
    say(f"model: {last}")


def _is_another() -> bool:
    """Whether a launcher such as torchrun started this process as another than the first; one variable alone was left over."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(os.environ.get("RANK", "0")) > 0


def _nothing(_: object, *, err: bool = False) -> None:
    """What a process says that another one says already."""
