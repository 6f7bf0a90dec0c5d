"""A filter with a new measure: written into a copy of the tree, in three files, it reaches verdict, report and shard.

A run that was made before is measured again by itself. A reason of its own would be a fourth file (`Reason` is one list), and
one that is on by default a line in the profile `rebuild`, which drops nobody.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.plan import plan
from pipeline.skeleton import layout
from pipeline.tables.store import Store
from stages.judge import CHECKS, Judge
from stages.measure_pose import MeasurePose
from tests.pipeline.skeleton.people import person
from tests.stages import fake_run

ROOT = Path(__file__).parent.parent
FRAMES = 100
# What a person would write: a place that stands once in the file, and what stands there afterwards.
COLUMN = 'column("jitter", F'
FILTER = {
    "kinds": {COLUMN: f'column("hanging_arms_share", F, "share", "frames with both wrists below the hips"),\n{COLUMN}'},
    "pipeline/skeleton/measures.py": {
        "\nVERSION = ": "\nVERSION = 1 + ",
        '"jitter": ': '"hanging_arms_share": hanging_arms_share(keypoints, scores, min_score), "jitter": ',
        "def body_jitter": '''def hanging_arms_share(keypoints: Floats, scores: Floats, min_score: float) -> float:
    """Share of frames, 0..1, in which both wrists are below the hips."""
    y = visible(keypoints, scores, min_score)[..., 1]
    return float((y[:, _WRISTS].min(1) > y[:, [layout.LEFT_HIP, layout.RIGHT_HIP]].max(1)).mean())


def body_jitter''',
    },
    "stages/judge/settings.py": {
        "    max_jitter: ": """    max_hanging_arms_share: Share = at_most(
        "hanging_arms_share", None, Reason.STATIC_POSE, "share of frames with both wrists below the hips"
    )
    max_jitter: """,
    },
}
# What the changed tree makes of the run: everything that is pending, and what it shows of it.
DRIVER = """
import json, sys
from pathlib import Path
import fake_run, pipeline
from pipeline.engine.plan import plan
from pipeline.shards.format import shard_schema
from pipeline.shards.read import open_shards
from pipeline.tables.store import Store
from stages.judge import CHECKS, Judge
from stages.measure_pose import MeasurePose
from stages.report import Report, charts, gather
from stages.shards import Shards

run, limit = Path(sys.argv[1]), float(sys.argv[2])
off = {check.setting: None for check in CHECKS}
judge = Judge(**{**off, "max_hanging_arms_share": limit, "require_audio": False})
found = {"tree": pipeline.__file__, "done": {}}
for stage in (MeasurePose(), judge, Shards(), Report()):
    found["done"][stage.name] = fake_run.run(stage, run)
store = Store(run)
found["measures"] = {row["person_id"]: row["hanging_arms_share"] for row in store.read("pose_measures").to_pylist()}
verdicts = store.read("verdicts").to_pylist()
found["verdicts"] = {row["person_id"]: [row["keep"], row["reasons"], row["details"]] for row in verdicts}
shown = gather.gather(store)
found["limits"] = shown.limits
found["charts"] = [chart.name for chart in charts.histograms(shown)]
found["column"] = shard_schema().field("hanging_arms_share").metadata[b"text"].decode()
found["packed"] = {f"{row['clip_id']}#{row['person']}": row["hanging_arms_share"] for row in open_shards(run / "shards").rows()}
print(json.dumps(found))
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Somebody whose arms hang in every other frame, and somebody whose do in every tenth: measured and judged today."""
    store = Store(tmp_path / "run")
    for video, every in ((1, 2), (2, 10)):
        fake_run.add_video(store, video)
        fake_run.add_clip(store, video, 0, FRAMES)
        keypoints, scores = person(FRAMES)
        keypoints[::every, [layout.LEFT_WRIST, layout.RIGHT_WRIST], 1] += 120
        row = {
            **fake_run.ids(video, 0, FRAMES),
            "person": 0,
            "frames": FRAMES,
            "width": 1280,
            "height": 720,
            "keypoints": keypoints.reshape(FRAMES, -1).astype(np.float32),
            "scores": scores.astype(np.float32),
            "boxes": np.tile(np.array([500, 100, 800, 700], np.float32), (FRAMES, 1)),
            "face_sharpness": np.full(FRAMES, 50, np.float32),
        }
        fake_run.add(store, "persons", [row])
    judge = Judge(**{check.setting: None for check in CHECKS}, require_audio=False)
    for stage in (MeasurePose(), judge):
        assert fake_run.run(stage, store.run)
        assert not len(plan(stage, store).pending)
    for video in (1, 2):
        fake_run.add_sample(store, video, 0, FRAMES)
    (store.run / "profile.toml").write_text(
        "name = 'mine'\n[stages.judge]\nmax_hanging_arms_share = 0.25\nmax_jitter = 'off'\n"
    )
    return store.run


def changed_tree(tree: Path) -> list[str]:
    """A copy of the tree with the filter in it; the files that differ."""
    for name in ("pipeline", "stages", "manifests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(fake_run.__file__, tree)
    [kinds] = [path for path in (tree / "pipeline").rglob("*.py") if COLUMN in path.read_text()]
    for name, edits in FILTER.items():
        path = kinds if name == "kinds" else tree / name
        for old, new in edits.items():
            text = path.read_text()
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
            path.write_text(text.replace(old, new))
    sources = [path.relative_to(tree) for folder in ("pipeline", "stages") for path in (tree / folder).rglob("*.py")]
    return [str(path) for path in sources if (tree / path).read_bytes() != (ROOT / path).read_bytes()]


@pytest.mark.slow
def test_a_new_filter_touches_three_files_and_reaches_verdict_report_and_shard(run: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    assert len(changed_tree(tree)) == 3

    command = [sys.executable, "-c", DRIVER, str(run), "0.25"]
    made = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert Path(found["tree"]).is_relative_to(tree)

    hanging, gesturing = (fake_run.person_id(video, 0, FRAMES) for video in (1, 2))
    assert found["done"]["measure_pose"] == [fake_run.clip_id(video, 0, FRAMES) for video in (1, 2)]
    assert found["measures"] == {hanging: 0.5, gesturing: 0.1}
    detail = "hanging_arms_share 0.5 share > 0.25"
    assert found["verdicts"] == {hanging: [False, ["static_pose"], [detail]], gesturing: [True, [], []]}

    assert found["limits"] == {"hanging_arms_share": ["max", 0.25]}
    assert found["charts"][0] == "hanging arms"
    records = {path.stem: path.read_text() for path in (run / "report" / "data").glob("*.js")}
    assert (
        '["hanging_arms_share","hanging arms","share","frames with both wrists below the hips"]' in records["summary"]
    )
    assert re.search(r'"setting":"max_hanging_arms_share"[^{}]*"side":"max"[^{}]*"limit":0.25', records["summary"])
    assert json.dumps(detail).replace(">", "\\u003e") in records["people-0"]
    assert 'CSG.add("measure-hanging_arms_share", ' in records["measure-hanging_arms_share"]

    assert found["column"] == "frames with both wrists below the hips"
    assert found["packed"] == {gesturing: 0.1}
