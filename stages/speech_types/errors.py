"""What can go wrong with a language model's server, in words that say what to do."""

from typing import Any

import openai
from pydantic import ValidationError

from pipeline.base.log import redact
from pipeline.base.reasons import Failure, Reason
from stages.speech_types.names import clean

QUOTED = 120  # characters of what a server said


class Unusable(Exception):
    """An answer that cannot be used; another one may be better.

    Attributes:
        reason: for the failure that it becomes when it happens again and again.
        too_long: it was cut off: ask for less.
        hopeless: asking again gives the same.
    """

    def __init__(self, text: str, reason: Reason, *, too_long: bool = False, hopeless: bool = False) -> None:
        super().__init__(text)
        self.reason, self.too_long, self.hopeless = reason, too_long, hopeless

    @classmethod
    def of(cls, error: Exception, body: str, place: str) -> "Unusable":
        """Why a body with status 200 is no answer."""
        if isinstance(error, openai.LengthFinishReasonError):
            text = "the answer was cut off at speech_types.max_answer_tokens: raise it"
            return cls(text, Reason.NO_ANSWER, too_long=True)
        if isinstance(error, openai.ContentFilterFinishReasonError):
            return cls("the server's content filter stopped the answer: take another model", Reason.NO_ANSWER)
        if body.lstrip("\ufeff \t\r\n").startswith("<"):
            text = f"{place} answers with a web page, not with JSON: check OPENAI_BASE_URL (it usually ends in /v1)"
            return cls(text, Reason.NETWORK, hopeless=True)
        text = f"the answer is not of the form asked for ({quoted(_problem(error))})"
        return cls(f"{text}: take a model with structured output", Reason.NO_ANSWER)

    @classmethod
    def refused(cls, model: str, refusal: Any) -> "Unusable":
        said = quoted(refusal) if isinstance(refusal, str) and refusal else "no reason given"
        return cls(f"{model} refused ({said}): take another model", Reason.NO_ANSWER)


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))} {first['msg']}"
    return f"{type(error).__name__}: {error}"


def quoted(text: str) -> str:
    """What a server said, without secrets, on one line, bounded."""
    line = clean(redact(text[:2000]))
    return line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"


def explained(error: openai.OpenAIError, model: str, place: str, timeout_seconds: float) -> Failure:
    """An error of the `openai` package as a `Failure` that says what to do."""
    if isinstance(error, openai.APITimeoutError):
        return Failure(
            Reason.NETWORK,
            f"{place} gave no answer within {timeout_seconds:g} s: try later, raise speech_types.timeout_seconds or "
            "lower speech_types.types_per_request",
        )
    if isinstance(error, openai.APIConnectionError):
        cause = quoted(str(error.__cause__ or error))
        return Failure(Reason.NETWORK, f"cannot reach {place} ({cause}): check OPENAI_BASE_URL and the network")
    if not isinstance(error, openai.APIStatusError):
        return Failure(Reason.NO_ANSWER, f"{type(error).__name__}: {quoted(str(error))}")
    said, status = quoted(_said(error)), error.status_code
    if status == 429 and "insufficient_quota" in (error.code, error.type):
        return Failure(Reason.NO_ANSWER, "the account has no credit left (insufficient_quota): add some")
    if status == 429:
        return Failure(Reason.THROTTLED, f"{place} asks to slow down (429: {said}): wait some minutes")
    if status >= 500:
        return Failure(Reason.NETWORK, f"{place} failed ({status}: {said}): try later")
    advice = {
        401: "check OPENAI_API_KEY",
        403: f"the key may not use {model} from here",
        404: f"check speech_types.model = {model!r} and OPENAI_BASE_URL (it usually ends in /v1)",
    }.get(status, "take a model with structured output, or another server")
    return Failure(Reason.NO_ANSWER, f"{place} refused the request ({status}: {said}): {advice}")


def _said(error: Any) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else str(error)
