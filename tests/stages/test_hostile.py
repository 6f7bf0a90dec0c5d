"""The whole way from speech types to clips over a hostile YouTube, and kills in the middle of downloads."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.base.errors import StageError
from pipeline.base.reasons import Reason
from pipeline.base.units import Row
from pipeline.engine.lookup import stage_class
from pipeline.engine.runner import Options, Summary, run_stage
from pipeline.engine.stage import Stage
from pipeline.media.video import probe
from pipeline.registry.models import Registry
from pipeline.sources.web.settings import Web
from pipeline.tables.store import Store
from tests.stages.fake_run import add
from tests.youtube import STANDARD, Plan, Refusal, Request, Trouble, Video, YouTube, films, serve
from tests.youtube.planted import AAC, AVC_480, AVC_720, AVC_1080, DUB, OPUS, ORIGINAL, PROGRESSIVE, VP9_720

# What becomes of a video for which a fault never ends. Where yt-dlp tells several of them apart by luck, all are listed.
VERDICTS: dict[Refusal | Trouble, set[str]] = {
    Refusal.PRIVATE: {"private"},
    Refusal.REMOVED: {"removed"},
    Refusal.REMOVED_BY_SITE: {"removed"},
    Refusal.UNAVAILABLE: {"gone"},
    Refusal.TERMINATED: {"terminated"},
    Refusal.COPYRIGHT: {"copyright"},
    Refusal.GEO_BLOCKED: {"geo_blocked"},
    Refusal.AGE_RESTRICTED: {"age_restricted"},
    Refusal.MEMBERS_ONLY: {"members_only"},
    Refusal.PAID: {"members_only"},
    Refusal.PREMIERE: {"not_finished"},
    Refusal.UPCOMING: {"not_finished"},
    Refusal.ENDED_LIVE: {"removed"},
    Refusal.RATE_LIMITED: {"throttled"},
    Trouble.PLAYER_429: {"throttled"},
    Trouble.PLAYER_503: {"throttled"},
    Trouble.PLAYER_PAGE: {"extractor_broken"},
    Trouble.PLAYER_OTHER: {"extractor_broken"},
    Trouble.NO_FORMATS: {"extractor_broken"},
    Trouble.LIVE: {"not_finished"},
    Trouble.MEDIA_429: {"throttled"},
    Trouble.MEDIA_429_RETRY_AFTER: {"throttled"},
    Trouble.MEDIA_503: {"throttled", "network"},
    Trouble.MEDIA_403: {"throttled"},
    Trouble.MEDIA_403_MIDWAY: {"throttled"},
    Trouble.TRUNCATED: {"network"},
    Trouble.ENDS_EARLY: {"network"},
    Trouble.STALLS: {"network"},
    Trouble.ANNOUNCES_LESS: {"network", "corrupt"},
    Trouble.ANNOUNCES_MORE: {"network"},
    Trouble.PAGE_AS_VIDEO: {"not_media", "corrupt"},
    Trouble.NOISE_AS_VIDEO: {"not_media", "corrupt"},
    Trouble.EMPTY_AS_VIDEO: {"network", "empty_file"},
    Trouble.TO_FILE: {"bad_link"},
    Trouble.TO_METADATA: {"bad_link"},
    Trouble.TO_PRIVATE: {"bad_link"},
    Trouble.TO_LOOPBACK: {"bad_link"},
}
PASSING = [t for t in Trouble if t.name.startswith(("MEDIA_", "PLAYER_"))] + [Trouble.TRUNCATED, Trouble.STALLS]
TITLES = ["<b>bold</b>\n<script>", "line\none\ttwo", "\x00\x1b[31m\u202e", "x" * 10_000, "演讲", "%(id)s {0} $HOME"]
FORMATS = [
    STANDARD,
    PROGRESSIVE,
    (AVC_1080, AAC),
    (AVC_480, AAC),
    (VP9_720, OPUS),
    (AVC_720, DUB, ORIGINAL),
]
COUNT = 300
TYPES = ["Public Lecture", "Panel Forum", "News Anchor", "Stand Up"]
ASKS = ("watch", "player", "search", "next", "embed", "other")
QUICK = {
    "connections": 4,
    "requests_per_hour": 3.6e6,
    "timeout_seconds": 2.5,
    "retries": 2,
    "retry_wait_seconds": 0.01,
    "throttle_retries": 2,
    "throttle_wait_seconds": 0.02,
    "throttle_wait_max_seconds": 0.1,
    "min_free_gigabytes": 0.0,
    "player_clients": (
        "visionos",
    ),  # one that needs no scripts: the same requests with a JavaScript runtime and without
}
SETTINGS: dict[str, dict[str, Any]] = {
    "search": {"videos": COUNT, "quota": "even", "min_seconds": 1.0, "hd_only": False},
    "crawl": {"input": "search"},
    "split": {"min_clip_seconds": 2.0, "max_clip_seconds": 5.0, "target_clip_seconds": 3.0, "vad": []},
}


def planted(count: int) -> Plan:
    """Videos in turn: faults that stay, faults that pass, odd titles, odd formats; shuffled, each found by one type."""
    plan = Plan()
    stay: list[dict[str, Any]] = [{"fault": fault} for fault in VERDICTS for _ in range(3)]
    passing: list[dict[str, Any]] = [{"fault": trouble, "times": 1} for trouble in PASSING for _ in range(2)]
    odd: list[dict[str, Any]] = [{"title": title} for title in TITLES] + [{"formats": forms} for forms in FORMATS]
    special = [*stay, *passing, *odd, {"fault": Trouble.TO_OTHER_HOST, "times": 1}]
    special += [{} for _ in range(count - len(special))]
    random.Random(405).shuffle(special)
    for number, own in enumerate(special[:count]):
        plan.plant(1, [TYPES[number % len(TYPES)].lower()], first=number, **own)
    return plan


@contextmanager
def running(plan: Plan, run: Path) -> Iterator[YouTube]:
    rows = [
        {
            "speech_type": name,
            "group": "Speech",
            "register": "formal",
            "languages": ["en"],
            "keywords": [[name.lower()]],
        }
        for name in TYPES
    ]
    for row in rows:
        add(Store(run), "types", [row])
    with serve(plan) as youtube:
        youtube.stall_seconds = 3.5
        yield youtube


def stage(name: str) -> Stage:
    return stage_class(name)(**SETTINGS[name])


def go(name: str, run: Path, youtube: YouTube, **settings: Any) -> Summary:
    web = Web(**{**QUICK, "mirror": youtube.mirror, **settings})
    return run_stage(stage(name), run, Registry(cache=run / "nets"), Options(workers=2, web=web))


def outcomes(run: Path, kind: str = "videos") -> dict[str, Row]:
    return {row["unit"]: row for row in Store(run).outcomes(kind).to_pylist()}


def link(video: Video) -> str:
    return f"https://www.youtube.com/watch?v={video.id}"


class Memory(threading.Thread):
    """Watches this process's children: (players given out, MiB of the largest worker) over time."""

    def __init__(self, youtube: YouTube) -> None:
        super().__init__(daemon=True)
        self._youtube, self._over = youtube, threading.Event()
        self.seen: list[tuple[int, float]] = []

    def run(self) -> None:
        while not self._over.wait(0.2):  # twenty videos may take no more than two seconds
            sizes = [0.0]
            for child in psutil.Process().children(recursive=True):  # workers are forks of a child
                try:
                    if "python" in child.name():
                        sizes.append(child.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            videos = {request.video for request in self._youtube.asked("player")}
            self.seen.append((len(videos), max(sizes)))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def most(self, first: int, last: int) -> float:
        return max(size for videos, size in self.seen if first <= videos <= last)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_three_hundred_videos_and_every_fault(tmp_path: Path) -> None:
    plan = planted(COUNT)
    with running(plan, tmp_path) as youtube:
        assert go("search", tmp_path, youtube).counts == {"ok": len(TYPES)}
        assert Store(tmp_path).read("sources").num_rows == COUNT

        memory = Memory(youtube)
        memory.start()
        youtube.wall_after = COUNT // 2
        with pytest.raises(StageError, match=r"(?s)not a bot.*(cookies|wait)"):
            go("crawl", tmp_path, youtube)
        walled = [number for number, request in enumerate(youtube.requests) if request.walled]
        first = next(n for n in walled if youtube.requests[n].place == "player")
        further = [request for request in youtube.requests[first + 1 :] if request.place in ASKS]
        assert len(further) <= 3, further

        youtube.lift_wall()
        for _ in range(2):  # the second time for what came right only after it was given up
            done = {unit for unit, outcome in outcomes(tmp_path).items() if outcome["status"] != "failed"}
            before = len(youtube.requests)
            go("crawl", tmp_path, youtube)
            assert done and not {link(plan.videos[r.video]) for r in youtube.requests[before:] if r.video} & done
        memory.stop()
        check_verdicts(tmp_path, plan)
        check_bytes(youtube)
        assert not youtube.asked("elsewhere")
        growth = memory.most(250, COUNT) - memory.most(40, 60)
        print(f"a worker's memory grew by {growth:.0f} MiB from the 50th video to the {COUNT}th")
        assert growth < 50, memory.seen

        before = len(youtube.requests)
        assert go("split", tmp_path, youtube).counts == {"ok": len(good(plan))}
        assert len(youtube.requests) == before
    check_clips(tmp_path, plan)


def good(plan: Plan) -> list[Video]:
    return [video for video in plan.videos.values() if video.fault not in VERDICTS or video.times]


def check_verdicts(run: Path, plan: Plan) -> None:
    """Every video ended as it should, and what counts as a video is one."""
    found, wrong = outcomes(run), {}
    for video in plan.videos.values():
        outcome = found[link(video)]
        wanted = {""} if video in good(plan) else VERDICTS[video.fault]  # type: ignore[index]
        if outcome["reason"] not in wanted or (outcome["status"] == "ok") != (wanted == {""}):
            said = outcome["status"], outcome["reason"], outcome["detail"]
            wrong[video.id] = (video.fault, video.times, [f.itag for f in video.formats], said)
        if outcome["status"] != "ok":
            kind = Reason.of(outcome["reason"]).kind.value
            assert outcome["status"] == ("failed" if kind in ("later", "blocked", "bug") else "rejected")
    assert not wrong, "\n".join(map(str, wrong.values()))
    rows = Store(run).read("videos").to_pylist()
    assert {row["video_id"] for row in rows} == {f"yt:{video.id}" for video in good(plan)}
    assert len({row["sha256"] for row in rows}) == len(rows)
    for row in rows:
        content = (run / row["path"]).read_bytes()
        assert row["video_id"][3:].encode() in content and row["audio_codec"]
        assert probe(run / row["path"]).duration_seconds == pytest.approx(films.SECONDS, abs=0.1)
        assert row["title"] is None or (row["title"].isprintable() and len(row["title"]) <= 300)
    undone = [unit for unit, outcome in found.items() if outcome["status"] == "failed"]
    folders = {f"tmp-{hashlib.sha256(unit.encode()).hexdigest()[:16]}" for unit in undone}
    assert {path.name for path in (run / "raw").glob("tmp-*")} <= folders  # what is done leaves nothing half done


def check_bytes(youtube: YouTube) -> None:
    """No byte of a stream was sent twice, but where the server itself had spoilt it.

    Two streams are forgiven: of the one that the wall's end of the command cut, what lay in the pipes is lost, which may be
    all of a film of this size; and a machine that stands still for longer than `timeout_seconds` loses one more.
    """
    spoilt = (Trouble.ENDS_EARLY, Trouble.ANNOUNCES_LESS, Trouble.ANNOUNCES_MORE, Trouble.NOISE_AS_VIDEO)
    spoilt += (Trouble.PAGE_AS_VIDEO, Trouble.EMPTY_AS_VIDEO)
    spoilt += (Trouble.STALLS,)  # what yt-dlp has read of a block when it gives up is lost with it
    sent: dict[tuple[str, str], int] = defaultdict(int)
    for request in youtube.asked("media"):
        if request.status in (200, 206):
            sent[request.video, itag(request)] += request.sent
    twice = []
    for (video, number), total in sent.items():
        planted = youtube.plan.videos[video]
        if planted.fault not in spoilt:
            size = max(len(planted.content(form)) for form in planted.formats if str(form.itag) == number)
            if total > size:
                asked = [
                    (request.status, request.first_byte, request.sent) for request in youtube.asked("media", video)
                ]
                twice.append((planted.fault, planted.times, number, total, size, asked))
            assert total <= 2 * size, twice[-1]
    assert len(twice) <= 2, "\n".join(map(str, twice))
    streams = Counter(video for video, _ in sent)
    assert max(streams.values()) <= 2  # pictures and sound: no other format is tried


def itag(request: Request) -> str:
    found = re.search(r"itag=(\d+)", request.path)
    assert found
    return found[1]


def check_clips(run: Path, plan: Plan) -> None:
    """The cut was found in every film."""
    shots = defaultdict(set)
    for row in Store(run).read("clips").to_pylist():
        shots[row["video_id"]].add((row["shot_first_frame"], row["shot_frames"]))
    cut, end = round(films.CUT_SECONDS * 25), films.SECONDS * 25
    assert set(shots) == {f"yt:{video.id}" for video in good(plan)}
    for found in shots.values():
        assert {first for first, _ in found} == {0, cut}
        assert all(end - 1 <= first + frames <= end or cut - 1 <= first + frames <= cut for first, frames in found)


# Kills

KILLS = 10
VIDEOS = 24
SLOWLY = 45_000.0  # bytes a second and connection: a film takes three seconds


@contextmanager
def driver(run: Path, youtube: YouTube) -> Iterator[subprocess.Popen[str]]:
    web = json.dumps({**QUICK, "timeout_seconds": 10.0, "mirror": youtube.mirror})
    stages = [text for name in ("search", "crawl") for text in (name, json.dumps(SETTINGS[name]))]
    command = [sys.executable, "-m", "tests.youtube.drive", str(run), web, *stages]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    return process.stdout.read() if process.stdout else ""


def until(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def kept(run: Path) -> dict[str, Any]:
    """What counts in the end: the rows but their paths' order in time, and the files."""
    rows = Store(run).read("videos").to_pylist()
    states = {unit: (o["status"], o["reason"]) for unit, o in outcomes(run).items()}
    files = {row["path"]: (run / row["path"]).read_bytes() for row in rows}
    return {"rows": rows, "states": states, "sources": Store(run).read("sources").to_pylist(), "files": files}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_kills_in_mid_download(tmp_path: Path) -> None:
    plan, moments = Plan(), random.Random(405)
    for number in range(VIDEOS):
        formats = FORMATS[number % len(FORMATS)]
        plan.plant(1, [TYPES[number % len(TYPES)].lower()], first=number, formats=formats)
    undisturbed = tmp_path / "undisturbed"
    with running(plan, undisturbed) as youtube, driver(undisturbed, youtube) as process:
        assert process.wait(120) == 0, said(process)
    expected = kept(undisturbed)
    assert {state for state, _ in expected["states"].values()} == {"ok"}

    run, resumed = tmp_path / "disturbed", 0
    with running(plan, run) as youtube:
        youtube.bytes_per_second = SLOWLY
        for number in range(KILLS):
            before = len(youtube.requests)
            with driver(run, youtube) as process:
                children: list[psutil.Process] = []
                until(lambda: process.poll() is not None or _media_since(youtube, before), 90)  # noqa: B023
                assert process.poll() is None, f"it ended before kill {number + 1}: {said(process)}"
                time.sleep(moments.uniform(0.05, 1.2))
                children = psutil.Process(process.pid).children(recursive=True)
                os.kill(process.pid, signal.SIGKILL)
            until(lambda: not [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], 60)  # noqa: B023
            resumed += sum(1 for r in _media_since(youtube, before) if r.first_byte)
        youtube.bytes_per_second = 0.0
        with driver(run, youtube) as process:
            assert process.wait(120) == 0, said(process)
        check_resumed(youtube)
    assert resumed >= KILLS
    found = kept(run)
    for part in expected:
        assert found[part] == expected[part], part


def _media_since(youtube: YouTube, before: int) -> list[Request]:
    return [request for request in youtube.requests[before:] if request.place == "media"]


def check_resumed(youtube: YouTube) -> None:
    """What was on the disk when a driver died was not fetched again: only what was under way is lost."""
    sent: dict[tuple[str, str], int] = defaultdict(int)
    asked: Counter[tuple[str, str]] = Counter()
    for request in youtube.asked("media"):
        sent[request.video, itag(request)] += request.sent
        asked[request.video, itag(request)] += 1
    lost = 0
    for (video, number), total in sent.items():
        forms = [form for form in youtube.plan.videos[video].formats if str(form.itag) == number]
        lost += max(0, total - max(len(youtube.plan.videos[video].content(form)) for form in forms))
    # Up to a block of the server's and what lay in the pipes, for each connection that a kill cut.
    assert lost <= KILLS * 4 * (64 << 10), lost
