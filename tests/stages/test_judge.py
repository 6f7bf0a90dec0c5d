"""The judge, by table: each threshold from both sides, what is not known, and what people decided."""

import math
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Le

from pipeline.base.errors import UserError
from pipeline.engine.overrides import OverridesError, read_overrides
from pipeline.engine.profile import load
from pipeline.engine.stage import Context, WorkInColumns
from pipeline.engine.unit import Unit
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from stages.judge import CHECKS, Judge

OFF = {check.setting: None for check in CHECKS}
GOOD_POSE = {check.measure: 1.0 for check in CHECKS if check.kind == "pose_measures"}
GOOD_SOUND = {check.measure: 1.0 for check in CHECKS if check.kind == "sound_measures"}
UNITLESS = ("voices", "lip_confidence", "lip_distance")
COSTLY = {"overlaps": "clip_id", "same_faces": "person_id", "lip_syncs": "person_id"}
PERSON = {"person_id": "file:0/0+250#0", "clip_id": "file:0/0+250", "video_id": "file:0"}


def unit(pose: dict[str, Any] | None, sound: dict[str, Any] | None, costly: dict[str, Any] | None = None) -> Unit:
    rows: dict[str, list[dict[str, Any]]] = {"persons": [dict(PERSON)]}
    if pose is not None:
        rows["pose_measures"] = [
            {"person_id": PERSON["person_id"], "worst_joint": "left_elbow", "worst_joint_share": 0.5}
        ]
        rows["pose_measures"][0] |= GOOD_POSE | pose
    if sound is not None:
        rows["sound_measures"] = [{"clip_id": PERSON["clip_id"], "has_audio": True} | GOOD_SOUND | sound]
    if costly is not None:
        for kind, key in COSTLY.items():
            good = {check.measure: 1.0 for check in CHECKS if check.kind == kind}
            own = {name: value for name, value in costly.items() if name in good}
            rows[kind] = [{key: PERSON[key]} | good | own]
    return Unit("all", rows)


def verdicts(judge: Judge, unit: Unit) -> list[dict[str, Any]]:
    worker = judge.worker(Context(Path()))
    assert isinstance(worker, WorkInColumns)
    return list(worker.process(unit))


def verdict(
    judge: Judge,
    pose: dict[str, Any] | None = None,
    sound: dict[str, Any] | None = None,
    costly: dict[str, Any] | None = None,
) -> dict[str, Any]:
    [row] = verdicts(judge, unit(pose or {}, sound or {}, costly or {}))
    return row


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.setting)
def test_a_threshold_drops_one_side_only(check) -> None:
    at = 0.5 if is_share(check.setting) else 10.0
    judge = Judge(**{**OFF, check.setting: at})
    worse, better = (at * 0.95, at * 1.05) if check.side == "min" else (at * 1.05, at * 0.95)
    where = {"pose_measures": "pose", "sound_measures": "sound"}.get(check.kind, "costly")

    dropped = verdict(judge, **{where: {check.measure: worse}})
    assert (dropped["keep"], dropped["reasons"]) == (False, [check.reason.code])
    for needle in (check.measure, f"{worse:g}", check.unit, f"{at:g}"):
        assert needle in dropped["details"][0]

    for value in (better, at):
        kept = verdict(judge, **{where: {check.measure: value}})
        assert (kept["keep"], kept["reasons"], kept["unmeasured"]) == (True, [], [])

    unknown = verdict(judge, **{where: {check.measure: None}})
    listed = [] if check.measure == "upper_body_share" else [check.measure]
    assert unknown["keep"] is (check.measure != "upper_body_share")  # the one measure required by default
    assert unknown["unmeasured"] == (listed or [check.measure])

    assert verdict(Judge(**OFF), **{where: {check.measure: worse}})["keep"]


def is_share(setting: str) -> bool:
    return any(isinstance(bound, Le) and bound.le == 1 for bound in Judge.model_fields[setting].metadata)


@pytest.mark.parametrize("setting", [check.setting for check in CHECKS if is_share(check.setting)])
@pytest.mark.parametrize("value", [-0.1, 1.1, 70])
def test_a_share_beyond_all_is_refused(setting: str, value: float) -> None:
    """Percents among them: nobody would be kept, or everybody, without a word."""
    with pytest.raises(ValueError, match=setting):
        Judge(**{setting: value})
    assert setting.endswith("_share") or setting == "max_repeated_frames"


def test_every_check_names_a_setting_and_a_measure() -> None:
    for check in CHECKS:
        assert Judge.model_fields[check.setting].default == check.default
        assert check.measure in KINDS[check.kind].schema.names
        assert check.unit or check.measure.endswith("_share") or check.measure in UNITLESS, check
    assert {name for name in Judge.model_fields if name[:4] in ("min_", "max_")} == {check.setting for check in CHECKS}
    for name, field in Judge.model_fields.items():
        assert field.description, name


