"""The hard programme of the theatre from end to end: each take gets the verdict and the reasons that were planted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import theatre
from pipeline.tables.store import Store
from pipeline.theatre import PROGRAMMES, Take

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HARD = PROGRAMMES["hard"]
PROFILE = Path(__file__).with_name("hard_theatre.toml")
MOST_LOST = 16  # good frames beside a cut, a joint of two clocks or a blend that no clip has
JOINT = (
    1  # frames by which pictures may come late: in .ts files sound begins before them, by what its coder needs to begin
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hard") / "run"
    command = [sys.executable, "-m", "pipeline.cli", "run", "crawl", "annotate", "filter", "--profile", str(PROFILE)]
    done = subprocess.run(
        [*command, "--run", str(folder)],
        capture_output=True,
        text=True,
        timeout=800,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def rows_of(run: Path, take: Take, kind: str, columns: list[str] | None = None) -> list[dict]:
    """The rows of a table that are of this take."""
    store = Store(run)
    video = next(
        row
        for row in store.read("videos", ["source", "video_id"]).to_pylist()
        if row["source"].endswith(f"/{take.name}")
    )
    table: pa.Table = store.read(kind, columns and [*columns, "video_id"])
    return [row for row in table.to_pylist() if row["video_id"] == video["video_id"]]


@pytest.mark.parametrize("take", HARD, ids=lambda take: take.name)
def test_each_take_gets_its_verdict_and_its_reasons(run: Path, take: Take) -> None:
    verdicts = rows_of(run, take, "verdicts")
    found = {reason for verdict in verdicts for reason in verdict["reasons"]}
    assert len({verdict["clip_id"] for verdict in verdicts}) == take.clips
    if take.verdict == "keep":
        assert all(verdict["keep"] for verdict in verdicts), verdicts
    else:
        assert not any(verdict["keep"] for verdict in verdicts)
        assert take.reasons <= found <= take.reasons | take.may


@pytest.mark.parametrize("take", HARD, ids=lambda take: take.name)
def test_clips_are_of_one_shot_and_hold_nearly_all_of_it(run: Path, take: Take) -> None:
    clips = sorted((row["first_frame"], row["first_frame"] + row["frames"]) for row in rows_of(run, take, "clips"))
    breaks = take.blends or tuple((cut, cut) for cut in take.cuts)
    edges = [0, *(frame for span in breaks for frame in span), take.frames]
    assert len(clips) == len(edges) // 2
    for (first, stop), start, end in zip(clips, edges[::2], edges[1::2], strict=True):
        assert start <= first <= start + MOST_LOST and end - MOST_LOST <= stop <= end + JOINT


@pytest.mark.parametrize("take", [take for take in HARD if take.verdict == "keep"], ids=lambda take: take.name)
def test_points_lie_where_they_were_planted(run: Path, take: Take) -> None:
    """So no picture is of another time, and tone mapping and joints move nothing."""
    truth = theatre.truth(run / "theatre", take.name)
    clips = {row["clip_id"]: row for row in rows_of(run, take, "clips", ["clip_id", "first_frame", "frames"])}
    for person in rows_of(run, take, "persons", ["clip_id", "keypoints", "scores"]):
        first, frames = (clips[person["clip_id"]][name] for name in ("first_frame", "frames"))
        points = np.array(person["keypoints"], float).reshape(frames, -1, 2)
        errors = [np.nanmedian(error_of(points, truth, first - late)) for late in range(JOINT + 1)]
        print(take.name, first, np.round(errors, 2))
        assert min(errors) < 0.5


def error_of(points: np.ndarray, truth: theatre.Truth, first: int) -> np.ndarray:
    """Distances in px of points (F, 133, 2) from the nearer puppet's, whose frames begin at `first`; NaN where there is none."""
    points, first = points[max(0, -first) :], max(0, first)
    planted = np.where(truth.visible[..., None], truth.keypoints, np.nan)[:, first : first + len(points)]
    distance = np.linalg.norm(points[None, : planted.shape[1]] - planted, axis=-1)
    known = np.isfinite(distance).any((1, 2))
    return np.asarray(distance[known][np.nanmedian(distance[known], axis=(1, 2)).argmin()])


def test_files_are_read_as_what_they_are(run: Path) -> None:
    store = Store(run)
    rows = {row["source"].rsplit("/", 1)[1]: row for row in store.read("videos").to_pylist()}
    assert rows["hdr"]["transfer"] == "smpte2084" and rows["hdr"]["bit_depth"] == 10
    for take in HARD:
        assert abs(rows[take.name]["grid_frames"] - take.frames) <= JOINT and not rows[take.name]["truncated"]
    [slow] = [clip for take in HARD if take.camera_fps for clip in rows_of(run, take, "clips")]
    assert slow["repeated_frames"] == pytest.approx(0.52, abs=0.05)
