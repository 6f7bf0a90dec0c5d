"""Speech types: what to search for. The shipped list, a list of one's own, or what a language model names."""

from typing import TYPE_CHECKING, ClassVar

import click

from pipeline.base.errors import StageError
from pipeline.engine.stage import ALL, Context, Resources, Stage, Work
from pipeline.tables.outcome import FAILED
from stages.speech_types.lists import ListReader, read_source, rows_of
from stages.speech_types.prompt import prompt_sha256
from stages.speech_types.settings import OPENAI, SpeechTypesSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class SpeechTypes(SpeechTypesSettings, Stage):
    """The speech types of the run, with group, register and search phrases.

    `openai` takes its server and key from OPENAI_BASE_URL and OPENAI_API_KEY; neither is written down anywhere.
    """

    name: ClassVar[str] = "speech_types"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "what to search for: speech types with search phrases in several languages"
    writes: ClassVar[str] = "types"
    extra: ClassVar[str] = "types"
    resources: ClassVar[Resources] = Resources(seconds=4 * 3600, memory_gb=2.0, one_worker=True)

    def needed_modules(self) -> tuple[str, ...]:
        """The package `openai`, where a language model is asked."""
        return ("openai",) if self.source == OPENAI else ()

    def depends(self, store: "Store") -> str:
        """What the list says, or what a model is asked. Raises ListError where the list cannot be used."""
        if self.source == OPENAI:
            return prompt_sha256(self.asked_languages)
        return "\n".join(map(str, rows_of(self, read_source(self))))

    def worker(self, context: Context) -> Work:
        if self.source != OPENAI:
            return ListReader(self)
        return super().worker(context)

    def finish(self, context: Context, store: "Store") -> None:
        """Say what asking has cost. Raises StageError when it failed: nothing after it has anything to search for."""
        if self.source == OPENAI:
            from stages.speech_types.worker import cost_line

            if line := cost_line(self, context.run):
                click.echo(line, err=True)
        for outcome in store.outcomes(self.writes).to_pylist():
            if outcome["unit"] == ALL and outcome["status"] == FAILED:
                raise StageError(f"{self.name}: {outcome['detail']}")
