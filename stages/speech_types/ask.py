"""Asking a language model for speech types, in rounds, until there are enough; what was gathered is always kept."""

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai

from pipeline.base.log import redactor
from pipeline.base.reasons import Failure, Reason
from stages.speech_types import manifest, names, prompt, server
from stages.speech_types.errors import Unusable, explained

log = logging.getLogger(__name__)

UNUSABLE_IN_A_ROW = 3  # answers of the wrong shape, or refusals
DRY_IN_A_ROW = 3  # answers that name nothing new
TYPES_LOOKED_AT = 1000  # of an answer
COMMENT = "speech types named by a language model; give this file as speech_types.source to use it elsewhere"


@dataclass(frozen=True)
class Asking:
    """What to ask for, and at which cost; prices in USD a million tokens."""

    model: str
    languages: tuple[str, ...]
    count: int
    merge_similarity: float
    types_per_request: int
    max_requests: int
    max_cost_usd: float
    input_usd_per_million: float
    output_usd_per_million: float
    max_answer_tokens: int
    timeout_seconds: float
    retries: int

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million) / 1e6


class Collection:
    """Distinct speech types: a near-duplicate of one gives it its phrases, as far as there is room."""

    def __init__(self, types: Sequence[manifest.SpeechType], least_similarity: float) -> None:
        self.types = list(types)
        self.least_similarity = least_similarity

    def add(self, new: manifest.SpeechType) -> bool:
        """Whether it was a new one."""
        for at, old in enumerate(self.types):
            if names.similarity(old.name, new.name) >= self.least_similarity:
                self.types[at] = _with_phrases(old, new)
                return False
        self.types.append(new)
        return True


def _with_phrases(old: manifest.SpeechType, new: manifest.SpeechType) -> manifest.SpeechType:
    more = {code: names.phrases_of([*phrases, *new.keywords.get(code, [])]) for code, phrases in old.keywords.items()}
    return old.model_copy(update={"keywords": more})


def manifest_path(run: Path, asking: Asking) -> Path:
    """Where the list of this model, prompt and these languages is gathered."""
    slug = re.sub(r"[^\w.-]+", "-", f"{asking.model}-{'-'.join(asking.languages)}", flags=re.ASCII)[:60].strip(".-")
    whole = hashlib.sha256(f"{asking.model}\n{prompt.prompt_sha256(asking.languages)}".encode()).hexdigest()
    return run / "speech_types" / f"{slug}-{whole[:8]}.toml"


def cost_line(header: manifest.Header, asking: Asking, types: int) -> str:
    """What a list has cost so far, in one line."""
    requests = "1 request" if header.requests == 1 else f"{header.requests} requests"
    return (
        f"{types} types of {header.model}: {requests}, {header.input_tokens:,} tokens in, "
        f"{header.output_tokens:,} out, {header.cost_usd:.4f} USD at {asking.input_usd_per_million:g} in and "
        f"{asking.output_usd_per_million:g} out a million"
    )


def gather(asking: Asking, path: Path) -> manifest.Manifest:
    """The list of `path`, asked for until it holds `asking.count` types. It is written after every answer.

    Raises `Failure` with what to do when the model's server or a limit stops it; the list so far stays.
    """
    try:
        interview = _Interview(asking, path)
    except manifest.ListError as error:
        raise Failure(Reason.NO_ANSWER, f"{error}: mend the list or move it away") from error
    try:
        interview.run()
    except Failure as failure:
        kept = len(interview.collection.types)
        after = f". {kept} of {asking.count} types are kept; the same command goes on from there" if kept else ""
        raise Failure(failure.reason, f"{failure.detail}{after}") from failure
    return interview.manifest


