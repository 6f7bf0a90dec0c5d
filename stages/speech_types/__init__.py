"""Speech types: what to search for. The shipped list, a list of one's own, or what a language model names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr, field_validator

from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import ALL, Context, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.tables.store import Store
    from stages.speech_types.ask import Asking
    from stages.speech_types.manifest import Manifest

SHIPPED, OPENAI = "shipped", "openai"
ASKED_LANGUAGES = ("en", "zh", "es")


class SpeechTypes(Stage):
    """The speech types of the run, with group, register and search phrases.

    `openai` takes its server and key from OPENAI_BASE_URL and OPENAI_API_KEY; neither is written down anywhere.
    """

    name: ClassVar[str] = "speech_types"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "what to search for: speech types with search phrases in several languages"
    writes: ClassVar[str] = "types"
    resources: ClassVar[Resources] = Resources(seconds=4 * 3600, memory_gb=2.0, one_worker=True)

    source: str = Field(
        SHIPPED, description="`shipped`: the paper's types; a list as a TOML file; or `openai`: ask a language model"
    )
    languages: tuple[str, ...] = Field(
        (), max_length=50, description="to search in; empty: all of the list; for openai en, zh and es"
    )
    count: int = Field(71, ge=1, le=2000, description="distinct types that openai is asked for")
    model: str = Field(
        "gpt-4o", min_length=1, max_length=200, description="that openai is asked for; others do as well"
    )
    merge_similarity: float = Field(
        87.0,
        ge=50,
        le=100,
        description="names at least so alike, 0-100, are one type; the paper's two closest are at 83.7",
    )
    types_per_request: int = Field(20, ge=1, le=200, description="asked for at a time", json_schema_extra=runtime())
    max_requests: int = Field(
        40, ge=1, description="requests that a list may take, all runs together", json_schema_extra=runtime()
    )
    max_cost_usd: float = Field(
        1.0, ge=0, description="that a list may cost, all runs together, US dollars", json_schema_extra=runtime()
    )
    input_usd_per_million: float = Field(
        2.5, ge=0, description="price of 10^6 tokens read, US dollars; gpt-4o's", json_schema_extra=runtime()
    )
    output_usd_per_million: float = Field(
        10.0, ge=0, description="price of 10^6 tokens written, US dollars; gpt-4o's", json_schema_extra=runtime()
    )
    max_answer_tokens: int = Field(8000, ge=100, description="length of an answer, tokens", json_schema_extra=runtime())
    timeout_seconds: float = Field(
        120.0, gt=0, description="silence after which a request is given up, seconds", json_schema_extra=runtime()
    )
    retries: int = Field(
        4, ge=0, le=20, description="tries after 429, 5xx and broken connections", json_schema_extra=runtime()
    )

    _context: Context = PrivateAttr()

    @field_validator("source")
    @classmethod
    def _absolute(cls, source: str) -> str:
        if not source.strip():
            raise ValueError("expected `shipped`, `openai`, or the path of a list")
        word = source.strip().lower()
        return word if word in (SHIPPED, OPENAI) else str(Path(source).expanduser().absolute())

    @field_validator("languages", mode="before")
    @classmethod
    def _split(cls, languages: Any) -> Any:
        return languages.replace(",", " ").split() if isinstance(languages, str) else languages

    @field_validator("languages")
    @classmethod
    def _codes(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        for code in languages:
            if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", code):
                raise ValueError("expected language codes such as en, zh or pt-BR")
        return tuple(dict.fromkeys(languages))

    def result_settings(self) -> dict[str, Any]:
        """The settings that count for this source: what a list says is in `depends`, where it lies changes nothing."""
        if self.source == OPENAI:
            return super().result_settings()
        return {"source": Path(self.source).name, "languages": list(self.languages)}

    def depends(self, store: "Store") -> str:
        """What the list says, or what a model is asked. Raises ListError where the list cannot be used."""
        if self.source == OPENAI:
            from stages.speech_types.prompt import prompt_sha256

            return prompt_sha256(self._asking().languages)
        return "\n".join(map(str, self._rows(self._listed())))

    def setup(self, context: Context) -> None:
        self._context = context

    def process(self, unit: Unit) -> Iterator[Row]:
        if self.source != OPENAI:
            yield from self._rows(self._listed())
            return
        from stages.speech_types import ask

        asking = self._asking()
        gathered = ask.gather(asking, ask.manifest_path(self._context.run, asking))
        gathered.types = gathered.types[: self.count]
        yield from self._rows(gathered)

    def finish(self, context: Context, store: "Store") -> None:
        """Say what asking has cost. Raises StageError when it failed: nothing after it has anything to search for."""
        import click

        from pipeline.base.errors import StageError
        from pipeline.tables.outcome import FAILED

        if self.source == OPENAI and (line := self._cost(context.run)):
            click.echo(line, err=True)
        for outcome in store.outcomes(self.writes).to_pylist():
            if outcome["unit"] == ALL and outcome["status"] == FAILED:
                raise StageError(f"{self.name}: {outcome['detail']}")

    def _cost(self, run: Path) -> str:
        from stages.speech_types import ask, manifest

        path = ask.manifest_path(run, self._asking())
        if not path.is_file():
            return ""
        try:
            found = manifest.read(path, partial=True)
        except manifest.ListError:
            return ""  # the stage has failed on it, and says so
        return f"{ask.cost_line(found.header, self._asking(), len(found.types))}; kept in {path}"

    def _listed(self) -> "Manifest":
        from stages.speech_types import manifest

        return manifest.read(manifest.shipped() if self.source == SHIPPED else Path(self.source))

    def _asking(self) -> "Asking":
        from stages.speech_types.ask import Asking

        return Asking(
            model=self.model,
            languages=self.languages or ASKED_LANGUAGES,
            count=self.count,
            merge_similarity=self.merge_similarity,
            types_per_request=self.types_per_request,
            max_requests=self.max_requests,
            max_cost_usd=self.max_cost_usd,
            input_usd_per_million=self.input_usd_per_million,
            output_usd_per_million=self.output_usd_per_million,
            max_answer_tokens=self.max_answer_tokens,
            timeout_seconds=self.timeout_seconds,
            retries=self.retries,
        )

    def _rows(self, listed: "Manifest") -> list[Row]:
        """Rows of `types`. Raises ListError where an entry lacks a language that was asked for."""
        from stages.speech_types.manifest import ListError

        header, rows = listed.header, []
        for number, one in enumerate(listed.types, 1):
            languages = self.languages or tuple(one.keywords)
            if lacking := [code for code in languages if code not in one.keywords]:
                where = (
                    "the shipped list" if self.source == SHIPPED else f"{self.source}: entry {number} ({one.name!r})"
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
                    "origin": header.model or (SHIPPED if self.source == SHIPPED else Path(self.source).name),
                    "prompt_sha256": header.prompt_sha256,
                    "date": one.date or header.date,
                }
            )
        return rows
