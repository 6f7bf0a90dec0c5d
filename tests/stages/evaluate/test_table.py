"""The table: means over pairs, distances of whole sets, a reason for whatever is absent, and the paper's rows as printed."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.tables.store import Store
from stages.evaluate import table
from stages.evaluate.table import SKELETONS, TABLE_2, Summary
from tests.stages.fake_run import add, refuse, skeleton


def features(seed: int, count: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(seed % 3, 1, (count, 2048)).astype(np.float32)


def scored(folder: Path, *rows: dict[str, Any]) -> Store:
    """An evaluation's tables with these scores; `pair_id` says the setting."""
    store = Store(folder)
    for row in rows:
        setting, reference, voice = row["pair_id"].split("/")
        pair = {"pair_id": row["pair_id"], "setting": setting, "reference": reference, "voice": voice, "content": ""}
        add(store, "pairs", [pair])
        if "fails" in row:
            refuse(store, "renditions", row["pair_id"], row["fails"], "why it failed", "failed")
            continue
        film = {"pair_id": row["pair_id"], "film": "f.mp4", "film_sha256": "", "frames": 1, "box": [0, 0, 1, 1]}
        add(store, "renditions", [{**film, **row.get("motion", {})}])
        own = {key: value for key, value in row.items() if key != "motion"}
        add(store, "scores", [{"setting": setting, "absent": "{}", **own}])
    return store


def test_means_are_over_pairs_of_the_right_setting(tmp_path: Path) -> None:
    store = scored(
        tmp_path / "made",
        {"pair_id": "paired/a/a", "ssim": 0.5, "psnr_db": 10.0, "jitter_px_s3": 1e9},
        {"pair_id": "paired/b/b", "ssim": 0.7, "psnr_db": 20.0},
        {"pair_id": "unpaired/a/b", "csim": 0.9, "sync_c": 1.0, "sync_d": 12.0, "jitter_px_s3": 4.0},
        {"pair_id": "unpaired/b/a", "sync_c": 3.0, "absent": json.dumps({"csim": "no face", "sync_d": "odd"})},
        {"pair_id": "unpaired/c/a", "fails": "backend_failed"},
    )
    found = table.summarise(store, scored(tmp_path / "true"), "mine")
    assert found.values == {
        "ssim": pytest.approx(0.6),
        "psnr_db": 15.0,
        "csim": pytest.approx(0.9),
        "sync_c": 2.0,
        "sync_d": 12.0,
        "jitter_px_s3": 4.0,
    }
    assert (found.paired, found.unpaired) == ((2, 2), (2, 3))
    assert found.notes == ("1 of renditions: backend_failed (why it failed)",)
    assert set(found.values) | set(found.why) == {*TABLE_2, *SKELETONS}, "a figure or a reason"


def test_without_pairs_of_a_setting_the_reason_is_that(tmp_path: Path) -> None:
    only = scored(tmp_path / "made", {"pair_id": "paired/a/a", "ssim": 0.5})
    found = table.summarise(only, scored(tmp_path / "true"), "mine")
    assert {found.why[name] for name in ("csim", "fid", "fvd", "sync_c")} == {"there are no unpaired pairs"}
    nothing = table.summarise(Store(tmp_path / "none"), Store(tmp_path / "none"), "mine")
    assert not nothing.values and nothing.why["ssim"] == "there are no paired pairs"


def test_distances_of_whole_sets(tmp_path: Path) -> None:
    """Of the same features none, of others one; too few samples are told. Widths as nets have them."""
    one, other = features(1)[:, :400], features(2)[:, :400]
    true = scored(
        tmp_path / "true",
        {"pair_id": "real/a/a", "fvd_features": one, "absent": json.dumps({"fid": "no Inception"})},
        {"pair_id": "real/b/b", "fvd_features": other},
    )
    same = scored(
        tmp_path / "same",
        {"pair_id": "unpaired/a/b", "fvd_features": other},
        {"pair_id": "unpaired/b/a", "fvd_features": one},
        {"pair_id": "paired/b/b", "fvd_features": one + 100},
    )
    found = table.summarise(same, true, "mine")
    assert found.values["fvd"] == pytest.approx(0, abs=1e-3) and found.why["fid"] == "no Inception"
    assert "24 samples for 400 dimensions" in found.notes[0]
    away = scored(tmp_path / "away", {"pair_id": "unpaired/a/b", "fvd_features": one + 1})
    assert table.summarise(away, true, "mine").values["fvd"] > 100
    lonely = scored(tmp_path / "lonely", {"pair_id": "unpaired/a/b", "fvd_features": one[:1]})
    assert "at least two samples" in table.summarise(lonely, true, "mine").why["fvd"]


def test_the_truth_is_not_compared_with_itself(tmp_path: Path) -> None:
    motions = [
        {"keypoints": skeleton(seed, 120).reshape(120, -1), "scores": np.ones((120, 133), np.float32), "frames": 120}
        for seed in range(3)
    ]
    rows = [
        {"pair_id": f"real/{n}/{n}", "csim": 0.9, "sync_c": 2.0 + n, "jitter_px_s3": 1.0, "motion": motion}
        for n, motion in enumerate(motions)
    ]
    true = scored(tmp_path / "true", *rows)
    found = table.summarise_true(true, "the true videos")
    assert found.values["sync_c"] == 3.0 and found.values["diversity_px"] > 10 and found.unpaired == (3, 3)
    compared = ("ssim", "psnr_db", "fid", "fvd", "gesture_distance", "keypoint_error_px")
    assert {found.why[name] for name in compared} == {"the truth is what is compared with"}
    made = scored(
        tmp_path / "made",
        *({**row, "pair_id": f"unpaired/{n}/{(n + 1) % 3}"} for n, row in enumerate(rows)),
    )
    own = table.summarise(made, true, "mine")
    assert own.values["gesture_distance"] == pytest.approx(0, abs=1e-6)
    assert "Fréchet gesture distance: 9 samples for 42 dimensions" in own.notes[0], "FID and FVD say so too"
    assert own.values["diversity_px"] == pytest.approx(found.values["diversity_px"])


