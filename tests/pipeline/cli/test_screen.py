"""What is printed fits into a narrow terminal and loses nothing there."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import screen
from pipeline.views.overview import Chapter, StageState
from pipeline.views.verdicts import Kept

STATES = [
    StageState(
        "measure_sound", "", 1_147_550, ok=1_100_000, rejected=47_000, failed=50, pending=500, hours=405.25, rate=0.123,
        eta_seconds=3 * 86400 + 4 * 3600, bytes=123_456_789, reasons={"upper_body_incomplete": 47_000},
    ),
    StageState("overlap", "", 25, ok=21, unchosen=4, why_unchosen="held back by its gate", note="no net: " + "word " * 40),
]  # fmt: skip


@pytest.fixture(params=[60, 80, 120])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A terminal of so many columns; nothing printed on it is longer, or cut."""
    out = io.StringIO()
    monkeypatch.setattr(
        screen, "_console", lambda: Console(file=out, width=request.param, force_terminal=True, color_system=None)
    )
    yield out
    assert max(map(len, plain(out).splitlines())) <= request.param and "…" not in plain(out)


def plain(out: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def test_a_funnel(terminal: io.StringIO) -> None:
    screen.print_funnel(Path("runs/mine"), STATES, {"raw": 10**12, "clips": 10**11, "tables": 10**10, "report": 1})
    words = plain(terminal).split()
    for figure in ("1147550", "1100000", "47000", "50", "500", "405", "0.123/s", "MB"):
        assert figure in words, plain(terminal)
    assert "3 d 4 h" in plain(terminal) and words.count("word") == 40
    assert re.search(r"held back +4\b", plain(terminal))


def test_the_data_set(terminal: io.StringIO) -> None:
    screen.print_data_set(("mine", "17", "0.032", "512 x 512", "8", "-", "6.9", "face, body, hands"))
    said = " ".join(plain(terminal).split())
    for figure in ("147,550", "17,787", "0.032", "TED-talks"):
        assert figure in said


def test_a_story(terminal: io.StringIO) -> None:
    screen.print_story("file:1", [Chapter("videos", {}, [{"video_id": "file:1", "sha256": "0123456789abcdef" * 4}])])
    assert "0123456789abcdef" * 4 in re.sub(r"hex|\s", "", plain(terminal))


def test_who_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    kept = Kept(30, 17, 12, {"late_sound": 7, "upper_body_incomplete": 6}, {"late_sound": 2})
    screen.print_kept(kept)
    assert capsys.readouterr().out.splitlines() == [
        "30 people, kept 17 (was 12), dropped 13:",
        "       7   23%  late_sound, 2 by nothing else",
        "       6   20%  upper_body_incomplete",
    ]
    sentence = "30 people, kept 17 (was 12), dropped 13: late_sound 7 (23%), upper_body_incomplete 6 (20%)"
    assert screen.kept_sentence(kept) == sentence
    assert screen.kept_sentence(Kept(1, 1)) == "1 person, kept 1, dropped 0"
