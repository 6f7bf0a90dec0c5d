"""The report as people argue over it, in headless Chromium: what it counts is what judge keeps."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.base import toml
from pipeline.cli import main as cli
from pipeline.engine.chosen import settings_of
from pipeline.engine.plan import plan
from pipeline.engine.profile import as_toml
from pipeline.engine.stage import Context
from pipeline.engine.thresholds import Threshold
from pipeline.tables.store import Store
from stages.judge import CHECKS, Judge
from tests.browser import CHROMIUM, Browser, Page, chromium
from tests.stages import fake_run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="Chromium is not here")]

PEOPLE = 90
WHOLE = ("crop_side_px", "voices")
TITLE = "<img src=x onerror=window.hacked=1> & 'more'"
NOTES = "document.querySelector('[data-notes]').innerText"
KEPT = "[...Array(EVERYBODY.count).keys()].filter((i) => Argue.recount.kept[i]).map(personId)"
READY = "document.documentElement.dataset.ready !== undefined"
STRANGER = "file:00000000000000ff/0+9#0"


def csg405(*arguments: str) -> str:
    found = CliRunner().invoke(cli.main, list(arguments))
    assert found.exit_code == 0, found.output + repr(found.exception)
    return found.output


def judged(run: Path, **settings: Any) -> set[str]:
    """Whom judge keeps."""
    judge, store = Judge(**settings), Store(run)
    rows = judge.worker(Context(run)).process(plan(judge, store).unit(0))
    return {row["person_id"] for row in rows if row["keep"]}


def kept(run: Path) -> set[str]:
    """Whom the run's verdicts keep."""
    return {row["person_id"] for row in Store(run).read("verdicts", ["person_id", "keep"]).to_pylist() if row["keep"]}


def moved(check: Threshold, rng: np.random.Generator) -> float | int | None:
    """A limit near the usual one, mostly off."""
    limit = (0.5 if check.default is None else check.default) * rng.uniform(0.7, 1.3)
    limit = min(1.0, limit) if check.setting.endswith("_share") else limit
    return None if rng.random() < 0.7 else round(limit) if check.measure in WHOLE else float(limit)


def measured(rng: np.random.Generator, kind: str, lax: float) -> dict[str, Any]:
    """Measures of a kind around their usual thresholds, most on the good side, one in twelve not known."""
    found: dict[str, Any] = {}
    for check in (check for check in CHECKS if check.kind == kind):
        limit = 0.5 if check.default is None else check.default
        away = (abs(limit) + 0.1) * (rng.random() - lax)
        value = limit + away if check.side == "max" else limit - away
        found[check.measure] = (
            None if rng.random() < 1 / 12 else round(value) if check.measure in WHOLE else float(value)
        )
    return found