def test_all_reasons_are_told_with_one_line_each() -> None:
    judge = Judge(**{**OFF, "min_upper_body_share": 0.8, "max_yaw_degrees": 50, "min_shoulder_width_px": 60})
    judge = judge.model_copy(update={"min_box_height_px": 200.0, "min_speech_share": 0.5})
    bad = {"upper_body_share": 0.25, "yaw_degrees": 80.0, "shoulder_width_px": 38.2, "box_height_px": 100.0}
    row = verdict(judge, pose=bad, sound={"speech_share": 0.0})
    assert row["reasons"] == ["upper_body_incomplete", "side_view", "figure_too_small", "no_speech"]
    assert row["details"] == [
        "upper_body_share 0.25 share < 0.8 (left_elbow seen in 50%)",
        "yaw_degrees 80 deg > 50",
        "shoulder_width_px 38.2 px < 60; box_height_px 100 px < 200",
        "speech_share 0 share < 0.5",
    ]


@pytest.mark.parametrize("share", [None, math.nan])
def test_the_worst_joint_is_named_only_with_its_share(share: float | None) -> None:
    judge = Judge(**{**OFF, "min_upper_body_share": 0.8})
    row = verdict(judge, pose={"upper_body_share": 0.25, "worst_joint_share": share})
    assert row["details"] == ["upper_body_share 0.25 share < 0.8"]


def test_a_clip_without_sound_is_told_once() -> None:
    nothing = dict.fromkeys(GOOD_SOUND) | {"has_audio": False}
    judge = Judge(**{**OFF, "min_speech_share": 0.5, "min_loudness_dbfs": -50})
    row = verdict(judge, sound=nothing)
    assert (row["keep"], row["reasons"], row["unmeasured"]) == (False, ["no_audio"], [])
    assert verdict(judge.model_copy(update={"require_audio": False}), sound=nothing)["keep"]


def test_missing_tables_are_unmeasured_and_required_ones_drop() -> None:
    [row] = verdicts(Judge(**{**OFF, "min_speech_share": 0.5}), unit({}, None))
    assert (row["keep"], row["unmeasured"]) == (True, ["speech_share"])
    [row] = verdicts(Judge(**{**OFF, "min_speech_share": 0.5, "require_measured": ("speech_share",)}), unit({}, None))
    assert (row["keep"], row["reasons"]) == (False, ["not_measured"])
    [row] = verdicts(Judge(**OFF), unit(None, {}))
    assert (row["keep"], row["reasons"]) == (False, ["not_measured"])
    with pytest.raises(ValueError, match="beauty"):
        verdicts(Judge(require_measured=("beauty",)), unit({}, {}))


def test_nobody_gives_no_rows() -> None:
    assert verdicts(Judge(), Unit("all", {})) == []


@pytest.mark.parametrize("level", ["person_id", "clip_id", "video_id"])
def test_overrides_by_person_clip_or_video(tmp_path: Path, level: str) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text(f"id,verdict,who,why\n{PERSON[level]},drop,Ann,watermark\n")
    row = verdict(Judge(**OFF, overrides=path))
    assert (row["keep"], row["reasons"], row["overridden"]) == (False, ["overridden"], True)
    assert row["details"] == ["dropped by Ann: watermark"]

    path.write_text(f"id,verdict\n{PERSON[level]},keep\n")
    row = verdict(Judge(**{**OFF, "min_speech_share": 0.5}, overrides=path), sound={"speech_share": 0.2})
    assert (row["keep"], row["reasons"], row["overridden"]) == (True, ["no_speech"], True)


def test_the_most_specific_override_wins_and_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    lines = [f"{PERSON['video_id']},drop", f"{PERSON['person_id']},drop", f"{PERSON['person_id']},KEEP"]
    path.write_text("\n".join(["id,verdict", *lines]))
    assert verdict(Judge(**OFF, overrides=path))["keep"]


def test_unsure_is_a_note_that_decides_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "overrides.csv"
    lines = [
        f"{PERSON['video_id']},drop,Bo,logo",
        f"{PERSON['person_id']},unsure,Ann,blurred?",
        "file:9/9+9#9,unsure,,",
    ]
    path.write_text("\n".join(["id,verdict,who,why", *lines]))
    judge = Judge(**OFF, overrides=path)
    caplog.set_level("INFO")
    row = verdict(judge)
    assert (row["keep"], row["details"]) == (False, ["dropped by Bo: logo"]), "the video's decision stands"
    assert "1 overrides match nothing in this run, for example file:9/9+9#9" in caplog.text
    assert "2 overrides say unsure" in caplog.text
    path.write_text("\n".join(["id,verdict,who,why", *lines[:1]]))
    assert judge.result_settings() == Judge(**OFF, overrides=path).result_settings()
    path.write_text("\n".join(["id,verdict", f"{PERSON['person_id']},unsure"]))
    row = verdict(judge)
    assert (row["keep"], row["overridden"]) == (True, False)


