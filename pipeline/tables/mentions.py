"""Whether a text names certain videos: by their ids, or by what a run calls those that no site gives an id."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from pipeline.tables import people

_BEFORE = r"(?:(?<![\w.-])|(?<=\\[nrt]))"  # in JSON a line begins behind a letter


@dataclass(frozen=True)
class Mentions:
    """What a text is searched for.

    Attributes:
        videos: ids, found in links and names of files too.
        names: links and names of files that are nothing but theirs; of other words, which may mean anything, none counts.
    """

    videos: frozenset[str]
    names: frozenset[str] = field(default_factory=frozenset)

    def within(self, text: str) -> bool:
        """Whether a text, such as a line of a log, a table's value or a page, names one of them."""
        if not self.videos.isdisjoint(people.mentioned(text)):
            return True
        return any(form in text and alone.search(text) for form, alone in self._forms)

    @cached_property
    def _forms(self) -> list[tuple[str, re.Pattern[str]]]:
        """Each name as texts hold it, and where it is no part of a longer one.

        A path that leads to it is its own, and one file more of that name goes along: rather a line too many than one too few.
        """
        forms = sorted({form for name in self.names if re.search(r"[./]", name) for form in _written(name)})
        return [(form, re.compile(rf"{_BEFORE}{re.escape(form)}(?![\w-]|\.\w)")) for form in forms]


def _written(name: str) -> Iterator[str]:
    """A name as it is, and in JSON, HTML and CSV."""
    yield name
    yield html.escape(name)
    yield name.replace('"', '""')
    for ascii_only in (True, False):
        yield json.dumps(name, ensure_ascii=ascii_only)[1:-1]
