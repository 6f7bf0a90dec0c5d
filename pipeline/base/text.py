"""Sanitising of untrusted text for tables, terminals and pages."""

import re
from typing import Any

_JOINERS = (
    "\u200c\u200d"  # zero width: they shape words in many scripts; the bidirectional controls beside them disguise text
)

# Control characters, and what stands for bytes that are not UTF-8.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")


def printable(text: str, instead: str = "?", keep: str = "") -> str:
    """Sanitise to one printable line: titles and file names are untrusted.

    White space becomes spaces. Control, format, surrogate and unassigned characters, which a terminal may obey and a table
    may not hold, become `instead`, except those in `keep`.
    """
    return "".join(c if c.isprintable() or c in keep else " " if c.isspace() else instead for c in text)


def clean(text: Any, longest: int) -> str | None:
    """One line of at most `longest` characters, printable, its white space joined; null when nothing is left."""
    if not isinstance(text, str):
        return None
    kept = printable(text[: 4 * longest], "", _JOINERS)
    return " ".join(kept.split())[:longest].strip() or None


def is_text(head: str) -> bool:
    """Whether the beginning of a file, decoded with replacements, is text: a few bytes that are not make it no other thing."""
    if len(_NO_TEXT.findall(head)) * 20 <= len(head):
        return True
    lines = [line for line in head.split("\n") if line.strip()]
    return 2 * sum(_NO_TEXT.search(line) is None for line in lines) >= len(lines)