def test_diversity_is_in_pixels_of_512_whatever_the_test_sets_side(tmp_path: Path) -> None:
    """PATS has pictures of 256 px, TED-talks of 384: half as far there is as far in the table."""
    stores = []
    for side in (512, 256):
        rows = []
        for n in range(2):
            points = skeleton(n, 120).reshape(120, -1) * side / 512
            motion = {"keypoints": points, "scores": np.ones((120, 133), np.float32), "frames": 120}
            rows.append({"pair_id": f"real/{n}/{n}", "motion": motion})
        stores.append(scored(tmp_path / str(side), *rows))
    large, small = (
        table.summarise_true(store, "true", side).values for store, side in zip(stores, (512, 256), strict=True)
    )
    assert large["diversity_px"] > 10 and small["diversity_px"] == pytest.approx(large["diversity_px"], rel=1e-4)


def test_a_missing_root_is_no_diversity(tmp_path: Path) -> None:
    points, scores = skeleton(0, 120).reshape(120, -1), np.ones((2, 120, 133), np.float32)
    scores[1, :50, layout.RIGHT_WRIST] = 0
    rows = [
        {"pair_id": f"real/{n}/{n}", "motion": {"keypoints": points, "scores": scores[n], "frames": 120}}
        for n in range(2)
    ]
    assert table.summarise_true(scored(tmp_path, *rows), "true").values["diversity_px"] == 0


def test_one_short_motion_has_no_diversity(tmp_path: Path) -> None:
    motion = {"keypoints": skeleton(0, 30).reshape(30, -1), "scores": np.ones((30, 133), np.float32), "frames": 30}
    found = table.summarise_true(scored(tmp_path / "true", {"pair_id": "real/a/a", "motion": motion}), "true")
    assert found.why["diversity_px"] == "fewer than two motions have 100 frames"


@pytest.mark.parametrize(("protocol", "rows"), [("csg405", 9), ("pats", 6), ("ted", 6)])
def test_the_papers_rows(protocol: str, rows: int) -> None:
    found = table.paper(protocol)
    assert len(found) == rows and all(set(row.values) == set(TABLE_2) for row in found)
    if protocol == "csg405":
        assert found[-1].values == {
            "ssim": 0.67,
            "psnr_db": 16.62,
            "csim": 0.82,
            "fid": 62.93,
            "fvd": 984.13,
            "sync_c": 6.28,
            "sync_d": 8.68,
        }


def test_methods_stand_side_by_side(tmp_path: Path) -> None:
    one = Summary("mine | yours", paired=(1, 2), unpaired=(3, 3), values={"ssim": 0.123456, "psnr_db": float("inf")})
    table.keep(tmp_path / "b", one)
    table.keep(tmp_path / "c", Summary("other", values={"fid": 7.0}, why={"ssim": "line\nbreak"}, notes=("a note",)))
    table.keep(tmp_path / "z-true", Summary("true", "true", unpaired=(3, 3)))
    rows = table.gathered(tmp_path, "ted")
    assert [row.method for row in rows[:4]] == ["true", "mine | yours", "other", "DiffTED"]
    assert rows[1].values["psnr_db"] == float("inf") and rows[1].paired == (1, 2)
    text = table.markdown("ted", rows)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in lines if "error, px" not in line}
    assert "| mine \\| yours | 1/2 + 3 | 0.123 | inf |" in text and "- other: a note" in text
    assert len(widths) == 2, "two tables, every row as wide as its head"
    [head, *found] = csv.reader(io.StringIO(table.as_csv("ted", rows)))
    assert len(found) == len(rows) and {len(row) for row in found} == {len(head)}
    assert dict(zip(head, found[1], strict=True))["ssim"] == "0.123456"


@pytest.mark.parametrize("digit", ["7", "{"])
def test_a_summary_that_is_not_what_was_written_is_left_out_and_told(tmp_path: Path, digit: str) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "tables/scores").mkdir(parents=True)
    table.keep(tmp_path / "a", Summary("a", values={"fid": 9.5}))
    table.keep(tmp_path / "b", Summary("b", values={"fid": 9.5}))
    whole = (tmp_path / "b" / table.SUMMARY).read_text()
    (tmp_path / "b" / table.SUMMARY).write_text(whole.replace("9.5", f"{digit}.5"))
    lacking = table.lacking(tmp_path)
    assert table.videos_of(tmp_path / "b") == table.videos_of(tmp_path / "c") == "", "made anew in a moment"
    assert "does not read" in lacking["b"] and lacking["c"] == "it has no summary yet" and len(lacking) == 2
    rows = table.gathered(tmp_path, "ted")
    assert [row.method for row in rows if row.source != "paper"] == ["a"]
    assert "- b is left out" in table.markdown("ted", rows, ["b is left out"])
    (tmp_path / "b" / table.SUMMARY).write_bytes((tmp_path / "a" / table.SUMMARY).read_bytes())
    assert "it is that of a" in table.lacking(tmp_path)["b"]
    without = {key: value for key, value in json.loads(whole).items() if key not in ("sha256", "of")}
    (tmp_path / "b" / table.SUMMARY).write_text(json.dumps(without))
    assert table.kept(tmp_path / "b").values == {"fid": 9.5}, "as older versions left it"
