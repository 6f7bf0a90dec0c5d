"""What speech_types can be told."""

import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pipeline.engine.settings import Settings, runtime

SHIPPED, OPENAI = "shipped", "openai"
ASKED_LANGUAGES = ("en", "zh", "es")


class SpeechTypesSettings(Settings):
    """Where the list comes from, and what asking a language model for one may take."""

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

    @property
    def asked_languages(self) -> tuple[str, ...]:
        """The languages that a model is asked for."""
        return self.languages or ASKED_LANGUAGES
