"""What the report says beside its figures: what was not measured and why, what an hour cost; and a page to pass on."""

import json
import re
from pathlib import Path

import pytest

from pipeline.base import install
from pipeline.base.units import KEYPOINTS
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.registry.models import Registry
from pipeline.skeleton.draw import strokes
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from stages.report import Report, charts, gather
from stages.report.costs import costs
from stages.report.figure_two import distributions
from stages.report.unmeasured import Unmeasured, unmeasured
from tests.stages import fake_run

PROFILE = """name = "some"
[targets]
filter = [{stages}]
[stages.lip_sync]
[stages.overlap]
[stages.judge]
min_lip_confidence = 3.0
max_overlap_share = 0.02
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three kept people of whom two were not measured whole, and one dropped."""
    store = Store(tmp_path / "run")
    with fake_run.together(store):
        for video, missing in ((1, []), (2, ["lip_confidence"]), (3, ["lip_confidence", "overlap_share"])):
            fake_run.add_video(store, video, speech_type="sermon" if video < 3 else "lecture")
            fake_run.add_person(store, video, unmeasured=missing)
            fake_run.add_sample(store, video)
        fake_run.add_video(store, 4)
        fake_run.add_person(store, 4, keep=False, reasons=["side_view"], details=["yaw"], unmeasured=["lip_confidence"])
    row = {"clip_id": fake_run.clip_id(1), "video_id": fake_run.video_id(1), "overlap_share": 0.0}
    rows = pack_rows(KINDS["overlaps"], fake_run.video_id(1), [row])
    store.table("overlaps").append([rows], [Outcome(fake_run.video_id(1), "overlap", 0, "ok", rows=1)])
    profile(store, "overlap", "lip_sync")
    return store


def profile(store: Store, *stages: str) -> None:
    text = PROFILE.format(stages=", ".join(f'"{name}"' for name in stages))
    (store.run / "profile.toml").write_text(text)


def found(store: Store, models: Registry | None = None) -> dict[str, Unmeasured]:
    return {one.stage: one for one in unmeasured(gather.gather(store), models)}


def page_of(store: Store, **settings: object) -> str:
    list(Report(**settings).worker(Context(store.run)).process(Unit("all", {})))
    return (store.run / "report/index.html").read_text()


def test_what_kept_people_were_not_asked_is_counted_by_stage(store: Store) -> None:
    said = found(store)
    assert set(said) == {"overlap", "lip_sync"}
    assert (said["lip_sync"].units, said["lip_sync"].of, said["lip_sync"].measures) == (2, 3, ("lip confidence",))
    assert (said["overlap"].units, said["overlap"].of) == (1, 3)
    assert "held back by the gate" in said["overlap"].why, "it ran for others"


def test_a_stage_that_never_ran_says_why(store: Store, tmp_path: Path) -> None:
    profile(store, "overlap")
    assert found(store)["lip_sync"].why == "the profile does not run it"
    profile(store, "lip_sync")
    nowhere = Registry(tmp_path / "models", tmp_path / "cache", download=False)
    assert found(store, nowhere)["lip_sync"].why.startswith("it never ran: ")
    why = found(store, nowhere)["lip_sync"].why
    assert "syncnet" in why or install.with_extra("sync") in why


def test_failures_are_told_apart_from_the_gate(store: Store) -> None:
    store.table("overlaps").append([], [Outcome(fake_run.video_id(3), "overlap", 0, "failed", "crashed")])
    assert "failed, to be tried again" in found(Store(store.run))["overlap"].why


def test_the_page_says_it_where_it_says_kept(store: Store) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page_of(store)))
    kept = text[text.index("Kept") :]
    assert kept.index("passed every threshold that was measured") < kept.index("2 of 3 kept without lip confidence")
    fake_run.judge(store, 2, attempt=2)
    fake_run.judge(store, 3, attempt=2)
    assert "that was measured" not in page_of(Store(store.run)), "nothing is unmeasured any more"


def test_costs_add_up_to_kept_hours(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        fake_run.kept(store, 1)
        fake_run.add_video(store, 2)
        fake_run.add_video(store, 3)
    seconds = {"wall_seconds": 8.0, "cpu_seconds": 10.0, "gpu_seconds": 2.0}
    store.table("clips").append(
        [], [Outcome(fake_run.video_id(n), "split", 0, "rejected", "too_short", **seconds) for n in (1, 2)]
    )
    whole = costs(gather.gather(store))
    (split,) = [stage for stage in whole.stages if stage.name == "split"]
    assert (split.rejected, split.wall, split.processor, split.gpu) == (2, 16, 20, 4)
    assert whole.total.processor == 20
    assert whole.kept_hours == pytest.approx(fake_run.FRAMES / 25 / 3600)
    assert whole.per_hour(split.processor) == pytest.approx(20 * 3600 / (fake_run.FRAMES / 25))
    assert whole.footage_a_day == pytest.approx(60 * 86400 / 20 / 3600), "60 s of footage took 20 s"
    assert costs(gather.gather(Store(tmp_path / "none"))).footage_a_day is None


def test_figure_two_has_speech_types_and_lengths(store: Store) -> None:
    shares = distributions(gather.gather(store))
    assert [(one.value, round(one.percent)) for one in shares["speech type"]] == [("sermon", 67), ("lecture", 33)]
    assert [(one.value, one.percent) for one in shares["clip length"]] == [("5 to 6 s", 100)]
    assert distributions(gather.gather(Store(store.run.parent / "none"))) == {}


def test_no_two_measures_have_one_name() -> None:
    names = [charts.label(field.name) for field in gather.measures()]
    assert len(set(names)) == len(names)
    units = {field.name: charts.unit_beside(field) for field in gather.measures()}
    assert (charts.label("shoulder_width_px"), units["shoulder_width_px"]) == ("shoulder width px", "")
    assert (charts.label("yaw_degrees"), units["yaw_degrees"]) == ("yaw", "deg")


def test_a_page_without_footage_names_no_picture_and_no_film(store: Store) -> None:
    paths = {"path": "previews/a.webp", "pose": "previews/a.pose.js", "clip": "previews/a.mp4"}
    ids = {"preview_id": fake_run.person_id(1), "video_id": fake_run.video_id(1)}
    fake_run.add(store, "previews", [ids | paths])
    assert "../previews/a" in everything(store)
    assert "../clips/" in everything(store)
    text = page_of(store, footage=False)
    assert "without pictures and sound" in text
    assert not re.search(r"\.\./(previews|clips)|\.webp|\.mp4|\.pose\.js\"", everything(store, footage=False))


def everything(store: Store, **settings: object) -> str:
    """All that a page's data and text say, without its own script."""
    page_of(store, **settings)
    files = [store.run / "report/index.html", *(store.run / "report/data").glob("*.js")]
    return "\n".join(path.read_text() for path in files)


def test_what_the_player_draws_is_what_pictures_show(store: Store) -> None:
    page_of(store)
    summary = (store.run / "report/data/summary.js").read_text()
    assert json.loads(summary.removeprefix("CSG.summary = ").removesuffix(";\n"))["skeleton"] == strokes()
    ends = {joint for line in strokes()["lines"] for joint in line[:2]} | {dot[0] for dot in strokes()["dots"]}
    assert max(ends) == KEYPOINTS, "the neck comes after the joints"
    assert set(range(23, 133)) <= ends, "face and hands"
