"""The stand-in is worth nothing unless yt-dlp's own extractor reads it as it reads YouTube."""

import io
import logging
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import pytest
from yt_dlp.utils import DownloadError

from pipeline.media.video import ffmpeg_exe
from pipeline.sources.web.net import FencedDownloader, RefusedRequest
from pipeline.sources.web.settings import Web
from tests.youtube import CREATIVE_COMMONS, Plan, Refusal, Trouble, YouTube, films, serve, video_id
from tests.youtube.planted import AAC, AVC_720, DUB, OPUS, ORIGINAL, PROGRESSIVE, VP9_720


@pytest.fixture
def youtube() -> Iterator[YouTube]:
    with serve(Plan()) as site:
        yield site


def downloader(site: YouTube, folder: Path, **params: Any) -> FencedDownloader:
    own = {
        "quiet": True,
        "noprogress": True,
        "logger": logging.getLogger("yt_dlp"),
        "cachedir": False,
        "outtmpl": f"{folder}/%(id)s.%(ext)s",
        "ffmpeg_location": ffmpeg_exe(),
        "retries": 0,
    }
    web = Web(mirror=site.mirror, timeout_seconds=2, player_clients=("visionos",))  # one that needs no scripts
    return FencedDownloader({**own, **params}, web)


def watch(video: str) -> str:
    return f"https://www.youtube.com/watch?v={video}"


@pytest.mark.parametrize("kind", films.KINDS)
def test_films_decode_and_are_the_videos_own(kind: str) -> None:
    one, other = films.film(0, kind, video_id(1)), films.film(0, kind, video_id(2))
    assert one != other and len(one) == len(other)
    with av.open(io.BytesIO(one)) as file:
        stream = file.streams[0]
        assert sum(1 for _ in file.decode(stream)) > (100 if stream.type == "video" else 300)
        assert float(file.duration or 0) / 1e6 == pytest.approx(films.SECONDS, abs=0.1)


def test_ids_are_distinct_and_as_odd_as_real_ones() -> None:
    ids = [video_id(number) for number in range(2000)]
    assert len(set(ids)) == 2000 and {len(name) for name in ids} == {11}
    assert len({name.lower() for name in ids}) < 2000 and any(name.startswith("-") for name in ids)


def test_the_extractor_reads_what_was_planted(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, licence=CREATIVE_COMMONS, title="A <b>bold</b> talk", uploaded="2023-01-31")
    with downloader(youtube, tmp_path) as ydl:
        info = ydl.extract_info(watch(video.id), download=False)
    said = {"title": "A <b>bold</b> talk", "channel": "Speakers", "license": CREATIVE_COMMONS, "duration": 7}
    assert {name: info[name] for name in said} == said
    assert (info["upload_date"], info["channel_id"], info["live_status"]) == ("20230131", video.channel_id, "not_live")
    offered = {(f["format_id"], f.get("height"), f["vcodec"].partition(".")[0]) for f in info["formats"]}
    assert {("136", 720, "avc1"), ("247", 720, "vp9"), ("398", 720, "av01"), ("251", None, "none")} <= offered
    assert Counter(request.place for request in youtube.requests)["player"] >= 1
    assert not youtube.asked("next") and not youtube.asked("media")  # the watch page said it all


@pytest.mark.parametrize(("itags", "codecs"), [("136+140", ["h264", "aac"]), ("247+251", ["vp9", "opus"])])
def test_sound_and_pictures_are_merged(tmp_path: Path, youtube: YouTube, itags: str, codecs: list[str]) -> None:
    (video,) = youtube.plan.plant(1, formats=(AVC_720, VP9_720, AAC, OPUS))
    with downloader(youtube, tmp_path, format=itags) as ydl:
        ydl.extract_info(watch(video.id))
    (path,) = tmp_path.iterdir()
    with av.open(str(path)) as file:
        assert [stream.codec_context.name for stream in file.streams] == codecs
    assert video.id.encode() in path.read_bytes()  # two videos of one film do not end as one file


def test_one_file_for_both(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, formats=PROGRESSIVE)
    with downloader(youtube, tmp_path) as ydl:
        assert ydl.extract_info(watch(video.id))["format_id"] == "22"
    assert (tmp_path / f"{video.id}.mp4").read_bytes() == video.content(PROGRESSIVE[0])


def test_tracks_of_sound_are_told_apart(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, formats=(AVC_720, DUB, ORIGINAL))
    with downloader(youtube, tmp_path) as ydl:
        info = ydl.extract_info(watch(video.id), download=False)
    tracks = {f["language"]: f["language_preference"] for f in info["formats"] if f["vcodec"] == "none"}
    assert tracks == {"de-DE": 5, "en-US": 10}


