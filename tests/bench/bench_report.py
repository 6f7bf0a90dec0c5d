"""The report of a large run in headless Chromium: first paint, the answer to a drag, the heap; and what writing it costs.

python -m tests.bench report [--rounds N]
"""

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.tables.store import Store
from stages.judge import CHECKS
from stages.report import gather, page
from stages.report.gather import COSTLY, RunTables
from stages.report.settings import ReportSettings
from tests.bench.table import Goal, Row, Skipped
from tests.browser import CHROMIUM, Page, chromium

PEOPLE, VIDEOS = 200_000, 20_000
READY = "document.documentElement.dataset.ready !== undefined"
STEPS = 40  # of a drag
# The time from a movement of the pointer until the picture after it is made.
WATCH = """window.answers = []; addEventListener("pointermove", () => {
    const start = performance.now(); const channel = new MessageChannel();
    channel.port1.onmessage = () => answers.push(performance.now() - start);
    requestAnimationFrame(() => channel.port2.postMessage(0));
}, true);"""


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    if not CHROMIUM:
        raise Skipped("Chromium is not here")
    began = time.monotonic()
    page.write(folder / "report", tables(folder), ReportSettings())
    yield Row(f"report: writing the page of {PEOPLE:,} people", "s", time.monotonic() - began)
    size = sum(path.stat().st_size for path in (folder / "report").rglob("*") if path.is_file())
    yield Row("report: its size", "MB", size / 1e6)
    found = [look(folder / "report/index.html") for _ in range(rounds)]
    for what, unit, bound in (
        ("first paint", "ms", 1000),
        ("until everybody is counted", "ms", None),
        ("drag, median answer", "ms", 50),
        ("drag, slowest answer", "ms", 50),
        ("recount", "ms", None),
        ("gallery sorted by a measure", "ms", None),
        ("heap after all that", "MB", 150),
    ):
        samples = [one[what] for one in found]
        goal = None if bound is None else Goal("value", bound)
        yield Row(f"report: {what}", unit, statistics.median(samples), goal=goal, samples={"ours": samples})


def look(index: Path) -> dict[str, float]:
    """One visit: opened, a threshold dragged to and fro, the gallery sorted."""
    with chromium() as browser:
        tab = browser.page()
        tab.size(1280, 900)
        tab.open(index.as_uri())
        paint = tab.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        tab.wait(READY)
        ready = tab.run("performance.now()")
        answers = dragged(tab)
        recount = tab.run(timed("Argue.recount.all()", 20))
        order = tab.run(timed("await Gallery.ask({order: 'by yaw_degrees', who: 'dropped'})", 1))
        tab.run("Gallery.ask({order: 'nearest'})")
        heap = held(tab)
    return {
        "first paint": paint,
        "until everybody is counted": ready,
        "drag, median answer": statistics.median(answers),
        "drag, slowest answer": max(answers),
        "recount": recount,
        "gallery sorted by a measure": order,
        "heap after all that": heap / 1e6,
    }


def timed(script: str, times: int) -> str:
    """An expression: the milliseconds that a script takes, the mean of some times."""
    loop = f"for (let i = 0; i < {times}; i += 1) {{ {script}; }}"
    return f"(async () => {{ const t = performance.now(); {loop} return (performance.now() - t) / {times}; }})()"


def dragged(tab: Page) -> list[float]:
    """Milliseconds from each movement to the picture that shows what comes of it."""
    plot = "Argue.limits.find((limit) => limit.check.setting === 'min_hand_seen_share').plot"
    for _ in range(2):  # what lies above gets its height when it comes near the window
        tab.run(f"{plot}.scrollIntoView({{ block: 'center', behavior: 'instant' }})")
        tab.run("new Promise((done) => setTimeout(done, 300))")
    x, y, width = tab.run(
        f"(() => {{ const b = {plot}.getBoundingClientRect(); return [b.x, b.y + b.height / 2, b.width]; }})()"
    )
    tab.run(WATCH)
    at = {"y": y, "button": "left", "clickCount": 1}
    tab.send("Input.dispatchMouseEvent", type="mousePressed", buttons=1, x=x + width / 2, **at)
    for step in range(STEPS):
        share = 0.5 + 0.45 * np.sin(2 * np.pi * step / STEPS)
        tab.send("Input.dispatchMouseEvent", type="mouseMoved", buttons=1, x=x + width * share, **at)
    tab.send("Input.dispatchMouseEvent", type="mouseReleased", buttons=0, x=x + width / 2, **at)
    tab.wait("answers.length")
    found: list[float] = json.loads(tab.run("JSON.stringify(answers)"))
    return found


