"""A finding: one thing that was looked at, and how it is."""

from collections.abc import Iterable
from dataclasses import dataclass

OK, WARN, MISSING = "ok", "warn", "missing"


@dataclass(frozen=True)
class Finding:
    """How one thing is.

    Attributes:
        status: `ok`; `warn` where runs work, but less well or not for long; `missing` where something will not work.
        subject: what was looked at: python, ffmpeg, gpu, nets ...
        found: what is there.
        advice: what to do; "" where there is nothing to do.
    """

    status: str
    subject: str
    found: str
    advice: str = ""


def worst(findings: Iterable[Finding]) -> str:
    """The worst status among these."""
    there = {finding.status for finding in findings}
    return next((status for status in (MISSING, WARN) if status in there), OK)
