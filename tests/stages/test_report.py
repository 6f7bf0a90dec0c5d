"""The report: right numbers, inert titles, and a page for every state of a run."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.opt_out import OptOut
from pipeline.tables.results import read_listing
from pipeline.tables.store import Store
from stages.report import Report, cards, charts, funnel, gather, page
from tests.stages import fake_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'\u2028"


def made(run: Path, **settings) -> str:
    stage = Report(**settings)
    worker = stage.worker(Context(run))
    [row] = worker.process(Unit("all", {}))
    assert (row["report"], row["path"]) == ("report", "report/index.html")
    there = {path.relative_to(run).as_posix() for path in (run / "report").rglob("*") if path.is_file()}
    assert set(read_listing(row["files"])) == there
    return (run / "report/index.html").read_text()


def data(run: Path, name: str):
    text = (run / f"report/data/{name}.js").read_text()
    match = re.fullmatch(r'CSG\.add\("([\w-]+)", (.*)\);\n', text)
    assert match
    assert match[1] == name
    return json.loads(match[2])


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two kept, one dropped for two reasons, a clip without people, a short video, a dead link, a failure."""
    store = Store(tmp_path / "a run")
    with fake_run.together(store):
        fake_run.kept(store, 1, 0, 200, title=HOSTILE, channel=HOSTILE, url="javascript:alert(3)")
        fake_run.add_video(store, 2, url="https://www.youtube.com/watch?v=abc&t=5")
        details = ["yaw_degrees 70 deg > 50", HOSTILE]
        fake_run.add_person(store, 2, 100, keep=False, reasons=["side_view", "static_pose"], details=details)
        fake_run.add_clip(store, 2, 300)
        fake_run.refuse(store, "persons", fake_run.clip_id(2, 300), "no_person", "0 of 44 frames")
        fake_run.add_video(store, 3)
        fake_run.refuse(store, "clips", fake_run.video_id(3), "too_short", "longest shot 3 s")
        fake_run.refuse(store, "videos", "https://example.org/x", "gone", HOSTILE)
        fake_run.refuse(store, "videos", "https://example.org/y", "network", HOSTILE, status="failed")
        preview = {"preview_id": fake_run.person_id(1), "video_id": fake_run.video_id(1), "path": "previews/a.webp"}
        fake_run.add(store, "previews", [preview])
    return store


def test_the_funnel_adds_up(store: Store) -> None:
    steps = {step.name: step for step in funnel.steps(gather.gather(store))}
    assert {name: step.units for name, step in steps.items()} == {
        "Asked for": 5, "Videos": 3, "Clips": 4, "People": 3, "Kept": 2, "Data set": 2,
    }  # fmt: skip
    clip = fake_run.FRAMES / 25
    assert steps["Videos"].seconds == 60
    assert steps["Clips"].seconds == pytest.approx(4 * clip)
    losses = {loss.code: loss for step in steps.values() for loss in step.losses}
    assert set(losses) == {"gone", "network", "too_short", "between", "no_person", "side_view"}
    assert losses["gone"].seconds is None
    assert losses["too_short"].seconds == 20
    assert losses["no_person"].seconds == pytest.approx(clip)
    for before, after in (("Videos", "Clips"), ("Clips", "People"), ("People", "Kept")):
        assert steps[after].entered_seconds == pytest.approx(steps[before].seconds)


def test_what_would_return_without_a_reason(store: Store) -> None:
    fake_run.add_person(store, 3, keep=False, reasons=["side_view"], details=["yaw"])
    rows = {row.code: row for row in funnel.totals(gather.gather(store).dropped)}
    assert (rows["side_view"].any, rows["side_view"].only) == (2, 1)
    assert (rows["static_pose"].any, rows["static_pose"].only) == (1, 0)
    assert rows["side_view"].seconds_only == pytest.approx(fake_run.FRAMES / 25)


