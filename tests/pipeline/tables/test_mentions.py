"""Whether a text names a work: in each form that texts have, and not where the name is a part of another one."""

import csv
import html
import io
import json

import pytest

from pipeline.tables.mentions import Mentions

FILE, LINK = 'talks/Zoë "live".mp4', "https://vimeo.com/91?a=1&b=2"
WANTED = Mentions(frozenset({"yt:aaaaaaaaaaa"}), frozenset({FILE, LINK, "talk.mp4", "word"}))


def in_csv(text: str) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(["before", text, "after"])
    return out.getvalue()


@pytest.mark.parametrize("name", [FILE, LINK, "talk.mp4", "yt:aaaaaaaaaaa", "https://youtu.be/aaaaaaaaaaa"])
def test_a_name_is_found_as_each_kind_of_file_holds_it(name: str) -> None:
    said = [
        name,
        f"reading {name}: 3 s",
        f"/data/films/{name}",
        f"It was {name}.",
        json.dumps({"unit": name}),
        json.dumps({"unit": f"two lines\n{name}"}, ensure_ascii=False),
        f"<td>{html.escape(name)}</td>",
        in_csv(name),
    ]
    assert [text for text in said if not WANTED.within(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "my-talk.mp4",
        "talk.mp4.part",
        "xtalk.mp4",
        "talk_mp4",
        "a word",
        "https://vimeo.com/912?a=1&b=2",
        "yt:aaaaaaaaaab",
        "",
    ],
)
def test_what_only_holds_a_part_of_it_is_of_somebody_else(text: str) -> None:
    assert not WANTED.within(text)
