"""Probe: who is still there, who is dead of what, and what is asked again, at a site that says all of it."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.errors import StageError
from pipeline.base.links import watch_page
from pipeline.engine.runner import Options, Summary, run_stage
from pipeline.registry.models import Registry
from pipeline.sources.web.settings import Web
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from stages.probe import Probe
from tests.stages import fake_run
from tests.youtube import Plan, Refusal, Trouble, Video, YouTube, serve, video_id

DAY, NEXT_DAY = "2026-11-23", "2026-11-24"
DEAD = {
    Refusal.PRIVATE: "private",
    Refusal.REMOVED: "removed",
    Refusal.UNAVAILABLE: "gone",
    Refusal.TERMINATED: "terminated",
    Refusal.COPYRIGHT: "copyright",
    Refusal.GEO_BLOCKED: "geo_blocked",
    Refusal.AGE_RESTRICTED: "age_restricted",
    Refusal.MEMBERS_ONLY: "members_only",
}


def link(number: int) -> str:
    return watch_page(video_id(number))


def probe(
    run: Path, youtube: YouTube | None = None, day: str = DAY, opt_out: OptOut | None = None, **settings
) -> Summary:
    stage = Probe(as_of=day, **settings)
    web = Web(
        connections=4,
        requests_per_hour=3.6e6,
        jitter=0,
        timeout_seconds=5,
        throttle_wait_seconds=0.01,
        throttle_retries=2,
        player_clients=("visionos",),
        mirror=youtube.mirror if youtube else "",
    )
    options = Options(workers=0, web=web)
    return run_stage(stage, run, Registry(cache=run / "nets"), options, Store(run, opt_out))


def checks(run: Path) -> dict[str, dict]:
    return {row["source"]: row for row in Store(run).read("checks").to_pylist()}


def listed(run: Path, *numbers: int) -> str:
    path = run.parent / "links.txt"
    path.write_text("".join(f"{link(number)}\n" for number in numbers))
    return str(path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_dead_links_are_a_measure_with_their_reason_and_nothing_is_downloaded(run: Path) -> None:
    plan = Plan()
    plan.plant(2)
    for number, fault in enumerate(DEAD, 2):
        plan.add(Video(video_id(number), fault=fault))
    plan.add(Video(video_id(20), fault=Refusal.PREMIERE))
    plan.add(Video(video_id(21), fault=Trouble.LIVE))
    with serve(plan) as youtube:
        summary = probe(run, youtube, manifest=listed(run, *range(2 + len(DEAD)), 20, 21))
        assert not youtube.asked("media")
    assert summary.counts == {"ok": len(DEAD) + 4}
    found = checks(run)
    assert {found[link(n)]["state"] for n in range(2)} == {"live"}
    for number, code in enumerate(DEAD.values(), 2):
        row = found[link(number)]
        assert (row["state"], row["reason"], row["checked"]) == ("dead", code, DAY)
        assert row["detail"] and row["video_id"] == f"yt:{video_id(number)}"
    assert [(found[link(n)]["state"], found[link(n)]["reason"]) for n in (20, 21)] == [("unknown", "not_finished")] * 2


def test_a_day_is_asked_once_and_the_next_day_anew(run: Path) -> None:
    plan = Plan()
    first, second = plan.plant(2)
    with serve(plan) as youtube:
        links = listed(run, 0, 1)
        assert probe(run, youtube, manifest=links).pending == 2
        asked = len(youtube.requests)
        assert probe(run, youtube, manifest=links).pending == 0
        assert len(youtube.requests) == asked
        second.fault = Refusal.REMOVED
        assert probe(run, youtube, NEXT_DAY, manifest=links).pending == 2
    assert [(row["state"], row["checked"]) for row in checks(run).values()] == [("live", NEXT_DAY), ("dead", NEXT_DAY)]
    assert len(youtube.asked("player", first.id)) > 0


def test_today_is_the_day_when_none_is_given() -> None:
    from datetime import UTC, datetime

    assert Probe().result_settings()["as_of"] == datetime.now(UTC).date().isoformat()


def test_a_throttle_is_waited_for_and_one_that_lasts_is_a_failure_tried_again(run: Path) -> None:
    plan = Plan()
    plan.add(Video(video_id(0), fault=Trouble.PLAYER_429, times=2))
    plan.add(Video(video_id(1), fault=Trouble.PLAYER_429))
    with serve(plan) as youtube:
        links = listed(run, 0, 1)
        assert probe(run, youtube, manifest=links).counts == {"ok": 1, "failed": 1}
        failed = [o for o in Store(run).outcomes("checks").to_pylist() if o["status"] == "failed"]
        assert [(o["unit"], o["reason"]) for o in failed] == [(link(1), "throttled")]
        youtube.faults = False
        assert probe(run, youtube, manifest=links).counts == {"ok": 1}
    assert {row["state"] for row in checks(run).values()} == {"live"}


def test_a_bot_wall_stops_the_stage_and_says_what_to_do(run: Path) -> None:
    plan = Plan()
    plan.plant(8)
    with serve(plan) as youtube:
        youtube.wall_after = 3
        with pytest.raises(StageError, match=r"probe stopped.*web\.cookies"):
            probe(run, youtube, manifest=listed(run, *range(8)))
        assert len({request.video for request in youtube.asked("player")}) <= 3 + 3
        youtube.lift_wall()
        probe(run, youtube, manifest=listed(run, *range(8)))
    assert {row["state"] for row in checks(run).values()} == {"live"}
    assert len(checks(run)) == 8


def test_units_are_what_was_searched_crawled_and_listed_without_who_opted_out(run: Path) -> None:
    store = Store(run)
    fake_run.add(store, "types", [{"speech_type": "news"}])
    for number, channel in ((1, "A"), (2, "B")):
        row = {"source": link(number), "video_id": f"yt:{video_id(number)}", "speech_type": "news", "channel": channel}
        fake_run.add(store, "sources", [row])
    fake_run.refuse(store, "videos", link(3), "private")
    fake_run.refuse(store, "videos", "line 7: 'nonsense'", "bad_link")
    rows = [{"video_id": f"yt:{video_id(4)}", "source": link(4), "path": "raw/4.mp4"}]
    store.table("videos").append([pack_rows(KINDS["videos"], link(4), rows)], [Outcome(link(4), "crawl", 1, "ok")])
    fake_run.add_video(store, 5, source="talk.mp4", path="talk.mp4")
    stage = Probe(manifest=listed(run, 4, 6))
    assert stage.sources(Store(run)) == sorted([*(link(n) for n in (1, 2, 3, 4, 6)), "talk.mp4"])
    opted_out = OptOut(frozenset({f"yt:{video_id(6)}", f"yt:{video_id(4)}"}), frozenset({"b"}))
    assert stage.sources(Store(run, opted_out)) == sorted([link(1), link(3), "talk.mp4"])


def test_files_are_looked_for_where_they_were(run: Path) -> None:
    store = Store(run)
    for number in (1, 2):
        fake_run.add_video(store, number, source=f"{number}.mp4", path=str(run.parent / f"{number}.mp4"))
    (run.parent / "1.mp4").write_bytes(b"x")
    probe(run)
    found = checks(run)
    assert (found["1.mp4"]["state"], found["1.mp4"]["video_id"]) == ("live", fake_run.video_id(1))
    assert (found["2.mp4"]["state"], found["2.mp4"]["reason"]) == ("unknown", "source_missing")


def test_a_channel_that_only_the_site_names_is_left_out(run: Path) -> None:
    plan = Plan()
    plan.add(Video(video_id(0), channel="Other", handle="@Other"))
    plan.add(Video(video_id(1)))
    with serve(plan) as youtube:
        probe(run, youtube, opt_out=OptOut(channels=frozenset({"@other", "other"})), manifest=listed(run, 0, 1))
    assert list(checks(run)) == [link(1)]
    refused = [o for o in Store(run).outcomes("checks").to_pylist() if o["status"] == "rejected"]
    assert [(o["unit"], o["reason"]) for o in refused] == [(link(0), "opted_out")]


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another site: /talk.mp4 is there, everything else is not."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/talk.mp4" else 404)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", "10000000")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            if self.path == "/talk.mp4":
                self.wfile.write(b"\0\0\0\x20ftypisom" + bytes(500))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_other_sites_are_asked_too(run: Path, elsewhere: str) -> None:
    path = run.parent / "links.txt"
    path.write_text(f"{elsewhere}/talk.mp4\n{elsewhere}/gone.mp4\n")
    probe(run, manifest=str(path), allow_loopback=True)
    assert {source.rpartition("/")[2]: (row["state"], row["reason"]) for source, row in checks(run).items()} == {
        "talk.mp4": ("live", None),
        "gone.mp4": ("dead", "gone"),
    }
    assert not list(run.rglob("*.mp4"))


def test_addresses_that_are_not_public_are_not_asked(run: Path, elsewhere: str) -> None:
    path = run.parent / "links.txt"
    path.write_text(f"{elsewhere}/talk.mp4\n")
    assert probe(run, manifest=str(path)).counts == {"rejected": 1}
