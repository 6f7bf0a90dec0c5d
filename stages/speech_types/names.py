"""Names and search phrases: cleaned, bounded, and told apart."""

import html
import re
import unicodedata

from rapidfuzz import fuzz, utils

from pipeline.base.text import printable

NAME_CHARACTERS, NAME_WORDS = 60, 8
PHRASE_CHARACTERS = 100
PHRASES = 4  # a language
_LOOKED_AT = 1000  # characters; what is longer is neither a name nor a phrase

_NAME = re.compile(r"[^\W_][\w &'.,()/+:-]*")
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_ARTICLE = re.compile(r"^(the|an?) ")
_SAME = str.maketrans({"’": "'", "‘": "'", "–": "-", "—": "-", "‑": "-", "＆": "&"})  # noqa: RUF001


def clean(text: str) -> str:
    """One line without markup, control, format and surrogate characters."""
    line = _TAG.sub(" ", html.unescape(unicodedata.normalize("NFC", text)))
    return " ".join(printable(line, "").split())


def name_of(text: str) -> str | None:
    """A speech type's name, cleaned; None when it is none: too long, a sentence, or with signs that no name has."""
    if len(text) > _LOOKED_AT:
        return None
    name = clean(text).translate(_SAME).strip(" .:,-\"'")
    fits = 0 < len(name) <= NAME_CHARACTERS and len(name.split()) <= NAME_WORDS
    return name if fits and _NAME.fullmatch(name) else None


def phrase_of(text: str) -> str | None:
    """A search phrase, cleaned; None when nobody would search for it: too long, a link, or without a letter."""
    if len(text) > _LOOKED_AT:
        return None
    phrase = clean(text).lstrip(" -")  # searches take a leading hyphen for "without"
    fits = 0 < len(phrase) <= PHRASE_CHARACTERS and "://" not in phrase and not re.search("[<>{}\\\\]", phrase)
    return phrase if fits and any(ch.isalpha() for ch in phrase) else None


def phrases_of(texts: list[str]) -> list[str]:
    """Up to `PHRASES` usable phrases, each once."""
    phrases = {phrase.casefold(): phrase for text in reversed(texts[:50]) if (phrase := phrase_of(text))}
    return list(reversed(phrases.values()))[:PHRASES]


def similarity(one: str, other: str) -> float:
    """How alike two names are, 0 to 100, by rapidfuzz's ratio; case, punctuation and a leading article do not count.

    Names of as many words: that of the word which has the worst partner, in any order (Panel Forum, Forum Panels: 91; but
    Pilot Demonstration, Poet Demonstration: 67, for long words in common must not hide what differs). Others: that of
    the letters without spaces (Town Hall, Townhalls: 94).
    """
    a, b = (_ARTICLE.sub("", utils.default_process(name)).split() for name in (one, other))
    if len(a) != len(b):
        return fuzz.ratio("".join(a), "".join(b))
    return min(
        (max(fuzz.ratio(word, w) for w in theirs) for own, theirs in ((a, b), (b, a)) for word in own), default=0.0
    )