def test_a_download_goes_on_where_it_stopped(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, fault=Trouble.TRUNCATED, times=1, formats=PROGRESSIVE)
    with downloader(youtube, tmp_path, retries=2) as ydl:
        ydl.extract_info(watch(video.id))
    size = len(video.content(PROGRESSIVE[0]))
    assert [r.first_byte for r in youtube.asked("media")] == [0, size // 2]
    assert (tmp_path / f"{video.id}.mp4").read_bytes() == video.content(PROGRESSIVE[0])


def test_an_address_dies_and_a_fresh_one_works(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, fault=Trouble.MEDIA_403_MIDWAY, times=1, formats=PROGRESSIVE)
    with downloader(youtube, tmp_path, retries=2) as ydl:
        with pytest.raises(DownloadError, match="403"):
            ydl.extract_info(watch(video.id))
        ydl.extract_info(watch(video.id))
    assert [request.status for request in youtube.asked("media")] == [206, 403, 206]
    assert (tmp_path / f"{video.id}.mp4").read_bytes() == video.content(PROGRESSIVE[0])


@pytest.mark.parametrize("refusal", Refusal)
def test_refusals_arrive_in_youtubes_words(tmp_path: Path, youtube: YouTube, refusal: Refusal) -> None:
    (video,) = youtube.plan.plant(1, fault=refusal)
    with downloader(youtube, tmp_path) as ydl, pytest.raises(DownloadError) as error:
        ydl.extract_info(watch(video.id), download=False)
    last = refusal.reason if "Sign in to confirm" in refusal.reason else refusal.subreason or refusal.reason
    assert last.split(".")[0][:40] in str(error.value)  # pleas to sign in lose what follows them
    assert not youtube.asked("media")


@pytest.mark.parametrize("trouble", [t for t in Trouble if t.name.startswith("TO_") and t is not Trouble.TO_OTHER_HOST])
def test_redirects_lead_nowhere_they_should_not(tmp_path: Path, youtube: YouTube, trouble: Trouble) -> None:
    (video,) = youtube.plan.plant(1, fault=trouble, formats=PROGRESSIVE)
    with downloader(youtube, tmp_path) as ydl, pytest.raises((DownloadError, RefusedRequest)):
        ydl.extract_info(watch(video.id))
    assert youtube.asked("media") and not youtube.asked("elsewhere")


def test_a_redirect_to_another_host_of_the_site(tmp_path: Path, youtube: YouTube) -> None:
    (video,) = youtube.plan.plant(1, fault=Trouble.TO_OTHER_HOST, times=1, formats=PROGRESSIVE)
    with downloader(youtube, tmp_path) as ydl:
        ydl.extract_info(watch(video.id))
    assert [r.host for r in youtube.asked("media")] == [
        "rr3---sn-4g5e6n7k.googlevideo.com",
        "rr9---sn-other.googlevideo.com",
    ]


def test_the_wall_comes_up_and_goes(tmp_path: Path, youtube: YouTube) -> None:
    videos = youtube.plan.plant(4)
    youtube.wall_after = 2
    with downloader(youtube, tmp_path) as ydl:
        for video in videos[:2]:
            ydl.extract_info(watch(video.id), download=False)
        with pytest.raises(DownloadError, match="not a bot"):
            ydl.extract_info(watch(videos[2].id), download=False)
        youtube.lift_wall()
        ydl.extract_info(watch(videos[2].id), download=False)


@pytest.mark.slow
def test_a_playlist_of_five_thousand(tmp_path: Path, youtube: YouTube) -> None:
    videos = youtube.plan.plant(5000)
    youtube.plan.playlists["PLlong"] = [video.id for video in videos]
    with downloader(youtube, tmp_path, extract_flat=True, lazy_playlist=True) as ydl:
        address = "https://www.youtube.com/playlist?list=PLlong"
        few = list(islice(ydl.extract_info(address, download=False, process=False)["entries"], 150))
        pages = len(youtube.asked("browse"))
        everything = list(ydl.extract_info(address, download=False, process=False)["entries"])
    assert [entry["id"] for entry in few] == [video.id for video in videos[:150]] and pages <= 2
    assert [entry["id"] for entry in everything] == [video.id for video in videos]


def test_a_host_that_is_none_of_the_sites_is_not_answered(youtube: YouTube) -> None:
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{youtube.mirror}/www.youtube.com/nowhere", timeout=5)
    assert [(r.place, r.host, r.status) for r in youtube.requests] == [("other", "www.youtube.com", 404)]
