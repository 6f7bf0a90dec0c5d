"""Progress and logs of a stage: a bar on a terminal, a line now and then elsewhere, and a JSON log file."""

import json
import logging
import logging.handlers
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

LINE_SECONDS = 10.0
LOG_BYTES, LOG_FILES = 20 << 20, 5


class Progress:
    """Counts units of a stage and shows rate and time left; a context manager.

    Args:
        name: the stage.
        total: units to do.
        stream: where to show it; a terminal gets a moving bar.
    """

    def __init__(self, name: str, total: int, stream: TextIO | None = None) -> None:
        self.name = name
        self.total = total
        self.stream = stream or sys.stderr
        self.counts: Counter[str] = Counter()
        self.note = ""  # shown behind the counts
        self.began = self._shown = time.monotonic()
        self._bar = _bar(name, total) if self.stream.isatty() else None

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, status: str) -> None:
        """One unit ended with this status."""
        self.counts[status] += 1
        if self._bar:
            self._bar.update(self._bar.task_ids[0], advance=1, outcome=self.tally())
        elif time.monotonic() - self._shown > LINE_SECONDS:
            self._shown = time.monotonic()
            print(f"{self.name}: {self.line()}", file=self.stream, flush=True)

    def resize(self, total: int) -> None:
        """Say how many units there are, once that is known."""
        self.total = total
        if self._bar:
            self._bar.update(self._bar.task_ids[0], total=total)

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def tally(self) -> str:
        counts = [f"{count} {status}" for status, count in sorted(self.counts.items())]
        return ", ".join([*counts, self.note] if self.note else counts)

    def line(self) -> str:
        """Done, tally, rate and time left in words."""
        seconds = max(1e-9, time.monotonic() - self.began)
        rate = self.done / seconds
        left = duration((self.total - self.done) / rate) if rate else "?"
        return f"{self.done}/{self.total} ({self.tally()}), {rate:.3g}/s, {left} left"


def _bar(name: str, total: int):  # type: ignore[no-untyped-def] # rich is imported only where a terminal is
    from rich import progress as rich

    bar = rich.Progress(
        rich.TextColumn("[bold]{task.description:>14}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[outcome]}"),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
        transient=True,
    )
    bar.add_task(name, total=total, outcome="")
    return bar


def duration(seconds: float) -> str:
    """Format seconds for people: 41 s, 3 min 20 s, 5 h 12 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


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


_SECRET_NAME = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|COOKIE)", re.IGNORECASE)
_CREDENTIALS = re.compile(
    r"(?:(\bBearer\s+)[\w.~+/=-]+|(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+(?=@))", re.IGNORECASE
)


def _secrets() -> list[str]:
    """Values long enough to be secrets, the longest first: one may hold another."""
    secrets = {value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= 6}
    return sorted(secrets, key=len, reverse=True)


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
