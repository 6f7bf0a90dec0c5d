"""Objects of a JSON text, taken out one by one so that a broken one costs itself alone, in time that grows with the text.

The end of an entry is found without decoding it, and looked for no further than where the next one begins.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from pipeline.sources.manifest.rows import BadRow, shown

MAX_ENTRY_CHARS = 64 << 10
_MAX_ENTRY_TOKENS = (
    4096  # brackets and strings in one entry: most have about 20, CelebV-HQ's 100, a video with 1,000 clips 2,000
)
_MAX_DIGITS = 18

# What an entry of a form that we know begins with; where one is broken, reading goes on at the next of these.
_KEYS = "vid|part|start_time|end_time|crop_box|video_id|url|first_frame|ytb_id"
_OTHERS = (
    "id|info|caption|video_url|video|youtube_id|videoID|link|start|end|start-time|end-time|bbox"  # in lists of clips
)
_NEXT_ENTRY = re.compile(rf'\{{\s{{0,200}}"(?:{_KEYS})"')
_NEXT_OTHER = re.compile(rf'\{{\s{{0,200}}"(?:{_KEYS}|{_OTHERS})"')
_NEXT_NAMED = re.compile(rf'"[^"\\\n]{{0,200}}"\s{{0,20}}:\s{{0,200}}{_NEXT_ENTRY.pattern}')
_ENTRY = re.compile(r'\{(?:[^{}"]|"[^"\\\n]*")*+\}')
_VALUE = re.compile(r'[^\s,{}\[\]":]+|"[^"\\\n]*"')
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[{}\[\]]')
_KEY = re.compile(r'"[^"\\\n]{0,200}"\s{0,20}:\s{0,200}(?=\{)')
_BETWEEN = re.compile(r"[\s,]*")
_AFTER = re.compile(r"\s*(?:[,\]}]|$)")


def entries(text: str, start: int, closer: str = "", others: bool = False) -> Iterator[tuple[int, str | BadRow]]:
    """(line, text of the object) of each entry, or what is wrong with it; text between entries is one too.

    Args:
        text: JSON, or what should be.
        start: where the first entry may begin.
        closer: what ends the entries, `]` or `}`; "" where the text's end does. Entries before `}` have names, which are skipped.
        others: they are of others' lists of clips, and may begin with other keys.
    """
    line, counted, at = 1, 0, start
    starts = _Starts(text, _NEXT_NAMED if closer == "}" else _NEXT_OTHER if others else _NEXT_ENTRY)
    while True:
        at = _end(_BETWEEN, text, at)
        line, counted = line + text.count("\n", counted, at), at
        if at >= len(text):
            if closer:
                yield line, BadRow(f"the list ends without {closer}: is the file whole?")
            return
        following = starts.after(at)
        if text[at] == closer and following == len(text):
            rest = text[at + 1 :].strip("}] \t\r\n") if closer == "}" else text[at + 1 :].strip()
            if rest:
                yield line, BadRow(f"text after the end of the list: {shown(rest[:80])}")
            return
        begin = _end(_KEY, text, at) if closer == "}" else at
        end = end_of_entry(text, begin, following)
        if end is not None and (text[begin] == "{" or _AFTER.match(text, end)):
            yield line, text[begin:end]
            at = end
        else:
            yield line, BadRow(f"not a whole object: {shown(text[at : min(following, at + 80)].rstrip(', '))}")
            at = following


def numbered(found: Iterator[tuple[int, str | BadRow]]) -> tuple[str, list[tuple[int, str | BadRow]]]:
    """(what they are numbered by, the entries): by `line`, or by `entry` where two share a line."""
    pieces = list(found)
    if len({line for line, _ in pieces}) == len(pieces):
        return "line", pieces
    return "entry", [(number, piece) for number, (_, piece) in enumerate(pieces, 1)]


class _Starts:
    """Where the next entry of a known form begins; each stretch of the text is searched once."""

    def __init__(self, text: str, pattern: re.Pattern[str]) -> None:
        self._text, self._known, self._pattern = text, -1, pattern

    def after(self, at: int) -> int:
        """The first beginning after `at`, else the text's length."""
        if self._known <= at:
            found = self._pattern.search(self._text, at + 1)
            self._known = found.start() if found else len(self._text)
        return self._known


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def end_of_entry(text: str, at: int, limit: int) -> int | None:
    """Where the object or other value that begins here ends, before `limit`; None when that cannot be told."""
    if text[at] != "{":
        value = _VALUE.match(text, at, limit)
        return value.end() if value else _balanced(text, at, limit)
    plain = _ENTRY.match(text, at, limit)
    return plain.end() if plain else _balanced(text, at, limit)


def _balanced(text: str, at: int, limit: int) -> int | None:
    """The end of nested brackets, looked for in so many tokens at most; None when they do not match."""
    closers: list[str] = []
    for number, token in enumerate(_TOKEN.finditer(text, at, min(limit, at + MAX_ENTRY_CHARS))):
        sign = token[0]
        if sign in ("{", "["):
            closers.append("}" if sign == "{" else "]")
        elif sign in ("}", "]") and (not closers or closers.pop() != sign):
            return None
        if not closers:
            return token.end()
        if number >= _MAX_ENTRY_TOKENS:
            return None
    return None


def decoded(piece: str) -> dict[str, Any]:
    """The object that an entry's text is. Raises BadRow."""
    if len(piece) > MAX_ENTRY_CHARS:
        raise BadRow(f"an entry of {len(piece)} characters")
    try:
        value = DECODER.decode(piece)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"not JSON: {'nested too deeply' if isinstance(error, RecursionError) else error}") from None
    if not isinstance(value, dict):
        raise BadRow(f"not an object: {shown(value)}")
    return value


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else math.inf  # thousands of digits would cost minutes


def _float(digits: str) -> float:
    return float(digits) if len(digits) <= 400 else math.inf


DECODER = json.JSONDecoder(parse_int=_int, parse_float=_float)
