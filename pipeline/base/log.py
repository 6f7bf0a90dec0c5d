"""Logs of a stage: a JSON log file, in which no secret stands."""

import json
import logging
import logging.handlers
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

LOG_BYTES, LOG_FILES = 20 << 20, 5


def redact(text: str) -> str:
    """Redact the values of secret environment variables, bearer tokens and passwords in URLs."""
    return redactor()(text)


def redactor() -> Callable[[str], str]:
    """`redact` for many texts: it looks for the secrets of the environment once."""
    secrets = _secrets()

    def redacted(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return _CREDENTIALS.sub(lambda match: f"{match[1] or match[2]}***", text)

    return redacted


_SECRET_NAME = re.compile(
    r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|(ACCESS|ACCOUNT|STORAGE)_?KEY|SAS_|COOKIE)", re.IGNORECASE
)
_CREDENTIALS = re.compile(
    r"(?:(\bBearer\s+)[\w.~+/=-]+|(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+(?=@))", re.IGNORECASE
)


def _secrets() -> list[str]:
    """Values long enough to be secrets, the longest first: one may hold another."""
    secrets = {os.environ.get(name, "") for name in os.environ if _names_a_secret(name)}
    return sorted((value for value in secrets if len(value) >= 6), key=len, reverse=True)


@cache
def _names_a_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname, "logger": record.name}
        hide = redactor()
        extra = {k: hide(str(getattr(record, k))) for k in ("stage", "unit", "status", "reason") if hasattr(record, k)}
        if record.exc_info:
            extra["traceback"] = hide(self.formatException(record.exc_info))
        return json.dumps({**line, **extra, "message": hide(record.getMessage())})


def log_to(run: Path, stage: str) -> logging.Handler:
    """Send log records of level INFO and up to `logs/<stage>.jsonl`, rotating; the caller removes the handler."""
    folder = run / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / f"{stage}.jsonl", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
    )
    handler.setFormatter(_JsonLines())
    handler.setLevel(logging.INFO)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(min(root.level or logging.INFO, logging.INFO))
    return handler


@contextmanager
def logged(run: Path, stage: str, say: Callable[[str], None]) -> Iterator[None]:
    """Log as `log_to` does, and tell our own warnings in lines too, until the end.

    Args:
        run, stage: as of `log_to`.
        say: receives a line for each warning.
    """
    kept, told, ours = log_to(run, stage), _EchoWarnings(say), logging.getLogger("pipeline")
    ours.addHandler(told)
    try:
        yield
    finally:
        ours.removeHandler(told)
        logging.getLogger().removeHandler(kept)
        kept.close()


class _EchoWarnings(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(f"warning: {redact(record.getMessage())}")
