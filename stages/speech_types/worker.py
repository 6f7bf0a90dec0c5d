"""Asks a language model for a list of speech types."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from stages.speech_types import ask, manifest
from stages.speech_types.lists import rows_of
from stages.speech_types.settings import SpeechTypesSettings


class Asker:
    """Gathers the run's list from a language model; what was gathered is kept."""

    def __init__(self, settings: SpeechTypesSettings, context: Context) -> None:
        self._settings, self._run = settings, context.run

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the rows of `types`. Raises Failure where the model's server or a limit stops it."""
        asking = asking_of(self._settings)
        gathered = ask.gather(asking, ask.manifest_path(self._run, asking))
        gathered.types = gathered.types[: self._settings.count]
        yield from rows_of(self._settings, gathered)


def asking_of(settings: SpeechTypesSettings) -> ask.Asking:
    """What the settings ask a language model for."""
    return ask.Asking(
        languages=settings.asked_languages,
        **settings.model_dump(include={field.name for field in fields(ask.Asking)} - {"languages"}),
    )


def cost_line(settings: SpeechTypesSettings, run: Path) -> str:
    """What asking has cost so far, in one line; "" where no list has been asked for, or it cannot be read."""
    asking = asking_of(settings)
    path = ask.manifest_path(run, asking)
    if not path.is_file():
        return ""
    try:
        gathered = manifest.read(path, partial=True)
    except manifest.ListError:
        return ""  # the stage has failed on it, and says so
    return f"{ask.cost_line(gathered.header, asking, len(gathered.types))}; kept in {path}"


open_worker = Asker
