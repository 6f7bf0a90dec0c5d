"""Lists of speech types as rows of `types`."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.base.units import Row
from pipeline.engine.unit import Unit
from stages.speech_types import manifest
from stages.speech_types.manifest import ListError, Manifest
from stages.speech_types.settings import SHIPPED, SpeechTypesSettings


class ListReader:
    """Makes the rows of a list that is there."""

    def __init__(self, settings: SpeechTypesSettings) -> None:
        self._settings = settings

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the rows of `types`. Raises ListError."""
        yield from rows_of(self._settings, read_source(self._settings))


def read_source(settings: SpeechTypesSettings) -> Manifest:
    """Read the list that the settings name. Raises ListError."""
    return manifest.read(manifest.shipped() if settings.source == SHIPPED else Path(settings.source))


def rows_of(settings: SpeechTypesSettings, listed: Manifest) -> list[Row]:
    """Rows of `types`. Raises ListError where an entry lacks a language that was asked for."""
    header, rows = listed.header, []
    for number, one in enumerate(listed.types, 1):
        languages = settings.languages or tuple(one.keywords)
        if lacking := [code for code in languages if code not in one.keywords]:
            where = (
                "the shipped list"
                if settings.source == SHIPPED
                else f"{settings.source}: entry {number} ({one.name!r})"
            )
            raise ListError(
                f"{where} has search phrases in {', '.join(one.keywords)}, and none in {', '.join(lacking)}: set "
                "speech_types.source to openai, or to a list of your own that has them"
            )
        rows.append(
            {
                "speech_type": one.name,
                "group": one.group,
                "register": one.manner,
                "share_percent": one.share_percent,
                "languages": list(languages),
                "keywords": [one.keywords[code] for code in languages],
                "origin": header.model or (SHIPPED if settings.source == SHIPPED else Path(settings.source).name),
                "prompt_sha256": header.prompt_sha256,
                "date": one.date or header.date,
            }
        )
    return rows