class _Interview:
    def __init__(self, asking: Asking, path: Path) -> None:
        self.asking, self.path = asking, path
        self.sha256 = prompt.prompt_sha256(asking.languages)
        new = manifest.Header(
            model=asking.model, date=_today(), prompt_sha256=self.sha256, languages=list(asking.languages)
        )
        known = manifest.read(path, partial=True) if path.is_file() else manifest.Manifest(new)
        if (known.header.model, known.header.prompt_sha256) != (asking.model, self.sha256):
            raise Failure(Reason.NO_ANSWER, f"{path} is a list of another model or prompt: move it away")
        self.header = known.header
        self.collection = Collection(known.types, asking.merge_similarity)
        self.wanted = asking.types_per_request
        self.unusable = self.dry = 0

    @property
    def manifest(self) -> manifest.Manifest:
        return manifest.Manifest(self.header, self.collection.types)

    def run(self) -> None:
        if len(self.collection.types) >= self.asking.count:
            return
        _check_languages(self.asking.languages)
        client = server.client(self.asking.timeout_seconds, self.asking.retries)
        while (missing := self.asking.count - len(self.collection.types)) > 0:
            self._round(client, min(self.wanted, missing))

    def _round(self, client: openai.OpenAI, wanted: int) -> None:
        messages = [
            {"role": "system", "content": prompt.instructions(self.asking.languages)},
            {"role": "user", "content": prompt.question(wanted, [one.name for one in self.collection.types])},
        ]
        self._check_limits(messages)
        try:
            answer = self._asked(client, messages)
        except Unusable as problem:
            self.unusable += 1
            log.warning("unusable answer %d: %s", self.unusable, problem)
            self.wanted = max(1, self.wanted // 2) if problem.too_long else self.wanted
            if self.unusable >= UNUSABLE_IN_A_ROW or problem.hopeless:
                raise Failure(problem.reason, str(problem)) from None
            return
        finally:
            self._keep()
        self.unusable = 0
        before = len(self.collection.types)
        usable = [one for raw in answer.types[:TYPES_LOOKED_AT] if (one := usable_type(raw, self.asking.languages))]
        new = sum(self.collection.add(one) for one in usable)
        self._keep()
        log.info(
            "asked for %d types: %d new, %d known, %d unusable; %d of %d",
            *(wanted, new, len(usable) - new, len(answer.types) - len(usable), before + new, self.asking.count),
        )
        self.dry = 0 if new else self.dry + 1
        if self.dry >= DRY_IN_A_ROW:
            raise Failure(
                Reason.NO_ANSWER,
                f"{self.asking.model} named nothing new {self.dry} times in a row: take another model"
                + (f", or set speech_types.count={before}" if before else ""),
            )

    def _keep(self) -> None:
        """Write down what there is, and what it has cost."""
        if self.header.requests:
            manifest.write(self.path, self.manifest, COMMENT)

    def _check_limits(self, messages: list[dict[str, str]]) -> None:
        """Raise `Failure` where the next request could pass a limit."""
        if self.header.requests >= self.asking.max_requests:
            raise Failure(
                Reason.NO_ANSWER, f"{self.header.requests} requests made: raise speech_types.max_requests to go on"
            )
        most = self.header.cost_usd + self._most_usd(messages)
        if most > self.asking.max_cost_usd:
            raise Failure(
                Reason.NO_ANSWER,
                f"{self.header.cost_usd:.4f} USD spent, and the next request could bring it to {most:.4f}, over "
                f"speech_types.max_cost_usd = {self.asking.max_cost_usd:g}: raise it to go on",
            )

    def _most_usd(self, messages: list[dict[str, str]]) -> float:
        return self.asking.cost_usd(_most_tokens(messages), self.asking.max_answer_tokens)

    def _asked(self, client: openai.OpenAI, messages: list[dict[str, str]]) -> prompt.Answer:
        """One request, its cost counted. Raises `Unusable` for an answer that says nothing, `Failure` for none."""
        try:
            raw = client.chat.completions.with_raw_response.parse(
                model=self.asking.model,
                messages=messages,  # type: ignore[arg-type] # plain dicts of the right form
                response_format=prompt.Answer,
                max_completion_tokens=self.asking.max_answer_tokens,
            )
        except openai.OpenAIError as error:
            if isinstance(error, openai.APITimeoutError):  # the server may have worked, and charge for it
                tries = self.asking.retries + 1
                self._count(tries, tries * _most_tokens(messages), tries * self.asking.max_answer_tokens)
            raise explained(error, self.asking.model, server.place_of(client), self.asking.timeout_seconds) from None
        used = _usage(raw.text) or (_most_tokens(messages), len(raw.text.encode()))
        self._count(1, *used)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydantic's, of fields that nobody reads
                message = raw.parse().choices[0].message
        except (openai.OpenAIError, ValueError, AttributeError, TypeError, LookupError) as error:
            raise Unusable.of(error, raw.text, server.place_of(client)) from None
        if message.parsed is None:
            raise Unusable.refused(self.asking.model, message.refusal)
        return message.parsed

    def _count(self, requests: int, input_tokens: int, output_tokens: int) -> None:
        old = self.header
        self.header = old.model_copy(
            update={
                "requests": old.requests + requests,
                "input_tokens": old.input_tokens + input_tokens,
                "output_tokens": old.output_tokens + output_tokens,
                "cost_usd": round(old.cost_usd + self.asking.cost_usd(input_tokens, output_tokens), 6),
            }
        )


def usable_type(raw: prompt.NamedType, languages: Sequence[str]) -> manifest.SpeechType | None:
    """What a model named, cleaned; None when its name is no name or a language has no usable phrase."""
    hide = redactor()  # a server knows the key, and might give it back
    named: dict[str, list[str]] = {}
    for one in raw.keywords[:100]:
        named.setdefault(hide(one.language[:20]).strip().casefold(), []).extend(map(hide, one.phrases[:50]))
    phrases = {code: names.phrases_of(named.get(code.casefold(), [])) for code in languages}
    name = names.name_of(hide(raw.name))
    if name is None or not all(phrases.values()):
        return None
    return manifest.SpeechType(name=name, group=raw.group, manner=raw.manner, date=_today(), keywords=phrases)


def _check_languages(languages: Sequence[str]) -> None:
    from pipeline.sources.web.ytdlp import ISO639Utils  # fails without yt-dlp, which nothing else here needs

    for code in languages:
        short = code.partition("-")[0]
        if len(short) == 2 and not ISO639Utils.short2long(short):  # the three-letter codes are too many to know
            raise Failure(Reason.NO_ANSWER, f"speech_types.languages: {code!r} is no ISO 639 code, such as en, zh, es")


def _most_tokens(messages: list[dict[str, str]]) -> int:
    """At most as many tokens as bytes, the form of the answer included."""
    return len(json.dumps([messages, prompt.Answer.model_json_schema()], ensure_ascii=False).encode())


def _usage(text: str) -> tuple[int, int] | None:
    """Tokens in and out, as the server counts them; None where it says nothing sensible."""
    try:
        usage: Any = json.loads(text)["usage"]
        tokens = usage["prompt_tokens"], usage["completion_tokens"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return tokens if all(type(value) is int and 0 <= value < 10**9 for value in tokens) else None


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