def held(tab: Page) -> int:
    """Bytes in use after a collection: of the script's heap, the page's own, and arrays beside them."""
    tab.send("HeapProfiler.collectGarbage")
    usage = tab.send("Runtime.getHeapUsage")
    return int(sum(usage.get(name, 0) for name in ("usedSize", "embedderHeapUsedSize", "backingStorageSize")))


def tables(folder: Path) -> RunTables:
    """A run of made-up people: every measure has its own value for each of them, most on the good side of its threshold."""
    rng = np.random.default_rng(405)
    people = someone(rng)
    settings = {check.setting: check.default for check in CHECKS if check.default is not None}
    against = [
        (check, check.fails(people[check.measure].to_numpy(float), settings[check.setting]))
        for check in CHECKS
        if check.setting in settings
    ]
    reasons: list[list[str]] = [[] for _ in range(PEOPLE)]
    for check, fails in against:
        for person in np.flatnonzero(fails):
            if check.reason.code not in reasons[person]:
                reasons[person].append(check.reason.code)
    people["reasons"] = reasons
    people["details"] = [[f"{code} told in a line of its own" for code in codes] for codes in reasons]
    people["keep"] = [not codes for codes in reasons]
    people["reason"] = [codes[0] if codes else "" for codes in reasons]
    people["sample"] = ["clips/a.mp4" if kept else None for kept in people["keep"]]
    empty = gather.gather(Store(folder))
    profile: dict[str, Any] = {"name": "bench", "stages": {"judge": settings}}
    return RunTables(**{**vars(empty), "name": "bench", "profile": profile, "people": people})


def someone(rng: np.random.Generator) -> pd.DataFrame:
    """Ids, words and measures of everybody."""
    video = np.repeat(np.arange(VIDEOS), PEOPLE // VIDEOS)
    clip = np.tile(np.arange(PEOPLE // VIDEOS), VIDEOS)
    ids = [f"file:{one:016x}" for one in video]
    clips = [f"{one}/{250 * at}+250" for one, at in zip(ids, clip, strict=True)]
    words = {
        "person_id": [f"{one}#0" for one in clips], "clip_id": clips, "video_id": ids,
        "title": [f"A talk about matter number {one}, and what came of it" for one in video],
        "channel": [f"Channel {one % 900}" for one in video], "url": [f"https://example.org/{one}" for one in video],
        "licence": "CC BY", "speech_type": [f"type {one % 60}" for one in video], "speaker": [f"s{one:06d}" for one in video],
        "overridden": False, "start_seconds": 10.0 * clip, "seconds": 10.0, "person": 0, "has_audio": True, "clips_person": None,
        "unmeasured": [[]] * PEOPLE, "crop_box": [[300, 0, 1020, 720]] * PEOPLE,
    }  # fmt: skip
    numbers: dict[str, Any] = {f"in_{kind}": True for kind in COSTLY}
    limits = {check.measure: (check.side, check.default) for check in CHECKS}
    for field in gather.measures():
        side, limit = limits.get(field.name, ("min", None))
        away = rng.gamma(2, 0.4, PEOPLE) - 0.1  # some 3 in 100 lie on the bad side
        middle = 0.5 if limit is None else limit
        values = middle + away * (abs(middle) + 0.1) * (1 if side == "min" else -1)
        if pa.types.is_integer(field.type):
            numbers[field.name] = np.round(values)
        elif pa.types.is_floating(field.type):
            numbers[field.name] = values
    missing = {field.name: None for field in gather.measures() if field.name not in numbers and field.name not in words}
    return pd.DataFrame({**missing, **numbers, **words})
