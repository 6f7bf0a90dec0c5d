"""Availability: what counts as evidence, clips of a manifest, words from outside, and a page for every state of a run."""

import csv
import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.links import watch_page
from pipeline.base.reasons import Reason
from pipeline.engine.plan import plan
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from pipeline.views.availability import account, summary
from pipeline.views.availability.account import state_of
from stages.availability import Availability, page
from tests.stages import fake_run

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\"'\u2028"
MONDAY, TUESDAY, WEDNESDAY = "2026-11-23", "2026-11-24", "2026-11-25"


def ident(number: int) -> str:
    return f"yt:{number:011d}"


def link(number: int) -> str:
    return watch_page(f"{number:011d}")


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def crawled(store: Store, number: int, day: str = MONDAY, reason: str = "", status: str = "ok", **more: Any) -> None:
    """A crawl's outcome for a link, with a row where it went well."""
    row = {"video_id": ident(number), "source": link(number), "url": link(number), "path": f"raw/{number}.mp4", **more}
    rows = [pack_rows(KINDS["videos"], link(number), [row])] if status == "ok" else []
    detail = "said the site" if reason else ""
    store.table("videos").append(rows, [Outcome(link(number), "crawl", 1, status, reason, detail, at=at(day))])


def checked(
    store: Store, number: int, state: str, day: str, reason: str = "", attempt: int = 1, detail: str = ""
) -> None:
    row = {"source": link(number), "video_id": ident(number), "state": state, "checked": day}
    row |= {"reason": reason or None, "detail": detail or None}
    outcome = Outcome(link(number), "probe", 1, "ok", attempt=attempt, at=at(day))
    store.table("checks").append([pack_rows(KINDS["checks"], link(number), [row])], [outcome])


def check_failed(store: Store, number: int, day: str, reason: str, attempt: int) -> None:
    store.table("checks").append([], [Outcome(link(number), "probe", 1, "failed", reason, attempt=attempt, at=at(day))])


def states(store: Store, manifest: str = "") -> dict[int, str]:
    return {int(one.video_id[3:]): one.evidence.state for one in account(store, manifest).sources}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a run")


def test_the_newest_evidence_that_decides_counts(store: Store) -> None:
    crawled(store, 1)
    checked(store, 1, "dead", TUESDAY, "removed")  # it died
    crawled(store, 2, WEDNESDAY)
    checked(store, 2, "dead", TUESDAY, "private")  # it came back
    crawled(store, 3)
    check_failed(store, 3, TUESDAY, "throttled", 1)  # a throttle says nothing
    crawled(store, 4, MONDAY, "private", "rejected")
    crawled(store, 5, MONDAY, "network", "failed")
    crawled(store, 6, MONDAY, "bot_wall", "failed")
    crawled(store, 7, MONDAY, "not_media", "rejected")
    crawled(store, 8, MONDAY, "too_brief", "rejected")
    crawled(store, 9, MONDAY, "source_discarded", "failed")
    assert states(store) == {
        1: "dead", 2: "live", 3: "live", 4: "dead", 5: "unknown", 6: "blocked", 7: "unusable", 8: "live", 9: "live",
    }  # fmt: skip


def test_a_check_that_fails_later_does_not_take_back_what_was_known(store: Store) -> None:
    checked(store, 1, "dead", MONDAY, "gone")
    check_failed(store, 1, TUESDAY, "network", attempt=2)
    checked(store, 2, "live", MONDAY)
    checked(store, 2, "dead", TUESDAY, "gone", attempt=2)
    found = account(store)
    assert states(store) == {1: "dead", 2: "dead"}
    assert {day: dict(counts) for day, counts in found.days.items()} == {
        MONDAY: {"dead": 1, "live": 1},
        TUESDAY: {"unknown": 1, "dead": 1},
    }
    assert {day: dict(counts) for day, counts in found.last_looked.items()} == {
        MONDAY: {"dead": 1},
        TUESDAY: {"dead": 1},
    }


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_state(reason: Reason) -> None:
    assert state_of(reason.code) in ("live", "dead", "unusable", "blocked", "unknown", "opted out")


def test_a_reason_of_another_version_is_unknown() -> None:
    assert state_of("frobnicated") == "unknown"


