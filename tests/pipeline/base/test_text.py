"""Untrusted text made printable, over every character that there is."""

import re
import sys
import unicodedata
from pathlib import Path

import pytest

from pipeline.base.text import clean, printable

ROOT = Path(__file__).parents[3]
EVERY = [chr(code) for code in range(sys.maxunicode + 1)]


def test_what_is_printable_stays_and_what_is_not_becomes_a_space_or_a_sign() -> None:
    for ch in EVERY:
        wanted = ch if ch.isprintable() else " " if ch.isspace() else "?"
        assert printable(ch) == wanted, f"U+{ord(ch):04X}"
    line = printable("".join(EVERY))
    assert line.isprintable() and len(line) == len(EVERY)


def test_cleaned_text_keeps_all_but_controls_formats_and_surrogates_and_the_joiners_of_words() -> None:
    for ch in EVERY:
        kept = ch in "\u200c\u200d" or not unicodedata.category(ch).startswith(("C", "Z"))
        assert clean(f"a{ch}b", 10) == (f"a{ch}b" if kept else "a b" if ch.isspace() else "ab"), f"U+{ord(ch):04X}"


@pytest.mark.parametrize(
    ("text", "instead", "keep", "line"),
    [
        ("a\x1b[31mb\nc\td\xa0e\udcff", "?", "", "a?[31mb c d e?"),
        ("a\u202eb\u200dc", "", "\u200d", "ab\u200dc"),
        ("a\x00b", " ", "", "a b"),
    ],
)
def test_what_stands_instead_and_what_is_kept(text: str, instead: str, keep: str, line: str) -> None:
    assert printable(text, instead, keep) == line


def test_cleaned_text_is_bounded_and_null_where_nothing_is_left() -> None:
    assert clean("  two \n words ", 100) == "two words" and clean("abcdef", 3) == "abc" and clean("ab cd", 3) == "ab"
    assert clean("\u202e \x00", 10) is None and clean(None, 10) is None and clean(7, 10) is None


def test_no_other_module_sanitises_character_by_character() -> None:
    modules = [p for room in ("pipeline", "stages") for p in (ROOT / room).rglob("*.py")]
    found = {str(p.relative_to(ROOT)) for p in modules if re.search(r"join\(.*isprintable\(\)", p.read_text())}
    assert found == {"pipeline/base/text.py"}