def fill(run: Path) -> None:
    """Talks with people of every kind: silent, not the manifest's, held back by the gate, measured in part."""
    store, rng = Store(run), np.random.default_rng(5)
    with fake_run.together(store):
        for number in range(PEOPLE // 3):
            fake_run.add_video(
                store,
                number,
                title=TITLE if number == 0 else f"Talk {number}",
                speech_type=["vlog", "news"][number % 2],
            )
            for person in range(3):
                first = 200 * (person // 2)
                ids = fake_run.ids(number, first, person=person % 2)
                clip = {name: ids[name] for name in ("clip_id", "video_id")}
                if person % 2 == 0:
                    fake_run.add_clip(store, number, first)
                    sound = measured(rng, "sound_measures", 0.97)
                    fake_run.add(store, "sound_measures", [clip | {"has_audio": number % 7 != 3} | sound])
                    if number % 4:
                        fake_run.add(store, "overlaps", [clip | measured(rng, "overlaps", 0.97)])
                fake_run.add_persons_row(store, number, first, person=person % 2)
                pose = measured(rng, "pose_measures", 0.97) | {"crop_box": [0, 0, 512, 512]}
                fake_run.add(
                    store, "pose_measures", [ids | pose | {"clips_person": None if number % 9 else person == 0}]
                )
                if number % 4:
                    fake_run.add(store, "lip_syncs", [ids | measured(rng, "lip_syncs", 0.97)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was judged, with overrides, and its report."""
    folder = tmp_path_factory.mktemp("argued") / "a run"
    fill(folder)
    overrides = folder.parent / "first.csv"
    lines = [
        "id,verdict,who,why",
        f'{fake_run.person_id(1)},keep,Ann,"good, really"',
        f"{fake_run.video_id(2)},drop,Bo,logo",
    ]
    overrides.write_text("\n".join([*lines, f"{fake_run.person_id(2)},unsure,Ann,", f"{STRANGER},drop,Ann,"]) + "\n")
    about = ("--profile", "folder", "--run", str(folder), "--workers", "0")
    csg405("run", "judge", "report", *about, "--set", f"judge.overrides={overrides}")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, run: Path, tmp_path: Path) -> Iterator[Page]:
    """The report in a new tab, without votes, which saves into `tmp_path`."""
    tab = browser.page()
    tab.size(1280, 900)
    tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.open((run / "report/index.html").as_uri())
    tab.wait(READY)
    yield tab
    tab.run("localStorage.clear()")
    assert not tab.logged
    assert all(url.startswith(("file:", "blob:")) for url in tab.requested), "no request leaves the page"


def saved(page: Page, words: str, path: Path) -> Path:
    """The file that a button of the page saves."""
    page.run(
        f"[...document.querySelectorAll('[data-now] button')].find((b) => b.textContent === {json.dumps(words)}).click()"
    )
    for _ in range(200):
        if path.is_file() and path.stat().st_size:
            return path
        page.run("new Promise((done) => setTimeout(done, 20))")
    raise AssertionError(f"{path} was not saved")


def chart(page: Page, setting: str) -> tuple[float, float, float]:
    """Left end, width and middle of a threshold's chart in the window."""
    plot = f"Argue.limits.find((limit) => limit.check.setting === '{setting}').plot"
    for _ in range(2):  # what lies above gets its height when it comes near the window
        page.run(f"{plot}.scrollIntoView({{ block: 'center', behavior: 'instant' }})")
        page.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    found = page.run(
        f"(() => {{ const b = {plot}.getBoundingClientRect(); return [b.x, b.width, b.y + b.height / 2]; }})()"
    )
    return found[0], found[1], found[2]


def drag(page: Page, setting: str, start: float, end: float) -> None:
    x, width, y = chart(page, setting)
    steps = [("Pressed", start), *(("Moved", share) for share in np.linspace(start, end, 5)), ("Released", end)]
    for kind, share in steps:
        where = {"x": x + share * width, "y": y, "button": "left", "clickCount": 1}
        page.send("Input.dispatchMouseEvent", type=f"mouse{kind}", buttons=int(kind != "Released"), **where)


def figure(page: Page, name: str) -> str:
    text: str = page.run(f"document.querySelector('[data-figure={name}]').firstChild.textContent")
    return text


def test_a_drag_counts_whom_judge_then_keeps(run: Path, page: Page, tmp_path: Path) -> None:
    assert set(page.run(KEPT)) == kept(run), "the run's own thresholds give the run's own people"
    before = figure(page, "people")
    drag(page, "min_hand_seen_share", 0.2, 0.75)
    drag(page, "max_yaw_degrees", 0.9, 0.6)
    page.run("Argue.limits.find((l) => l.check.setting === 'min_arm_range').toggle()")
    assert figure(page, "people") != before
    shown, count = set(page.run(KEPT)), int(figure(page, "people"))
    assert len(shown) == count > 0
    assert page.run("document.querySelector('[data-command] code').textContent") == (
        f"csg405 run filter --run '{run}' --settings thresholds.toml"
    )
    path = saved(page, "Save thresholds.toml", tmp_path / "thresholds.toml")
    sets = settings_of(path)
    assert sets["judge.min_arm_range"] == as_toml("off")
    assert len(sets) == len(CHECKS)
    csg405("run", "judge", "--run", str(run), "--workers", "0", "--settings", str(path))
    assert kept(run) == shown
    csg405("run", "judge", "--run", str(run), "--workers", "0", *(w for key in sets for w in ("--reset", key)))


def test_any_thresholds_give_the_people_of_judge(run: Path, page: Page) -> None:
    """Whatever is off, wherever the others lie; of everybody who is no override."""
    rng = np.random.default_rng(8)
    overrides = toml.read(run / "profile.toml")["stages"]["judge"]["overrides"]
    for _ in range(12):
        settings = {check.setting: moved(check, rng) for check in CHECKS}
        page.run(
            f"Promise.all(Object.entries({json.dumps(settings)}).map(([name, limit]) => "
            "Argue.set(Argue.recount.thresholds.find((check) => check.setting === name), limit)))"
        )
        assert set(page.run(KEPT)) == judged(run, **settings, overrides=Path(overrides))


def test_who_would_have_to_be_measured_first_is_said(run: Path, page: Page) -> None:
    page.run(
        "Promise.all(Argue.recount.thresholds.filter((check) => check.kind === null).map((check) => Argue.set(check, null)))"
    )
    store = Store(run)
    without = {row["person_id"] for row in store.read("persons", ["person_id"]).to_pylist()}
    without -= {row["person_id"] for row in store.read("lip_syncs", ["person_id"]).to_pylist()}
    held_back = len(without & set(page.run(KEPT)))
    assert held_back
    page.wait(f"{NOTES}.includes('{held_back} of them would have to be measured first')")
    assert f"1 ids of overrides match nobody in this run: {STRANGER}" in page.run(NOTES)


def test_the_keyboard_alone_suffices(page: Page) -> None:
    page.run("Argue.limits[0].slider.focus()")
    page.press("ArrowDown")
    name, before = page.run(
        "[document.activeElement.getAttribute('aria-label'), document.activeElement.getAttribute('aria-valuetext')]"
    )
    assert name.startswith("judge.")
    assert "people kept" in before
    page.press("ArrowRight")
    assert page.run("document.activeElement.getAttribute('aria-valuetext')") != before
    page.press("o")
    assert page.run("document.activeElement.getAttribute('aria-valuetext')").startswith("off;")
    page.press("r")
    assert page.run("document.activeElement.getAttribute('aria-valuetext')") == before
    page.press("Enter")
    assert page.run("document.activeElement.type") == "number"
    assert page.run("[...document.querySelectorAll('#measures .charts [tabindex=\"0\"]')].length") == 4, (
        "one chart is a tab stop"
    )
    page.run("document.querySelector('[data-sheet] .card').focus()")
    page.press("ArrowRight")
    assert page.run("[...document.querySelectorAll('[data-sheet] .card')].indexOf(document.activeElement)") == 1
    page.press("u")
    assert page.run("Votes.of(personId(1))[0]") == "unsure"


def focused(page: Page) -> int:
    """The place of the card with the focus; -1 without."""
    place: int = page.run("[...document.querySelectorAll('[data-sheet] .card')].indexOf(document.activeElement)")
    return place


def test_the_focus_stays_with_who_was_voted_on(page: Page) -> None:
    page.run("document.getElementById('people').scrollIntoView({ behavior: 'instant' })")
    page.wait("Gallery.seen")
    page.run("document.querySelector('[data-sheet] .card').focus()")
    for at in (1, 2):
        page.press("ArrowRight")
        page.press("u")
        page.wait(f"document.querySelectorAll('[data-sheet] .card')[{at}].innerText.includes('voted unsure')")
        assert focused(page) == at
    assert page.run("[0, 1, 2].map((at) => (Votes.of(personId(at)) || [])[0])") == [None, "unsure", "unsure"]
    dropped = listed(page, who="dropped")
    page.run("document.querySelectorAll('[data-sheet] .card')[3].focus()")
    page.press("k")
    page.wait(f"document.querySelectorAll('[data-sheet] .card')[3].title === {json.dumps(dropped[4])}")
    assert focused(page) == 3, "who is gone leaves the place to the next"


def test_votes_in_the_window_skip_nobody(page: Page) -> None:
    page.run("document.getElementById('people').scrollIntoView({ behavior: 'instant' })")
    page.wait("Gallery.seen")
    dropped = listed(page, who="dropped")
    page.run("openPerson(0)")
    for at in range(3):
        page.wait(f"decodeURIComponent(location.hash) === {json.dumps('#person=' + dropped[at])}")
        page.press("k")
        page.wait(f"Gallery.list.length === {len(dropped) - at - 1}")
        page.press("ArrowRight")
    page.wait(f"decodeURIComponent(location.hash) === {json.dumps('#person=' + dropped[3])}")
    assert page.run(f"{json.dumps(dropped[:3])}.map((id) => Votes.of(id)[0])") == ["keep"] * 3


def test_a_quote_within_a_cell_is_itself(page: Page) -> None:
    """As Python's csv has it; one that is never closed is told, with how many votes were read."""
    lines = ['a,keep,Ann,the 5" screen', 'b,drop,"Bo ""B""",""', 'c,unsure,,x"y,z"', 'd,keep,,"open', "e,keep,,"]
    text = "id,verdict,who,why\r\n" + "\r\n".join(lines) + "\r\n"
    said = page.run(f"Votes.load({json.dumps(text)})")
    assert said["read"] == 3
    assert len(said["wrong"]) == 1 and said["wrong"][0].startswith("row 5: a quote is never closed")
    found = page.run("['a', 'b', 'c', 'd', 'e'].map((id) => Votes.of(id))")
    read = list(csv.reader(text.splitlines(keepends=True)))[1:4]
    assert found == [[verdict, who, why] for _, verdict, who, why, *_ in read] + [None, None]


def test_tabs_leave_each_other_their_votes(browser: Browser, page: Page) -> None:
    other = browser.page()
    other.open(page.run("location.href"))
    other.wait(READY)
    page.run("vote(personId(20), 'keep')")
    other.run("vote(personId(21), 'drop')")
    both = "[20, 21].map((at) => (Votes.of(personId(at)) || [])[0]).join() === 'keep,drop'"
    other.wait(both)
    page.wait(both)
    page.run("vote(personId(20), 'keep')")
    other.wait("!Votes.of(personId(20))")
    other.open(page.run("location.href"))
    other.wait(READY)
    assert other.run("[20, 21].map((at) => Votes.of(personId(at)))") == [None, ["drop", "", ""]]
    assert not other.logged
    assert other.run("Votes.key.includes(CSG.summary.mark)")


def test_tabs_that_vote_at_once_lose_none(browser: Browser, page: Page) -> None:
    """A tab's picture of the store lags behind: what it votes must not carry what it saw before."""
    other = browser.page()
    other.open(page.run("location.href"))
    other.wait(READY)
    for at in range(20):
        page.run(f"vote(personId({at}), 'keep', '')")
        other.run(f"vote('other{at}', 'drop', '')")
    whole = "Votes.changed.size === 40"
    page.wait(whole)
    other.wait(whole)
    assert page.run("Votes.rows()") == other.run("Votes.rows()")


def test_votes_that_an_older_report_kept_together_are_found(page: Page) -> None:
    page.run("localStorage.setItem(Votes.key.trimEnd(), JSON.stringify([[personId(3), ['keep', 'Ann', 'clear']]]))")
    page.open(page.run("location.href"))
    page.wait(READY)
    assert page.run("Votes.of(personId(3))") == ["keep", "Ann", "clear"]
    assert page.run("localStorage.getItem(Votes.key.trimEnd())") is None


def test_a_vote_that_cannot_be_stored_stays_in_the_page(page: Page) -> None:
    page.run("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }")
    page.run("vote(personId(20), 'keep')")
    page.run("vote(personId(21), 'drop')")
    assert page.run("[20, 21].map((at) => Votes.of(personId(at))[0])") == ["keep", "drop"]
    page.wait(f"{NOTES}.includes('QuotaExceededError')")


def test_thousands_are_counted_in_the_charts_file(page: Page) -> None:
    times = 400
    found = page.run(f"""(async () => {{
        const limit = Argue.limits.find((one) => one.check.setting === "max_yaw_degrees");
        const measure = Argue.recount.measures.get(limit.check);
        const known = measure.codes.filter((code) => code < NOT_ASKED).length;
        const often = (values) => values.constructor.from(
            {{ length: {times} * values.length }}, (_, i) => values[i % values.length]);
        measure.codes = often(measure.codes);
        Argue.recount.kept = often(Argue.recount.kept);
        await Argue.drawn();
        return {{ known, text: asCsv(document.querySelector("[data-save=measures]")) }};
    }})()""")
    rows = [row for row in csv.reader(found["text"].splitlines()) if row[0] == "yaw_degrees"]
    counts = [int(kept) + int(dropped) for _, _, kept, dropped in rows]
    assert sum(counts) == times * found["known"]
    assert max(counts) >= 1000


def test_no_file_holds_what_a_spreadsheet_would_run(page: Page) -> None:
    notes = [
        '=HYPERLINK("http://x.example","a")',
        "+1+cmd",
        "@SUM(1)",
        "'=quoted",
        "-2",
        "it's",
        "'tis",
        "-3 dB, too loud",
    ]
    file = io.StringIO()
    csv.writer(file).writerows(
        [["id", "verdict", "who", "why"], *([f"id{at}", "keep", note, note] for at, note in enumerate(notes))]
    )
    assert not page.run(f"Votes.load({json.dumps(file.getvalue())})")["wrong"]
    ids = json.dumps([f"id{at}" for at in range(len(notes))])
    first = page.run(f"{ids}.map((id) => Votes.of(id))")
    text = page.run("Votes.csv()")
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row[2:]]
    assert not [cell for cell in cells if cell[:1] in set("=+-@") and cell != "-2"]
    page.run("Votes.forget()")
    assert page.run(f"{ids}.map((id) => Votes.of(id))") == [None] * len(notes)
    page.run(f"Votes.load({json.dumps(text)})")
    assert page.run(f"{ids}.map((id) => Votes.of(id))") == first, "it reads back equal"
    assert page.run("Votes.csv()") == text
    page.run(
        "document.body.insertAdjacentHTML('beforeend', '<div id=made><table><tr><td>=1+1</td><td>-4.5</td></tr></table></div>')"
    )
    assert page.run("asCsv(document.getElementById('made'))") == "'=1+1,-4.5\r\n"


def test_votes_come_back_and_judge_honours_them(run: Path, page: Page, tmp_path: Path) -> None:
    people = page.run("[12, 13, 14].map((at) => personId(Gallery.list[at]))")
    page.run("document.getElementById('voter').value = 'Cy'")
    page.run("document.getElementById('people').scrollIntoView({ behavior: 'instant' })")
    for at, (verdict, why) in enumerate([("keep", 'clear, "really"'), ("drop", "logo"), ("unsure", "")], 12):
        page.run(f"openPerson({at})")
        page.wait("document.querySelector('#details .voting')")
        page.run(f"document.querySelector('#details .voting input').value = {json.dumps(why)}")
        page.run(f"document.querySelector('#details .voting .{verdict}').click()")
        page.run("document.getElementById('details').close()")
    shown = set(page.run(KEPT))
    assert people[0] in shown and people[1] not in shown
    page.wait("document.querySelectorAll('[data-sheet] .card')[12].innerText.includes('voted keep')")
    path = saved(page, "Save overrides.csv", tmp_path / "overrides.csv")
    with path.open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows[people[0]] == {"id": people[0], "verdict": "keep", "who": "Cy", "why": 'clear, "really"'}
    assert rows[fake_run.person_id(1)]["why"] == "good, really", "the run's own lines stay"
    assert judged(run, overrides=path) == shown
    page.open(page.run("location.href"))
    page.wait(READY)
    assert set(page.run(KEPT)) == shown, "votes are kept in the browser"
    page.run("Votes.forget()")
    text = path.read_text() + "nobody,keep,,\nx,maybe,,\n"
    said = page.run(f"Votes.load({json.dumps(text)})")
    assert said["read"] == len(rows) + 1
    assert len(said["wrong"]) == 1 and "keep, drop or unsure" in said["wrong"][0]
    assert set(page.run(KEPT)) == shown, "a file that is loaded back says the same"
    page.wait(f"{NOTES}.includes('2 ids of overrides match nobody')")


def listed(page: Page, **wanted: Any) -> list[str]:
    ids: list[str] = page.run(f"Gallery.ask({json.dumps(wanted)}).then(() => [...Gallery.list].map(personId))")
    return ids


def test_the_gallery_sorts_filters_and_searches(run: Path, page: Page) -> None:
    rows = {
        row["person_id"]: row
        for row in Store(run).read("pose_measures", ["person_id", "yaw_degrees", "jitter"]).to_pylist()
    }
    values = [rows[id]["yaw_degrees"] for id in listed(page, order="by yaw_degrees")]
    known = [value for value in values if value is not None]
    assert values == sorted(known) + [None] * (len(values) - len(known))
    narrow = listed(page, measure="jitter", **{"from": "0.01", "to": "0.02"})
    assert set(narrow) == {
        id for id, row in rows.items() if row["jitter"] is not None and 0.01 <= row["jitter"] <= 0.02
    }
    listed(page, measure="", **{"from": "", "to": ""})
    assert {id.split("/")[0] for id in listed(page, words="onerror=")} == {fake_run.video_id(0)}
    assert listed(page, words=fake_run.person_id(4)) == [fake_run.person_id(4)]
    dropped = listed(page, words="", who="dropped", order="sample", seed=1)
    assert set(dropped) == set(rows) - set(page.run(KEPT))
    assert dropped == listed(page, order="sample", seed="1") != listed(page, order="sample", seed="2")
    near = listed(page, order="nearest", reason="jittery")
    beyond = [rows[id]["jitter"] - 0.03 for id in near]
    assert beyond == sorted(beyond) and beyond[0] > 0
    assert len(listed(page, who="all", reason="", type="1")) + len(listed(page, type="2")) == PEOPLE


def test_titles_stay_text(page: Page) -> None:
    listed(page, words="onerror")
    page.wait("document.querySelectorAll('[data-sheet] .card').length")
    page.run("openPerson(0)")
    page.wait("document.querySelector('#details h3')")
    assert page.run("document.querySelector('#details h3').textContent") == TITLE
    assert page.run("window.hacked") is None
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0