def test_a_search_brings_sources_that_nobody_has_looked_at_and_types(store: Store) -> None:
    fake_run.add(store, "types", [{"speech_type": "news"}, {"speech_type": "vlog"}])
    for number, name in ((1, "news"), (2, "news"), (3, "vlog")):
        fake_run.add(store, "sources", [{"source": link(number), "video_id": ident(number), "speech_type": name}])
    crawled(store, 1, speech_type="news")
    crawled(store, 9)
    found = account(store)
    assert states(store) == {1: "live", 2: "never checked", 3: "never checked", 9: "live"}
    assert {name: dict(counts) for name, counts in found.types.items()} == {
        "news": {"live": 1, "never checked": 1},
        "vlog": {"never checked": 1},
        "unknown type": {"live": 1},
    }


def test_a_copy_counts_once_and_bad_lines_are_no_sources(store: Store) -> None:
    crawled(store, 1)
    crawled(store, 2, reason="duplicate", status="rejected")
    fake_run.refuse(store, "videos", "line 3: 'nonsense'", "bad_link")
    fake_run.refuse(store, "videos", "line up.mp4", "not_media")
    assert [one.source for one in account(store).sources] == [link(1), "line up.mp4"]


def test_clips_that_were_cut_stand_by_their_video_and_samples_stay(store: Store) -> None:
    for number in (1, 2):
        crawled(store, number)
        for first in (0, 200):
            clip = f"{ident(number)}/{first}+130"
            fake_run.add(store, "clips", [{"clip_id": clip, "video_id": ident(number), "frames": 130}])
    person = {"person_id": f"{ident(2)}/0+130#0", "clip_id": f"{ident(2)}/0+130", "video_id": ident(2)}
    for kind, more in (("persons", {}), ("verdicts", {"keep": True}), ("samples", {"frames": 130})):
        fake_run.add(store, kind, [{**person, **more}])
    checked(store, 2, "dead", TUESDAY, "private")
    found = account(store)
    assert (dict(found.clips), dict(+found.kept)) == ({"live": 2, "dead": 2}, {"dead": 1})
    assert [(one.clips, one.kept) for one in found.sources] == [(2, 0), (2, 1)]
    assert len(store.read("samples")) == 1, "dead rows keep what was measured of them"


def manifest(folder: Path) -> str:
    """Two rows on video 1, one beyond its end, one on 2, one on 3, one that cannot be read."""
    times = {1: [("00:00:01.000", "00:00:07.000"), ("00:00:08.000", "00:00:14.000"), ("00:50:00.000", "00:50:06.000")]}
    times |= {2: [("00:00:00.000", "00:00:05.000")], 3: [("00:00:00.000", "00:00:05.000")]}
    names = [f"{number:011d}_0_{a}_{b}.mp4" for number, spans in times.items() for a, b in spans]
    path = folder / "all.txt"
    path.write_text("\n".join([*names, f"{4:011d}_0_00:00:09.000_00:00:01.000.mp4"]) + "\n")
    return str(path)


def test_rows_of_a_manifest_are_the_clips(store: Store, tmp_path: Path) -> None:
    crawled(store, 1, grid_frames=500, width=1280, height=720)
    crawled(store, 2, reason="private", status="rejected")
    found = account(store, manifest(tmp_path))
    assert states(store, manifest(tmp_path)) == {1: "live", 2: "dead", 3: "never checked"}
    assert dict(found.clips) == {"live": 2, "bad row": 2, "dead": 1, "never checked": 1}
    assert {int(one.video_id[3:]): one.clips for one in found.sources} == {1: 3, 2: 1, 3: 1}
    assert found.manifest == "all.txt"
    checked(store, 1, "dead", TUESDAY, "gone")
    assert dict(account(store, manifest(tmp_path)).clips) == {"dead": 3, "bad row": 2, "never checked": 1}


def test_a_list_of_links_is_an_input_too(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "links.txt"
    path.write_text(f"{link(1)}\n{link(2)}\nnonsense\n")
    crawled(store, 1)
    found = account(store, str(path))
    assert states(store, str(path)) == {1: "live", 2: "never checked"}
    assert (found.bad_lines, dict(found.clips)) == (1, {})


def test_who_opted_out_is_counted_and_nothing_more(store: Store, tmp_path: Path) -> None:
    crawled(store, 1, channel="Somebody", title="a title")
    checked(store, 1, "live", TUESDAY)
    crawled(store, 2)
    path = tmp_path / "links.txt"
    path.write_text(f"{link(3)}\n")
    store = Store(store.run, OptOut(frozenset({ident(3)}), frozenset({"somebody"})))
    assert states(store, str(path)) == {1: "opted out", 2: "live", 3: "opted out"}


def made(store: Store, **settings: Any) -> str:
    assert fake_run.run(Availability(**settings), store.run) in (["availability"], [])
    return (store.run / "availability/index.html").read_text()


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))