def test_runs_of_one_name_keep_votes_of_their_own(store: Store, tmp_path: Path) -> None:
    """Served, all are one page to a browser; the same run that is reported again is the same."""

    def mark(run: Path) -> str:
        made(run)
        text = (run / "report/data/summary.js").read_text()
        return json.loads(text.removeprefix("CSG.summary = ").removesuffix(";\n"))["mark"]

    other = Path(shutil.copytree(store.run, tmp_path / "elsewhere" / store.run.name))
    assert mark(store.run) == mark(store.run) != mark(other)


def test_records_carry_times_measures_reasons_and_pictures(store: Store) -> None:
    made(store.run)
    first, second, dropped = data(store.run, "people-0")
    assert first["i"] == fake_run.person_id(1)
    assert first["p"] == "../previews/a.webp"
    assert first["l"] == "../previews/a.loop.webp"
    assert second["p"] is None
    assert second["v"] == "../clips/1-200.mp4"
    assert second["s"] == 8.0
    names = [field.name for field in gather.measures()]
    assert first["m"][names.index("yaw_degrees")] == 6.0
    assert first["m"][names.index("jitter")] is None
    assert dropped["r"] == ["side_view", "static_pose"]
    assert dropped["d"][0] == "yaw_degrees 70 deg > 50"
    assert dropped["u"] == "https://www.youtube.com/watch?v=abc&t=4s"
    assert data(store.run, "refused-no_person")[0]["i"] == fake_run.clip_id(2, 300)
    assert data(store.run, "refused-gone")[0]["t"] == "https://example.org/x"


def test_licences_of_kept_clips_are_counted(store: Store) -> None:
    fake_run.kept(store, 7, licence="CC BY")
    html = re.sub(r"<[^>]+>", "", made(store.run))
    assert "as the sources state them: not stated 2 · CC BY 1." in html


def test_hostile_words_are_inert(store: Store) -> None:
    html = made(store.run, title=HOSTILE)
    tags = Tags(html).tags
    assert [attrs.get("src") for tag, attrs in tags if tag == "script"] == ["app.js", "data/summary.js"]
    assert not [tag for tag, _ in tags if tag == "img"]
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    assert all(not (attrs.get("href") or "").startswith("javascript:") for _, attrs in tags)
    policy = next(attrs["content"] for tag, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "unsafe-inline" not in policy
    for path in (store.run / "report/data").glob("*.js"):
        text = path.read_text()
        assert not set("<>&\u2028") & set(text)
        assert "javascript:" not in text
    assert data(store.run, "people-0")[0]["t"] == HOSTILE
    assert data(store.run, "videos")["channels"][0] == HOSTILE


def test_the_script_never_writes_html() -> None:
    text = page.script()
    assert {path.stem for path in (Path(page.__file__).parent / "app").glob("*.js")} == set(page.SCRIPTS)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|XMLHttp", text)


@pytest.mark.parametrize(
    ("url", "start", "expected"),
    [
        ("https://example.org/a?b=1", 9.0, "https://example.org/a?b=1"),
        ("https://youtu.be/abc", 61.9, "https://youtu.be/abc?t=61s"),
        ("https://www.youtube.com/watch?v=abc", None, "https://www.youtube.com/watch?v=abc"),
        ("javascript:alert(1)", 0, None),
        ("data:text/html,x", 0, None),
        ("file:///etc/passwd", 0, None),
        ("https://", 0, None),
        ("http://[", 0, None),
        (None, 0, None),
    ],
)
def test_only_web_links_are_links(url: str | None, start: float | None, expected: str | None) -> None:
    assert cards.link(url, start) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "\u2013"), (7.4, "7 s"), (245, "4 min 5 s"), (5400, "1.50 h"), (45_000, "12.5 h"), (1_458_000, "405 h")],
)
def test_hours(seconds: float | None, text: str) -> None:
    assert page.hours(seconds) == text


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    html = made(tmp_path)
    assert "Nothing has run yet" in html
    assert "No clip was kept" in html
    assert [path.name for path in (tmp_path / "report/data").iterdir()] == ["summary.js"]


