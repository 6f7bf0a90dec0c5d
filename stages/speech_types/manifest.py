"""A list of speech types as a TOML file: read with every error named by file and entry, and written so that it reads again."""

import json
import re
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pipeline.base import files
from pipeline.base.errors import StageError
from pipeline.base.strict import complaint
from stages.speech_types.names import NAME_CHARACTERS, PHRASE_CHARACTERS, PHRASES, name_of, phrase_of

LANGUAGE = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*"
MAX_BYTES = 16 << 20
MAX_TYPES = 10_000


class ListError(StageError):
    """A list of speech types cannot be used; the message names the file and the entry, and what would be right."""


def _name(text: str) -> str:
    if name_of(text) != text:
        raise ValueError(
            f"expected up to {NAME_CHARACTERS} letters, digits, spaces and & ' . , ( ) / + : -, not {text[:80]!r}"
        )
    return text


def _phrase(text: str) -> str:
    if phrase_of(text) != text:
        raise ValueError(
            f"expected a search phrase of up to {PHRASE_CHARACTERS} characters on one line, not {text[:80]!r}"
        )
    return text


def _language(text: str) -> str:
    if not re.fullmatch(LANGUAGE, text):
        raise ValueError(f"{text[:40]!r} is no language code, such as en, zh or pt-BR")
    return text


Name = Annotated[str, AfterValidator(_name)]
Phrase = Annotated[str, AfterValidator(_phrase)]
Language = Annotated[str, AfterValidator(_language)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]


class SpeechType(BaseModel):
    """One entry: a kind of speech, and what to search for to find it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    name: Name
    group: Name
    manner: Literal["formal", "casual"] = Field(alias="register")  # pydantic's classes have a `register` of their own
    share_percent: float | None = Field(None, ge=0, le=100)
    date: Day | None = None
    keywords: dict[Language, Annotated[list[Phrase], Field(min_length=1, max_length=PHRASES)]] = Field(min_length=1)


class Header(BaseModel):
    """Where a list comes from: all of it optional in a list made by hand."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = Field(None, max_length=200)
    date: Day | None = None
    prompt_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    languages: list[Language] = []
    requests: int = Field(0, ge=0)
    input_tokens: int = Field(0, ge=0)
    output_tokens: int = Field(0, ge=0)
    cost_usd: float = Field(0.0, ge=0)


@dataclass
class Manifest:
    """A list of speech types.

    Attributes:
        header: where it comes from.
        types: the entries in order, names distinct.
    """

    header: Header = field(default_factory=Header)
    types: list[SpeechType] = field(default_factory=list)


def shipped() -> Path:
    """The list that comes with the project."""
    return Path(str(resources.files("manifests").joinpath("speech_types.toml")))


def read(path: Path, *, partial: bool = False) -> Manifest:
    """Read a list; a `partial` one may have no entries yet. Raises ListError."""
    text = _text(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ListError(f"{path}: not a list in TOML: {str(error) or 'nested too deeply'}") from None
    for key in values:
        if key not in ("manifest", "types"):
            raise ListError(f"{path}: unknown key {key!r}: expected [manifest] and [[types]]")
    entries = values.get("types", [])
    if not isinstance(entries, list) or not (entries or partial):
        raise ListError(f"{path}: no entries: expected [[types]] with name, group, register and keywords")
    if len(entries) > MAX_TYPES:
        raise ListError(f"{path}: {len(entries)} entries, more than {MAX_TYPES}")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*types\s*\]\]", line)]
    try:
        header = Header.model_validate(values.get("manifest", {}))
    except ValidationError as error:
        raise ListError(f"{path}: [manifest]: {_first(error)}") from None
    types: dict[str, SpeechType] = {}
    for number, entry in enumerate(entries, 1):
        line = f"line {lines[number - 1]}, " if len(lines) == len(entries) else ""
        where = f"{path}: {line}entry {number}{_called(entry)}"
        try:
            one = SpeechType.model_validate(entry)
        except ValidationError as error:
            raise ListError(f"{where}: {_first(error)}") from None
        if one.name.casefold() in types:
            raise ListError(f"{where}: the name is taken by an entry before it")
        types[one.name.casefold()] = one
    return Manifest(header, list(types.values()))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ListError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which is no list of speech types")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ListError(f"no list of speech types {path}: source is shipped, openai, or the path of a list") from None
    except UnicodeDecodeError as error:
        raise ListError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ListError(f"{path}: {error.strerror}: expected a TOML file") from None


def _called(entry: Any) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return f" ({name[:40]!r})" if isinstance(name, str) and name else ""


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"] if part != "[key]")
    message = {"missing": "missing", "extra_forbidden": "unknown key"}.get(first["type"], complaint(error))
    return ": ".join(part for part in (key, message) if part)


def write(path: Path, manifest: Manifest, comment: str) -> None:
    """Write a list, whole or not at all; `read` gives the same list back."""
    lines = [f"# {comment}", "", "[manifest]", *_pairs(manifest.header.model_dump(exclude_none=True))]
    for one in manifest.types:
        lines += ["", "[[types]]", *_pairs(one.model_dump(by_alias=True, exclude_none=True, exclude={"keywords"}))]
        lines += [f"keywords.{language} = {_toml(phrases)}" for language, phrases in one.keywords.items()]
    files.write_text(path, "\n".join(lines) + "\n")


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    # JSON of these types is TOML. tomlkit, which profiles are written with, takes 10 s for 1,400 types.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
