"""The ledger of takedowns: lines that join, no id in it, and nobody let in because it does not read."""

import base64
import json
from pathlib import Path

import pytest

from pipeline.tables import takedowns
from pipeline.tables.opt_out import OptOut, of_run
from pipeline.tables.opt_out_seen import forgotten, remember
from pipeline.tables.people import mark
from pipeline.tables.takedowns import JOURNAL, LEDGER, Journal, Model, Takedown, TakedownError

ONE, TWO = "yt:aaaaaaaaaaa", "file:0123456789abcdef"
HASH = "ab" * 32


def line(**changed: object) -> str:
    return json.dumps({"date": "2026-11-30", "id": mark(ONE), "releases": ["1.0.0"], "models": []} | changed)


def test_a_line_reads_as_it_was_written(tmp_path: Path) -> None:
    work = Takedown(
        mark(ONE), "2026-11-30", ("1.0.0", "?"), (Model("training/model", (HASH,)),), "chromaprint-1", b"abcdefgh"
    )
    assert takedowns.add(tmp_path / LEDGER, [work]) == 1
    text = (tmp_path / LEDGER).read_text()
    assert takedowns.read(tmp_path / LEDGER) == {work.mark: work}
    said = json.loads(text)
    assert said["id"] == mark(ONE) and base64.b64decode(said["sound"]) == b"abcdefgh" and "aaaaaaaaaaa" not in text


def test_what_is_said_twice_is_joined_and_the_file_stays_when_nothing_is_new(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    first = Takedown(mark(ONE), "2026-11-30", ("1.0.0",), (Model("a", (HASH,)),))
    second = Takedown(
        mark(ONE), "2026-01-01", ("1.0.1",), (Model("a", ("cd" * 32,)), Model("b")), "chromaprint-1", b"abcd"
    )
    assert [takedowns.add(path, [one]) for one in (first, second)] == [1, 0]
    [found] = takedowns.read(path).values()
    assert found.date == "2026-01-01" and found.releases == ("1.0.0", "1.0.1") and found.sound == b"abcd"
    assert found.models == (Model("a", (HASH, "cd" * 32)), Model("b"))
    before = path.stat().st_mtime_ns
    assert takedowns.add(path, [first, second]) == 0 and path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        "3",
        line(date="yesterday"),
        line(id="aaaaaaaaaaa"),
        line(id=3),
        line(releases=7),
        line(releases=["x" * 300]),
        line(releases=["\x1b[2J"]),
        line(models=[{"name": "a"}]),
        line(models=[{"name": "a", "sha256": ["short"]}]),
        line(sound="no base64!"),
        line(sound=base64.b64encode(b"abc").decode()),
        "[" * 100_000,
    ],
)
def test_a_line_that_is_none_lets_nobody_in(tmp_path: Path, bad: str) -> None:
    (tmp_path / LEDGER).write_text(f"{line()}\n{bad}\n")
    with pytest.raises(TakedownError, match="line 2: no line of a ledger"):
        of_run(tmp_path, "")


def test_a_ledger_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LEDGER).write_bytes(b"\xff\xfe")
    with pytest.raises(TakedownError, match="UTF-8"):
        takedowns.read(tmp_path / LEDGER)
    monkeypatch.setattr(takedowns, "_MOST_BYTES", 1)
    with pytest.raises(TakedownError, match="larger than"):
        takedowns.read(tmp_path / LEDGER)


def test_a_ledger_is_never_made_too_large_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takedowns.add(tmp_path / LEDGER, [Takedown(mark(ONE), "2026-11-30")])
    before = (tmp_path / LEDGER).read_bytes()
    monkeypatch.setattr(takedowns, "_MOST_BYTES", len(before) + 100)
    large = Takedown(mark(TWO), "2026-11-30", sound_of="chromaprint-1", sound=b"abcd" * 100)
    with pytest.raises(TakedownError, match="--keep-fingerprint"):
        takedowns.add(tmp_path / LEDGER, [large])
    with pytest.raises(TakedownError, match="--keep-fingerprint"):
        takedowns.begin(tmp_path, Journal((TWO,), (large,)))
    assert (tmp_path / LEDGER).read_bytes() == before and not (tmp_path / JOURNAL).exists()
    assert set(takedowns.read(tmp_path / LEDGER)) == {mark(ONE)}


def test_a_work_is_refused_by_the_hash_of_its_id_and_its_neighbour_is_not(tmp_path: Path) -> None:
    takedowns.add(tmp_path / LEDGER, [Takedown(mark(ONE), "2026-11-30")])
    who = of_run(tmp_path, "")
    assert who and who.names(ONE) and ONE in who and who.took_down(ONE)
    assert not who.names(TWO) and not who.names(None) and not who.videos
    beside = tmp_path / "published"
    beside.mkdir()
    (beside / "links.jsonl").write_text("")
    takedowns.add(beside / LEDGER, [Takedown(mark(TWO), "2026-11-30")])
    assert of_run(tmp_path, "", [beside / "links.jsonl"]).names(TWO)


def test_a_ledger_that_is_lost_or_cut_short_is_missed(tmp_path: Path) -> None:
    takedowns.add(tmp_path / LEDGER, [Takedown(mark(one), "2026-11-30") for one in (ONE, TWO)])
    remember(tmp_path, of_run(tmp_path, ""))
    assert forgotten(tmp_path, of_run(tmp_path, "")) is None
    whole = (tmp_path / LEDGER).read_text()
    (tmp_path / LEDGER).write_text(whole.splitlines()[0] + "\n")
    damage = forgotten(tmp_path, of_run(tmp_path, ""))
    assert damage is not None and damage.path == LEDGER and "1 works that were taken down" in damage.holds
    (tmp_path / LEDGER).unlink()
    damage = forgotten(tmp_path, of_run(tmp_path, ""))
    assert damage is not None and damage.problem == "is missing" and "beside the release" in damage.remedy


def test_the_ledger_beside_what_is_crawled_is_joined_to_the_runs(tmp_path: Path) -> None:
    published, run = tmp_path / "published", tmp_path / "run"
    published.mkdir()
    takedowns.add(published / LEDGER, [Takedown(mark(ONE), "2026-11-30")])
    remember(run, OptOut(), [published, tmp_path / "nowhere"])
    assert set(takedowns.read(run / LEDGER)) == {mark(ONE)}


@pytest.mark.parametrize("bad", ["", "{", "[]", '{"works": []}', '{"works": [], "lines": [3], "published": ""}'])
def test_a_journal_that_does_not_read_stops_with_what_to_do(tmp_path: Path, bad: str) -> None:
    (tmp_path / JOURNAL).write_text(bad)
    with pytest.raises(TakedownError, match="csg405 takedown ENTRY"):
        of_run(tmp_path, "")


def test_works_that_are_being_taken_down_count_before_the_ledger_says_so(tmp_path: Path) -> None:
    takedowns.begin(tmp_path, Journal((ONE,), (Takedown(mark(ONE), "2026-11-30"),), "somewhere"))
    assert of_run(tmp_path, "").names(ONE) and not (tmp_path / LEDGER).exists()
    assert takedowns.at_work(tmp_path) == Journal((ONE,), (Takedown(mark(ONE), "2026-11-30"),), "somewhere")
    takedowns.end(tmp_path)
    assert takedowns.at_work(tmp_path) is None and takedowns.cut_short(tmp_path) is None
