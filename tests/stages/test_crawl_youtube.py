"""Crawl against a YouTube of our own: what is chosen, what is refused unfetched, and what a kill or a wall leaves."""

import gc
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base.errors import StageError
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.sources.web.settings import Web
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from stages.crawl import Crawl
from stages.crawl.formats import FormatSettings, choose, fallback, size_of
from tests.youtube import CREATIVE_COMMONS, Plan, Trouble, YouTube, serve
from tests.youtube.planted import (
    AAC,
    AV1_720,
    AVC_240,
    AVC_480,
    AVC_720,
    AVC_1080,
    BOTH_360,
    DUB,
    OPUS,
    ORIGINAL,
    VP9_720,
)

QUICK = {
    "requests_per_hour": 1e7,
    "retries": 1,
    "retry_wait_seconds": 0.0,
    "timeout_seconds": 2.0,
    "throttle_wait_seconds": 0.01,
    "throttle_retries": 2,
    "min_free_gigabytes": 0.0,
    "player_clients": (
        "visionos",
    ),  # one that needs no scripts: the same requests with a JavaScript runtime and without
}
WANTED = FormatSettings(720, 480, ("avc1", "vp9", "av01"))


@pytest.fixture(autouse=True, scope="module")
def frozen() -> Iterator[None]:
    """As the workers of a crawl do: each fetch looks through all that it may free."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def youtube() -> Iterator[YouTube]:
    with serve(Plan()) as site:
        yield site


def crawl(
    run: Path,
    site: YouTube,
    *videos: str,
    web: dict[str, Any] | None = None,
    opt_out: OptOut | None = None,
    **settings: Any,
) -> list[Row | Reject | Failure]:
    (run / "links.txt").write_text("\n".join(f"https://youtu.be/{video}" for video in videos))
    stage = Crawl(input=str(run / "links.txt"), **settings)
    context = Context(run, web=Web(**{**QUICK, "mirror": site.mirror, **(web or {})}), opt_out=opt_out)
    results: list[Row | Reject | Failure] = []
    with stage.driver(context) as given:
        worker = stage.worker(replace(context, given=given))
        for video in videos:
            try:
                results += worker.process(Unit(f"https://www.youtube.com/watch?v={video}", {}))
            except (Reject, Failure) as outcome:
                results.append(outcome)
    return results


def test_a_video_is_fetched_as_pictures_and_sound_and_described(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, licence=CREATIVE_COMMONS)
    (row,) = crawl(tmp_path, youtube, video.id)
    assert isinstance(row, dict)
    assert (row["video_id"], row["licence"], row["video_codec"], row["audio_codec"]) == (
        *(f"yt:{video.id}", CREATIVE_COMMONS),
        *("h264", "aac"),
    )
    assert row["format"].startswith("136+140 1280x720 avc1 mp4a of ") and "1920x1080 avc1" in row["format"]
    assert row["resolution_fallback"] is None and set(row) <= set(KINDS["videos"].schema.names)
    assert pack_rows(KINDS["videos"], "unit", [row]).num_rows == 1
    assert not list((tmp_path / "raw").glob("tmp-*"))


@pytest.mark.parametrize(
    ("offered", "fetched", "way"),
    [
        ((AVC_1080, AV1_720, VP9_720, AVC_480, AAC, OPUS), "247+251 1280x720 vp9 opus", None),
        ((AVC_1080, AV1_720, AVC_480, AAC), "398+140 1280x720 av01 mp4a", None),
        ((AVC_1080, AVC_480, AAC), "137+140 1920x1080", "up"),
        ((AVC_480, AVC_240, AAC), "135+140 854x480", "down"),
        ((AVC_720, DUB, ORIGINAL), "136+140", None),
    ],
)
def test_the_format_that_is_fetched(
    offered: tuple[Any, ...], fetched: str, way: str | None, tmp_path: Path, youtube: YouTube
) -> None:
    (video,) = youtube.plan.plant(1, formats=offered)
    (row,) = crawl(tmp_path, youtube, video.id)
    assert isinstance(row, dict) and row["format"].startswith(fetched) and row["resolution_fallback"] == way
    if ORIGINAL in offered:
        assert row["language"] == "en-US"


def test_what_is_too_small_is_told_before_any_byte(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, formats=(AVC_240, BOTH_360, AAC))
    (result,) = crawl(tmp_path, youtube, video.id)
    assert isinstance(result, Reject) and result.reason is Reason.LOW_RESOLUTION and "640x360" in result.detail
    assert not youtube.asked("media")


def test_without_scripts_too_small_is_no_verdict(
    tmp_path: Path, youtube: YouTube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.sources.web.net.DenoJsRuntime", lambda: SimpleNamespace(info=None))
    monkeypatch.setattr("pipeline.sources.web.net.FencedDownloader._js_runtimes", {})
    (video,) = youtube.plan.plant(1, formats=(AVC_240, BOTH_360, AAC))
    (result,) = crawl(tmp_path, youtube, video.id, web={"player_clients": ()})
    assert isinstance(result, Failure) and result.reason is Reason.EXTRACTOR_BROKEN
    assert "640x360" in result.detail and 'pip install -U "yt-dlp[default,deno]"' in result.detail
    assert capsys.readouterr().err.count("yt-dlp finds no deno") == 1  # and it was said before


def form(width: int | None, height: int | None, codec: str = "avc1.4d401f", **more: Any) -> dict[str, Any]:
    return {"width": width, "height": height, "vcodec": codec, "acodec": "mp4a", "ext": "mp4", "format_id": "x", **more}


@pytest.mark.parametrize(
    ("width", "height", "lines", "way"),
    [
        (1280, 720, 720, None),
        (960, 720, 720, None),  # 4:3
        (1280, 544, 720, None),  # 21:9
        (720, 1280, 720, None),  # portrait
        (720, 720, 720, None),
        (1278, 718, 719, None),
        (1920, 1080, 1080, "up"),
        (854, 480, 480, "down"),
        (None, 720, 720, None),
        (None, None, None, None),
    ],
)
def test_sizes_of_every_shape(width: int | None, height: int | None, lines: int | None, way: str | None) -> None:
    size = size_of(form(width, height))
    assert (size is None if lines is None else size == pytest.approx(lines, abs=1)) and way == fallback(
        form(width, height), WANTED
    )


@pytest.mark.parametrize(
    ("offers", "best"),
    [
        ([form(1920, 1080), form(2560, 1440), form(854, 480)], 0),
        ([form(640, 480), form(1100, 619)], 1),
        ([form(1280, 720, "vp09.00.40.08"), form(1280, 720, "av01.0.05M.08"), form(1280, 720, "h264")], 2),
        ([form(1280, 720, fps=60), form(1280, 720, fps=30), form(1280, 720, fps=15)], 1),
        ([form(1280, 720, dynamic_range="HDR10"), form(1280, 720, "vp9")], 0),  # the codec first
        ([form(1280, 720, dynamic_range="HDR10"), form(1280, 720, dynamic_range="SDR")], 1),
        ([form(1280, 720, protocol="m3u8_native"), form(1280, 720, protocol="https")], 1),
        ([form(1280, 720, has_drm=True), form(854, 480)], 1),
        ([form(1280, 720, language_preference=-1), form(1920, 1080, language_preference=10)], 0),
        ([form(None, None, None)], 0),  # type: ignore[arg-type] # a bare file
    ],
)
def test_the_best_of_what_is_offered(offers: list[dict[str, Any]], best: int) -> None:
    for order in (offers, offers[::-1]):
        assert choose(order, WANTED) == (offers[best], None)


def test_a_dubbed_file_is_no_way_around_the_original_sound() -> None:
    sound = {"vcodec": "none", "acodec": "opus", "ext": "webm", "format_id": "s", "language_preference": 10}
    dubbed = form(1280, 720, language_preference=-10)
    silent = form(1280, 720, "vp9", acodec="none", ext="webm")
    assert choose([dubbed, silent, sound], WANTED) == (silent, sound)
    levelled = {**sound, "format_id": "s-drc", "abr": 999}
    assert choose([silent, levelled, sound], WANTED) == (silent, sound)
    assert choose([silent], WANTED) == (silent, None)  # no sound is what the video has
    for offers, reason in (([sound], Reason.NO_VIDEO), ([{"ext": "mhtml", "vcodec": "none"}], Reason.EXTRACTOR_BROKEN)):
        with pytest.raises((Reject, Failure)) as caught:
            choose(offers, WANTED)
        assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("planted", "settings", "reason"),
    [
        ({"seconds": 20}, {"min_seconds": 30.0}, Reason.TOO_BRIEF),
        ({"seconds": 7300}, {"max_hours": 2.0}, Reason.TOO_LONG),
        ({}, {"licences": ("creative commons",)}, Reason.WRONG_LICENCE),
        ({"formats": (AVC_720, DUB, ORIGINAL)}, {"languages": ("de", "fr")}, Reason.WRONG_LANGUAGE),
        ({"fault": Trouble.LIVE}, {}, Reason.NOT_FINISHED),
    ],
)
def test_what_nobody_wants_costs_no_byte(
    planted: dict[str, Any], settings: dict[str, Any], reason: Reason, tmp_path: Path, youtube: YouTube
) -> None:
    (video,) = youtube.plan.plant(1, **planted)
    (result,) = crawl(tmp_path, youtube, video.id, **settings)
    assert isinstance(result, Reject | Failure) and result.reason is reason
    assert not youtube.asked("media")
    if isinstance(result, Reject):
        assert not list((tmp_path / "raw").glob("tmp-*"))


def test_wanted_videos_pass(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, licence=CREATIVE_COMMONS, formats=(AVC_720, DUB, ORIGINAL))
    (row,) = crawl(tmp_path, youtube, video.id, min_seconds=5, languages=("de", "en"), licences=("creative commons",))
    assert isinstance(row, dict)


def test_cookies_are_sent_and_left_as_they_are(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1)
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tFALSE\t0\tPREF\thl=en\n")
    before = cookies.read_bytes()
    (row,) = crawl(tmp_path, youtube, video.id, web={"cookies": str(cookies)})
    assert isinstance(row, dict) and cookies.read_bytes() == before  # eight workers would empty it under each other


@pytest.mark.parametrize("content", [None, "[{}]", "no cookies"])
def test_cookies_that_cannot_be_used_are_told_before_anybody_is_asked(
    content: str | None, tmp_path: Path, youtube: YouTube
) -> None:
    if content is not None:
        (tmp_path / "cookies.txt").write_text(content)
    with pytest.raises(StageError, match=r"web\.cookies: .*cookies\.txt"):
        crawl(tmp_path, youtube, "v0005feceb6", web={"cookies": str(tmp_path / "cookies.txt")})
    assert not youtube.requests


def test_who_opted_out_is_not_asked_about(tmp_path: Path, youtube: YouTube) -> None:
    one, other = youtube.plan.plant(2, channel="Someone", channel_id="UC-someone-_0123456789ab")
    (result,) = crawl(tmp_path, youtube, one.id, opt_out=OptOut(frozenset({f"yt:{one.id}"})))
    assert isinstance(result, Reject) and result.reason is Reason.OPTED_OUT and not youtube.requests
    for name in ("someone", "uc-someone-_0123456789ab", "@speakers"):
        (result,) = crawl(tmp_path, youtube, other.id, opt_out=OptOut(channels=frozenset({name})))
        assert isinstance(result, Reject) and result.reason is Reason.OPTED_OUT and not youtube.asked("media"), name


def test_nothing_is_fetched_twice(tmp_path: Path, youtube: YouTube) -> None:
    """A kill after the file is in its place loses the row, not the file; and a filter may change afterwards."""
    (video,) = youtube.plan.plant(1, seconds=7)
    (row,) = crawl(tmp_path, youtube, video.id)
    asked = len(youtube.requests)
    assert crawl(tmp_path, youtube, video.id) == [row] and len(youtube.requests) == asked
    (result,) = crawl(tmp_path, youtube, video.id, min_seconds=60)
    assert isinstance(result, Reject) and result.reason is Reason.TOO_BRIEF
    (result,) = crawl(tmp_path, youtube, video.id, max_megapixels=1e-4)
    assert isinstance(result, Reject) and result.reason is Reason.TOO_LARGE and len(youtube.requests) == asked
    (again,) = crawl(tmp_path, youtube, video.id, codecs=("vp9", "avc1"))  # other bytes are wanted
    assert isinstance(again, dict) and again["video_codec"] == "vp9" and len(youtube.asked("media")) == 4
    (tmp_path / again["path"]).unlink()
    (more,) = crawl(tmp_path, youtube, video.id, codecs=("vp9", "avc1"))
    assert isinstance(more, dict) and more["sha256"] == again["sha256"] and (tmp_path / more["path"]).is_file()


def test_fresh_addresses_carry_on_where_the_old_ones_were_refused(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, fault=Trouble.MEDIA_403_MIDWAY, times=1)
    (row,) = crawl(tmp_path, youtube, video.id)
    assert isinstance(row, dict) and len(youtube.asked("player")) == 2
    refused = next(r for r in youtube.asked("media") if r.status == 403)
    after = youtube.asked("media")[youtube.asked("media").index(refused) + 1]
    assert after.first_byte and after.key != refused.key  # goes on


def test_a_page_sent_for_a_stream_is_no_verdict_on_the_video(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, fault=Trouble.PAGE_AS_VIDEO, times=1)
    (row,) = crawl(tmp_path, youtube, video.id)
    assert isinstance(row, dict)


def test_a_server_that_sends_nothing_is_not_asked_for_ever(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, fault=Trouble.TRUNCATED)
    (result,) = crawl(tmp_path, youtube, video.id)
    assert isinstance(result, Failure) and result.reason is Reason.NETWORK and len(youtube.asked("media")) < 40


def test_a_throttled_player_is_no_broken_one(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1)
    youtube.throttle("player", 1)
    (row,) = crawl(tmp_path, youtube, video.id)
    assert isinstance(row, dict) and len(youtube.asked("watch")) == 2


def test_behind_a_wall_nothing_more_is_asked(tmp_path: Path, youtube: YouTube) -> None:
    videos = [video.id for video in youtube.plan.plant(5)]
    youtube.wall_after = 2
    results = crawl(tmp_path, youtube, *videos)
    assert [isinstance(result, dict) for result in results] == [True, True, False, False, False]
    assert all(result.reason is Reason.BOT_WALL for result in results[2:])  # type: ignore[union-attr]
    assert {r.video for r in youtube.asked("watch")} == set(videos[:3])
    youtube.lift_wall()
    assert all(isinstance(result, dict) for result in crawl(tmp_path, youtube, *videos))
    assert len(youtube.asked("media")) == 2 * len(videos)


def test_the_disk_has_a_floor_and_downloads_a_ceiling(
    tmp_path: Path, youtube: YouTube, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (video.id for video in youtube.plan.plant(2))
    (result,) = crawl(tmp_path, youtube, one, web={"min_free_gigabytes": 1e6})
    assert isinstance(result, Failure) and result.reason is Reason.DISK_LIMIT and not youtube.requests
    ceiling = {"max_raw_gigabytes": 1.5 * sum(map(len, (one, other))) / (1 << 30)}
    (result,) = crawl(tmp_path, youtube, one, web=ceiling)
    assert isinstance(result, Failure) and result.reason is Reason.DISK_LIMIT and not youtube.asked("media")
    usage = shutil.disk_usage(tmp_path)
    frees = iter([1 << 40, 1 << 40])  # and from then on the disk is full: somebody else writes too
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=next(frees, 0)))
    (result,) = crawl(tmp_path, youtube, other, web={"min_free_gigabytes": 1.0})
    assert isinstance(result, Failure) and result.reason is Reason.DISK_LIMIT and "GiB are free" in result.detail
    assert youtube.asked("media")


def test_what_the_search_found_is_copied_to_the_video(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1)
    source = {
        "source": f"https://www.youtube.com/watch?v={video.id}",
        "video_id": f"yt:{video.id}",
        "speech_type": "Panel Forum",
        "language": "en",
        "query": "panel forum",
        "query_rank": 7,
    }
    stage, context = Crawl(input="search"), Context(tmp_path, web=Web(**{**QUICK, "mirror": youtube.mirror}))
    assert stage.sources(None) is None  # type: ignore[arg-type] # units are what the table holds
    with stage.driver(context) as given:
        worker = stage.worker(replace(context, given=given))
        (row,) = worker.process(Unit(str(source["source"]), {"sources": [source]}))
    copied = ("speech_type", "language", "query", "query_rank")
    assert [row[name] for name in copied] == [source[name] for name in copied]