def test_a_run_with_only_rejects_has_a_page(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fake_run.add_video(store, 1)
    fake_run.refuse(store, "clips", fake_run.video_id(1), "too_short", "longest shot 3 s")
    html = made(tmp_path)
    assert "no shot is long enough for a clip" in html
    assert len(data(tmp_path, "refused-too_short")) == 1


def test_large_sheets_come_in_pieces(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        fake_run.kept(store, 1, *range(0, 25_000, 1000))
        fake_run.add_video(store, 2)
        for first in range(0, 9000, 1000):
            fake_run.add_person(store, 2, first, keep=False, reasons=["side_view"], details=["yaw"])
        for video in range(3, 12):
            fake_run.add_video(store, video)
            fake_run.refuse(store, "clips", fake_run.video_id(video), "too_short")
    html = made(tmp_path, clips_a_file=10, dropped_a_reason=4)
    pieces = [data(tmp_path, f"people-{n}") for n in range(4)]
    assert [len(piece) for piece in pieces] == [10, 10, 10, 4]
    assert [row["s"] for row in pieces[0]] == [40.0 * n for n in range(10)], "in order of time"
    assert [row["k"] for row in pieces[2]] == [True] * 5 + [False] * 5
    assert len(data(tmp_path, "refused-too_short")) == 4
    assert "4 of them shown" in html
    assert html.count("<button") <= 2, "cards are made when they are looked at"


def test_data_of_an_older_page_goes(store: Store) -> None:
    made(store.run, clips_a_file=10)
    (store.run / "report/data/kept-0.js").write_text("of an older page")
    made(store.run)
    assert not (store.run / "report/data/kept-0.js").exists()
    assert len(data(store.run, "people-0")) == 3


def test_thresholds_come_from_the_profile_of_the_run(store: Store) -> None:
    text = 'name = "strict"\n[stages.judge]\nmax_yaw_degrees = 6.5\nrequire_audio = true\n'
    (store.run / "profile.toml").write_text(text)
    found = gather.gather(store)
    assert found.limits == {"yaw_degrees": ("max", 6.5)}
    (yaw,) = [chart for chart in charts.histograms(found) if chart.name == "yaw"]
    assert (yaw.limit, yaw.side, yaw.measured) == ("6.5", "max", 3)
    html = made(store.run)
    assert "strict" in html
    assert "at most <b>6.5</b>" in html


def test_measures_with_a_usual_threshold_are_drawn_though_it_is_off(store: Store) -> None:
    for n, where in enumerate([(1, 0), (1, 200), (2, 100)]):
        shares = {"seen_share": 0.1 * n, "wrists_share": 0.1 * n, "crop_side_px": 500 + n}
        fake_run.add(store, "pose_measures", [fake_run.ids(*where) | shares], attempt=2)
    settings = 'min_seen_share = "off"\nmin_wrists_share = "off"\nmin_crop_side_px = 501'
    (store.run / "profile.toml").write_text(f'name = "loose"\n[stages.judge]\n{settings}\n')
    found = charts.histograms(gather.gather(store))
    assert [chart.name for chart in found if chart.limit] == ["crop side"]
    names = {chart.name for chart in found}
    assert "seen" in names and "wrists" not in names  # whose threshold is off by default


def test_what_changes_the_page_changes_what_it_depends_on(store: Store) -> None:
    before = Report().depends(store)
    assert Report().depends(Store(store.run)) == before
    fake_run.refuse(store, "videos", "https://example.org/z", "gone")
    assert Report().depends(Store(store.run)) != before
    assert Report().depends(Store(store.run, OptOut(videos=frozenset({"yt:aaaaaaaaaa1"})))) != Report().depends(store)


DECIDED = [
    f"{fake_run.person_id(1)},keep,Ann,as good as yt:aaaaaaaaaa1",
    f"{fake_run.video_id(2)},drop,Bo,logo",
    "yt:aaaaaaaaaa1/0+130#0,drop,Cy,secret one",
    "https://youtu.be/aaaaaaaaaa1,drop,Cy,secret two",
    "yt:aaaaaaaaaa2,drop,Di,secret three",
]


def overridden(store: Store, data: bytes) -> None:
    path = store.run.parent / "overrides.csv"
    path.write_bytes(data)
    (store.run / "profile.toml").write_text(f'name = "x"\n[stages.judge]\noverrides = "{path}"\n')


def page_with(store: Store, opt_out: OptOut) -> str:
    """All bytes of the page that is made while these people are left out."""
    list(Report().worker(Context(store.run, opt_out=opt_out)).process(Unit("all", {})))
    return "".join(path.read_text() for path in sorted((store.run / "report").rglob("*")) if path.is_file())


def decisions(page: str) -> dict:
    found = re.search(r"CSG.summary = (.*);\n", page)
    assert found
    return json.loads(found[1])["decisions"]


def test_decisions_about_who_opted_out_are_not_on_the_page(store: Store) -> None:
    overridden(store, "\n".join(["id,verdict,who,why", *DECIDED]).encode())
    assert "aaaaaaaaaa1" in page_with(store, OptOut())
    left = page_with(store, OptOut(videos=frozenset({"yt:aaaaaaaaaa1"})))
    assert "aaaaaaaaaa1" not in left and "secret one" not in left and "secret two" not in left
    said = decisions(left)
    assert said["rows"] == [
        [fake_run.person_id(1), "keep", "Ann", ""],
        [fake_run.video_id(2), "drop", "Bo", "logo"],
        ["yt:aaaaaaaaaa2", "drop", "Di", "secret three"],
    ]
    assert (said["strangers"], said["untold"]) == (["yt:aaaaaaaaaa2"], 0)


def test_refused_units_of_who_opted_out_are_counted_not_named(store: Store) -> None:
    own = {"unit": "https://youtu.be/aaaaaaaaaa1", "status": "rejected", "reason": "opted_out", "detail": ""}
    clip = {**own, "unit": "yt:aaaaaaaaaa1/0+250", "reason": "too_short"}
    other = {**clip, "unit": "yt:aaaaaaaaaa2/0+250"}
    tables = replace(
        gather.gather(store), outcomes=pd.DataFrame([own, clip, other]), opted_out=frozenset({"yt:aaaaaaaaaa1"})
    )
    (store.run / "data").mkdir()
    short, out = sorted(page._write_refused(store.run / "data", tables, 10), key=lambda group: -group.units)
    assert (short.units, short.shown, out.units, out.shown) == (2, 1, 1, 0)
    written = "".join(path.read_text() for path in (store.run / "data").iterdir())
    assert "aaaaaaaaaa2/0+250" in written and "aaaaaaaaaa1" not in written


def test_where_channels_opted_out_strangers_are_counted_not_named(store: Store) -> None:
    fake_run.add_video(store, 4, channel="Teacher")
    decided = [*DECIDED, f"{fake_run.video_id(4)},drop,Ed,secret four", f"{fake_run.video_id(3)},drop,Ed,too short"]
    overridden(store, "\n".join(["id,verdict,who,why", *decided]).encode())
    said = decisions(page_with(store, OptOut(channels=frozenset({"teacher"}))))
    hidden = f"secret|youtu.be/aaaa|aaaaaaaaaa2|{fake_run.video_id(4)}"
    assert not re.search(hidden, json.dumps(said))
    assert (len(said["rows"]), said["untold"]) == (3, 3)
    assert said["strangers"] == [fake_run.video_id(3)], "it is known, and of no channel that opted out"


@pytest.mark.parametrize("data", [b"id,verdict\nx,J\xf6rg\n", b"id,verdict\nx," + b"w" * 200_000])
def test_decisions_that_cannot_be_read_are_told_on_the_page(store: Store, data: bytes) -> None:
    overridden(store, data)
    assert "overrides.csv: line 2: " in decisions(page_with(store, OptOut()))["trouble"]
