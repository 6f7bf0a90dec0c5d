"""Search: from speech types to links, over a YouTube of our own."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.units import Row
from pipeline.engine.runner import Options, Summary, run_stage
from pipeline.registry.models import Registry
from pipeline.sources.web.settings import Web
from pipeline.tables.lock import driving
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from stages.search import Search, errands
from tests.stages.fake_run import add
from tests.youtube import CREATIVE_COMMONS, Plan, Refusal, YouTube, serve, video_id
from tests.youtube.planted import AVC_480, BOTH_360

TALKS = {"speech_type": "Public Lecture", "share_percent": 30.0, "languages": ["en"], "keywords": [["lecture", "talk"]]}
NEWS = {
    "speech_type": "News Anchor",
    "share_percent": 10.0,
    "languages": ["en", "es"],
    "keywords": [["news"], ["noticias"]],
}


@pytest.fixture
def youtube() -> Iterator[YouTube]:
    with serve(Plan()) as site:
        yield site


def types(run: Path, *rows: dict[str, Any], attempt: int = 1) -> None:
    for row in rows:
        add(Store(run), "types", [{"group": "Speech", "register": "formal", **row}], attempt)


def web(site: YouTube, **settings: Any) -> Web:
    quick = {"requests_per_hour": 3.6e6, "throttle_wait_seconds": 0.05, "retry_wait_seconds": 0.01}
    return Web(**{"mirror": site.mirror, **quick, **settings})


def search(
    run: Path, site: YouTube, opt_out: OptOut | None = None, pace: Web | None = None, **settings: Any
) -> Summary:
    stage = Search(**{"min_seconds": 1.0, "hd_only": False, **settings})
    options = Options(workers=0, web=pace or web(site))
    return run_stage(stage, run, Registry(cache=run / "nets"), options, Store(run, opt_out))


def found(run: Path, opt_out: OptOut | None = None) -> list[Row]:
    return Store(run, opt_out).read("sources").to_pylist()


def outcomes(run: Path) -> dict[str, Row]:
    return {row["unit"]: row for row in Store(run).outcomes("sources").to_pylist()}


def seconds_between(site: YouTube, place: str) -> list[float]:
    times = [request.at for request in site.asked(place)]
    return [later - earlier for earlier, later in pairwise(times)]


# Quotas


def test_quotas_add_up_and_follow_the_shares() -> None:
    rows = [TALKS, NEWS, {**TALKS, "speech_type": "Unknown", "share_percent": None}]
    paper = {unit: errand.videos for unit, errand in errands(rows, 100).items()}
    assert paper == {
        "Public Lecture | en": 50,
        "News Anchor | en": 9,
        "News Anchor | es": 8,
        "Unknown | en": 33,  # the mean of 30 and 10: what the paper does not know is neither rare nor frequent
    }
    even = {unit: errand.videos for unit, errand in errands(rows, 100, "even").items()}
    assert sum(even.values()) == 100 and even["Public Lecture | en"] - even["Unknown | en"] in (0, 1)
    assert even["News Anchor | en"] + even["News Anchor | es"] in (33, 34)


def test_languages_are_those_asked_for() -> None:
    assert list(errands([TALKS, NEWS], 9, languages=["es"])) == ["News Anchor | es"]
    assert errands([TALKS, NEWS], 9, languages=["es"])["News Anchor | es"].videos == 9
    assert errands([TALKS], 9, languages=["fr"]) == {} == errands([], 9)


def test_a_type_of_less_than_half_a_video_is_not_asked_for() -> None:
    rare = {**TALKS, "speech_type": "Rare", "share_percent": 0.01}
    assert list(errands([TALKS, rare], 10)) == ["Public Lecture | en"]


# Pages


def test_pages_are_asked_for_until_the_quota_is_met(tmp_path: Path, youtube: YouTube) -> None:
    planted = youtube.plan.plant(90, ["lecture"])
    types(tmp_path, {**TALKS, "keywords": [["lecture"]]})
    assert search(tmp_path, youtube, videos=45).counts == {"ok": 1}
    rows = sorted(found(tmp_path), key=lambda row: row["query_rank"])
    assert [row["video_id"] for row in rows] == [f"yt:{video.id}" for video in planted[:45]]
    assert [row["query_rank"] for row in rows] == list(range(1, 46))
    assert {(row["speech_type"], row["language"], row["query"]) for row in rows} == {
        ("Public Lecture", "en", "lecture")
    }
    assert rows[0]["source"] == f"https://www.youtube.com/watch?v={planted[0].id}"
    assert (rows[0]["title"], rows[0]["channel"], rows[0]["duration_seconds"]) == ("Talk 0", "Speakers", 7.0)
    assert Counter(request.place for request in youtube.requests) == {"search": 3}


def test_keywords_take_turns(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(50, ["lecture"])
    youtube.plan.plant(25, ["talk"], first=100)
    types(tmp_path, TALKS)
    search(tmp_path, youtube, videos=70)
    assert Counter(row["query"] for row in found(tmp_path)) == {"lecture": 45, "talk": 25}
    places = [row["query"] for row in sorted(found(tmp_path), key=lambda r: (r["query_rank"] - 1) // 20)]
    assert set(places[:40]) == {"lecture", "talk"}  # a page of each first
    assert len(youtube.asked("search")) == 5


def test_no_more_pages_than_allowed(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(90, ["lecture", "talk"])
    types(tmp_path, TALKS)
    search(tmp_path, youtube, videos=200, pages_per_query=2)
    assert len(found(tmp_path)) == 40 and len(youtube.asked("search")) == 4


def test_every_page_takes_its_turn(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(90, ["lecture"])
    types(tmp_path, {**TALKS, "keywords": [["lecture"]]})
    search(tmp_path, youtube, pace=web(youtube, requests_per_hour=36_000.0, jitter=0.0), videos=90)
    gaps = seconds_between(youtube, "search")
    assert len(gaps) == 4 and sum(gaps) > 0.3  # a tenth of a second each, as the rate says, less what the first takes


# One video counts once


def test_a_video_counts_once_however_many_queries_find_it(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(15, ["lecture", "talk", "news", "noticias"])
    youtube.plan.plant(5, ["noticias"], first=50)
    types(tmp_path, TALKS, NEWS)
    summary = search(tmp_path, youtube, videos=60, quota="even")
    rows = found(tmp_path)
    assert len(rows) == 20 == len({row["video_id"] for row in rows})
    # Units go by name: the news were first and took their fill; what is left is the lectures'.
    counts = Counter((row["speech_type"], row["language"]) for row in rows)
    assert counts == {("News Anchor", "en"): 15, ("News Anchor", "es"): 5}
    assert summary.counts == {"ok": 2, "rejected": 1}
    lecture = outcomes(tmp_path)["Public Lecture | en"]
    assert lecture["reason"] == "nothing_found"
    assert lecture["detail"] == "asked for lecture, talk: 30 duplicate"


def test_ids_that_differ_by_case_only_are_two_videos(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(2, ["lecture"], first=3)
    assert video_id(3).lower() == video_id(4).lower()
    types(tmp_path, TALKS)
    search(tmp_path, youtube)
    assert {row["video_id"] for row in found(tmp_path)} == {f"yt:{video_id(3)}", f"yt:{video_id(4)}"}


# Filters


def test_what_a_page_says_is_enough_to_leave_a_video_out(tmp_path: Path, youtube: YouTube) -> None:
    plan = youtube.plan
    plan.plant(1, ["lecture"], seconds=20)
    plan.plant(1, ["lecture"], first=1, seconds=3 * 3600)
    plan.plant(1, ["lecture"], first=2, live="is_live")
    plan.plant(1, ["lecture"], first=5, live="is_upcoming")
    plan.plant(1, ["lecture"], first=6, channel="Left Out")
    plan.plant(1, ["lecture"], first=7, channel_id="UCleftout000000000000000")
    (recording,) = plan.plant(1, ["lecture"], first=8, seconds=40, live="was_live")
    (listed, good) = plan.plant(2, ["lecture"], first=10, seconds=30)
    types(tmp_path, {**TALKS, "keywords": [["lecture"]]})
    opt_out = OptOut(frozenset({f"yt:{listed.id}"}), frozenset({"left out", "ucleftout000000000000000"}))
    search(tmp_path, youtube, opt_out, min_seconds=30, max_hours=2)
    assert {row["video_id"] for row in found(tmp_path)} == {f"yt:{recording.id}", f"yt:{good.id}"}
    assert {row["query_rank"] for row in found(tmp_path)} == {7, 9}
    assert not youtube.asked("player")


def test_all_that_is_found_is_unwanted(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(3, ["lecture"], seconds=5)
    youtube.plan.plant(2, ["talk"], first=20, live="is_live")
    types(tmp_path, TALKS)
    assert search(tmp_path, youtube, min_seconds=30).counts == {"rejected": 1}
    assert outcomes(tmp_path)["Public Lecture | en"]["detail"] == (
        "asked for lecture, talk: 2 not_finished, 3 too_brief"
    )


def test_nothing_is_found_at_all(tmp_path: Path, youtube: YouTube) -> None:
    types(tmp_path, TALKS)
    assert search(tmp_path, youtube).counts == {"rejected": 1}
    assert outcomes(tmp_path)["Public Lecture | en"]["detail"] == "asked for lecture, talk: no hits at all"
    assert search(tmp_path, youtube).pending == 0


def test_licence_and_resolution_are_asked_of_the_site(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(3, ["lecture"])
    (small,) = youtube.plan.plant(1, ["lecture"], first=20, licence=CREATIVE_COMMONS, formats=(AVC_480, BOTH_360))
    (free,) = youtube.plan.plant(1, ["lecture"], first=21, licence=CREATIVE_COMMONS)
    types(tmp_path, TALKS)
    search(tmp_path, youtube, licences=["Creative Commons"])
    assert {row["video_id"] for row in found(tmp_path)} == {f"yt:{small.id}", f"yt:{free.id}"}
    search(tmp_path, youtube, licences=["Creative Commons"], hd_only=True)
    assert {row["video_id"] for row in found(tmp_path)} == {f"yt:{free.id}"}
    search(tmp_path, youtube, hd_only=True)
    assert len(found(tmp_path)) == 4


@pytest.mark.parametrize(
    "title", ["<script>alert(1)</script>", "one\ntwo\tthree", "a\x00b\x1b[31mc\u202ed", "x" * 10_000, "", "\ud800"]
)
def test_titles_are_made_fit(tmp_path: Path, youtube: YouTube, title: str) -> None:
    youtube.plan.plant(1, ["lecture"], title=title)
    types(tmp_path, TALKS)
    search(tmp_path, youtube)
    (row,) = found(tmp_path)
    kept = row["title"] or ""
    assert len(kept) <= 300 and kept.isprintable()
    assert ("alert(1)" in title) == ("alert(1)" in kept)  # escaping is left to what prints it


@pytest.mark.parametrize("query", ['"quoted" & <b>', "演讲 会议", "a" * 300, "50% + more #1", "-minus"])
def test_queries_are_what_they_are(tmp_path: Path, youtube: YouTube, query: str) -> None:
    youtube.plan.plant(25, [query])
    types(tmp_path, {**TALKS, "keywords": [[query]]})
    for number, hd_only in enumerate((False, True)):
        run = tmp_path / str(number)
        types(run, {**TALKS, "keywords": [[query]]})
        search(run, youtube, hd_only=hd_only)
        assert len(found(run)) == 25 and found(run)[0]["query"] == query


# Again


def test_nothing_is_asked_twice(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(10, ["lecture"])
    types(tmp_path, TALKS)
    search(tmp_path, youtube)
    asked = len(youtube.requests)
    assert search(tmp_path, youtube).pending == 0 and len(youtube.requests) == asked


def test_another_number_of_videos_searches_anew_and_forgets_nothing_of_others(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(40, ["lecture", "news"])
    types(tmp_path, TALKS, {**NEWS, "languages": ["en"], "keywords": [["news"]]})
    search(tmp_path, youtube, videos=10, quota="even")
    first = {row["video_id"]: row["speech_type"] for row in found(tmp_path)}
    assert len(first) == 10
    search(tmp_path, youtube, videos=20, quota="even")
    rows = found(tmp_path)
    assert len(rows) == 20 == len({row["video_id"] for row in rows})
    fresh = tmp_path / "fresh"
    types(fresh, TALKS, {**NEWS, "languages": ["en"], "keywords": [["news"]]})
    search(fresh, youtube, videos=20, quota="even")
    assert found(fresh) == rows  # as if it had been asked for at once


def test_a_failed_unit_alone_is_asked_again(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(30, ["lecture", "talk", "news"])
    types(tmp_path, TALKS, {**NEWS, "languages": ["en"], "keywords": [["news"]]})
    undisturbed = tmp_path / "undisturbed"
    types(undisturbed, TALKS, {**NEWS, "languages": ["en"], "keywords": [["news"]]})
    search(undisturbed, youtube, videos=20)
    youtube.throttle("search", 2)
    patience = web(youtube, throttle_retries=1)
    assert search(tmp_path, youtube, pace=patience, videos=20).counts == {"failed": 1, "ok": 1}
    assert outcomes(tmp_path)["News Anchor | en"]["reason"] == "throttled"
    before = len(youtube.asked("search"))
    assert search(tmp_path, youtube, pace=patience, videos=20).counts == {"ok": 1}
    assert len(youtube.asked("search")) == before + 1
    assert len(found(tmp_path)) == 20 == len({row["video_id"] for row in found(tmp_path)})
    by_type = Counter(row["speech_type"] for row in found(tmp_path))
    assert by_type == Counter(row["speech_type"] for row in found(undisturbed))


def test_no_types_is_nothing_to_do(tmp_path: Path, youtube: YouTube) -> None:
    assert search(tmp_path, youtube).units == 0 and not youtube.requests


# Troubles


@pytest.mark.parametrize("status", [429, 503, 403])
def test_a_throttled_page_is_asked_again_and_no_other(tmp_path: Path, youtube: YouTube, status: int) -> None:
    youtube.plan.plant(50, ["lecture"])
    types(tmp_path, {**TALKS, "keywords": [["lecture"]]})
    youtube.throttle("search", 2, status)
    assert search(tmp_path, youtube).counts == {"ok": 1}
    assert len(found(tmp_path)) == 50
    assert [request.status for request in youtube.asked("search")] == [status, status, 200, 200, 200]


def test_a_broken_connection_is_tried_again(tmp_path: Path, youtube: YouTube) -> None:
    types(tmp_path, TALKS)
    down = Web(mirror="http://127.0.0.1:9", requests_per_hour=3.6e6, retries=2, retry_wait_seconds=0.01)
    assert search(tmp_path, youtube, pace=down).counts == {"failed": 1}
    outcome = outcomes(tmp_path)["Public Lecture | en"]
    assert outcome["reason"] == "network" and "refused" in outcome["detail"].lower()


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_search_that_the_site_refuses_is_no_verdict(tmp_path: Path, youtube: YouTube, status: int) -> None:
    youtube.plan.plant(5, ["lecture"])
    types(tmp_path, TALKS)
    youtube.throttle("search", 100, status)
    assert search(tmp_path, youtube, pace=web(youtube, retries=1)).counts == {"failed": 1}
    assert outcomes(tmp_path)["Public Lecture | en"]["reason"] in ("extractor_broken", "network")
    youtube.throttle("search", 0)
    assert search(tmp_path, youtube).counts == {"ok": 1}


def test_two_drivers_do_not_search_at_once(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(5, ["lecture"])
    types(tmp_path, TALKS)
    with driving(tmp_path, "sources"), pytest.raises(Exception, match=r"pid|at work|driver|running"):
        search(tmp_path, youtube)


# The server behind it says what the real one says


def test_a_refusal_is_none_of_the_searchs_business(tmp_path: Path, youtube: YouTube) -> None:
    youtube.plan.plant(1, ["lecture"], fault=Refusal.PRIVATE)
    types(tmp_path, TALKS)
    search(tmp_path, youtube)
    assert len(found(tmp_path)) == 1 and not youtube.asked("player") and not youtube.asked("watch")