def test_words_from_outside_are_inert_and_nothing_is_fetched(store: Store) -> None:
    crawled(store, 1, speech_type=HOSTILE)
    crawled(store, 2)
    checked(store, 2, "dead", TUESDAY, HOSTILE, detail=HOSTILE)
    fake_run.refuse(store, "videos", "=cmd|' /C calc'!A0.mp4", "not_media", "=1+1")
    html = made(store)
    tags = Tags(html).tags
    assert not [tag for tag, _ in tags if tag in ("script", "img", "iframe", "link", "object")]
    assert not [attrs for _, attrs in tags if any(name.startswith("on") or name == "src" for name in attrs)]
    assert {attrs["href"] for tag, attrs in tags if tag == "a"} == {link(2), "rows.csv", "availability.json"}
    assert "default-src 'none'" in html
    rows = list(csv.DictReader((store.run / "availability/rows.csv").read_text().splitlines()))
    assert all(not value.startswith("=") for row in rows for value in row.values())


def test_numbers_are_the_same_in_all_files_and_on_the_terminal(store: Store, tmp_path: Path) -> None:
    for number in range(1, 9):
        crawled(store, number)
    for number in (1, 2, 3):
        checked(store, number, "dead", TUESDAY, "private" if number < 3 else "removed")
    html = made(store)
    found = json.loads((store.run / "availability/availability.json").read_text())
    assert found["videos"] == {"total": 8, "states": {"live": 5, "dead": 3}}
    assert {code: entry["videos"] for code, entry in found["reasons"]["dead"].items()} == {"private": 2, "removed": 1}
    rows = list(csv.DictReader((store.run / "availability/rows.csv").read_text().splitlines()))
    assert [row["state"] for row in rows].count("dead") == 3
    assert "<b>5</b> of 8 videos are live <span>62.5 %</span>" in html
    lines = summary(store.run)
    assert lines[0] == "videos         8: 5 live (62.5 %), 3 dead (37.5 %)"
    assert lines[1].split() == ["2", "private:", *Reason.PRIVATE.sentence.split()]
    assert f"last looked: {MONDAY} to {TUESDAY}" in lines
    assert summary(tmp_path / "nowhere")[0].endswith("run the stage `availability`")


def test_an_empty_run_has_a_page(store: Store) -> None:
    assert "asks for nothing yet" in made(store)
    assert summary(store.run)[0] == "videos         0: none"


def test_it_is_made_again_only_when_something_changed(store: Store, tmp_path: Path) -> None:
    crawled(store, 1)
    stage = Availability(manifest=manifest(tmp_path))
    assert fake_run.run(stage, store.run) == ["availability"]
    assert fake_run.run(stage, store.run) == []
    checked(store, 1, "dead", TUESDAY, "gone")
    assert fake_run.run(stage, store.run) == ["availability"]
    with Path(stage.manifest).open("a") as file:
        file.write(f"{7:011d}_0_00:00:01.000_00:00:08.000.mp4\n")
    assert fake_run.run(stage, store.run) == ["availability"]
    assert len(plan(stage, Store(store.run, OptOut(frozenset({ident(1)})))).pending) == 1


def test_the_report_beside_it_stays_what_it_is(store: Store) -> None:
    from stages.report import Report

    crawled(store, 1)
    made(store)
    fake_run.run(Report(), store.run)
    assert {row["report"] for row in Store(store.run).read("reports").to_pylist()} == {"report", "availability"}
    assert fake_run.run(Report(), store.run) == fake_run.run(Availability(), store.run) == []


def test_shares_never_round_to_all_or_nothing() -> None:
    assert [page.percent(*pair) for pair in ((0, 5), (5, 5), (1, 100_000), (99_999, 100_000), (1, 3))] == [
        "0 %", "100 %", "< 0.1 %", "> 99.9 %", "33.3 %",
    ]  # fmt: skip
    assert page.percent(0, 0) == "\u2013"