def test_what_overrides_say_is_part_of_the_settings_and_where_they_lie_is_not(tmp_path: Path) -> None:
    for name, text in (("a", "x,keep"), ("b", "x,keep"), ("c", "x,drop")):
        (tmp_path / name).write_text("id,verdict\n" + text)
    a, b, c = (Judge(overrides=tmp_path / name).result_settings() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("text", "match"), [("id,verdict\nx,maybe", "line 2"), ("a,b\n", "line 1"), ("id,verdict\n,keep", "line 2")]
)
def test_a_bad_override_names_file_and_line(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        read_overrides(path)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"id,verdict,who,why\nx,keep,Ann,\ny,drop,J\xf6rg,\n", "line 3: no UTF-8"),
        (b"id,verdict,who,why\nx,keep,Ann," + b"w" * 200_000 + b"\n", "line 2: field larger"),
        (b"\xff\xfei\0d\0", "line 1: no UTF-8"),
        (b'id,verdict,who,why\nx,keep,Ann,"not closed\ny,drop,Bo,\nz,drop,Bo,\n', "line 2: unexpected end of data"),
        (b"id,verdict\nkeep,yt:aaaaaaaaaa1\n", "line 2: needs an id, and keep, drop or unsure as its verdict$"),
    ],
)
def test_a_file_that_is_no_such_table_is_told_in_a_line(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / "overrides.csv"
    path.write_bytes(data)
    with pytest.raises(OverridesError, match=match) as told:
        read_overrides(path)
    assert isinstance(told.value, UserError) and str(path) in str(told.value)


def test_a_log_names_nobody_who_opted_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text("id,verdict\nyt:aaaaaaaaaa1/0+9#9,drop\nhttps://youtu.be/aaaaaaaaaa1,drop\nyt:aaaaaaaaaa2,drop\n")
    for opt_out, words in (
        (
            OptOut(videos=frozenset({"yt:aaaaaaaaaa1"})),
            "3 overrides match nothing in this run, for example yt:aaaaaaaaaa2",
        ),
        (OptOut(channels=frozenset({"@ann"})), "3 overrides match nothing in this run"),
    ):
        caplog.clear()
        list(Judge(**OFF, overrides=path).worker(Context(Path(), opt_out=opt_out)).process(unit({}, {})))
        assert caplog.messages == [words]


@pytest.mark.slow
def test_a_large_set_is_judged() -> None:
    """Not a time limit: 100,000 rows would outlast the suite's own if anything were quadratic."""
    count = 100_000
    persons = [{"person_id": f"v/0+1#{i}", "clip_id": f"v/{i}+1", "video_id": "v"} for i in range(count)]
    pose = [{"person_id": p["person_id"], "upper_body_share": i / count} for i, p in enumerate(persons)]
    judge = Judge(**{**OFF, "min_upper_body_share": 0.5})
    rows = verdicts(judge, Unit("all", {"persons": persons, "pose_measures": pose}))
    assert sum(row["keep"] for row in rows) == count // 2


@pytest.mark.parametrize(
    ("meant", "overlap", "detail"),
    [(False, 0.125, "manifest_overlap 0.12, and more"), (False, None, "another person is larger")],
)
def test_whom_the_manifest_does_not_mean_is_dropped_whatever_the_thresholds(meant, overlap, detail) -> None:
    judge = Judge(**OFF, require_measured=(), require_audio=False)
    dropped = verdict(judge, {"clips_person": meant, "manifest_overlap": overlap})
    assert (dropped["keep"], dropped["reasons"]) == (False, ["not_the_clips_person"])
    assert detail in dropped["details"][0]


@pytest.mark.parametrize("meant", [True, None])
def test_whom_it_means_and_where_there_is_none(meant) -> None:
    assert verdict(Judge(**OFF), {"clips_person": meant, "manifest_overlap": 0.5})["keep"]


def test_a_rebuild_judges_nobody_anew_and_single_thresholds_can_be_switched_on() -> None:
    poor = ({check.measure: -1.0 for check in CHECKS}, {"has_audio": False})
    assert verdict(load("rebuild").stage("judge"), *poor)["keep"]
    [row] = verdicts(load("rebuild").stage("judge"), unit(None, None))
    assert (row["keep"], row["unmeasured"]) == (True, [])
    strict = load("rebuild", ["judge.min_face_seen_share=0.5"]).stage("judge")
    assert verdict(strict, *poor)["reasons"] == ["face_not_seen"]


def test_who_is_dropped_anyway_need_not_be_measured_at_great_cost() -> None:
    judge = Judge(**{**OFF, "max_yaw_degrees": 50, "require_measured": ("lip_confidence",)})
    assert verdict(judge, costly={"lip_confidence": None})["reasons"] == ["not_measured"]
    assert verdict(judge, costly={"lip_confidence": 9.0})["keep"]
    assert verdict(judge, {"yaw_degrees": 80.0}, costly={"lip_confidence": None})["reasons"] == ["side_view"]


def test_every_threshold_is_off_in_a_rebuild() -> None:
    judge = load("rebuild").stage("judge")
    assert {check.setting for check in CHECKS if getattr(judge, check.setting) is not None} == set()
