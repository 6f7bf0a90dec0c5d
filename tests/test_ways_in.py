"""The README's two ways in, typed as it says, with a YouTube of our own behind yt-dlp: nothing of it is planted in tables."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.stages import planted_poses
from tests.youtube import Plan, Refusal, Video, YouTube, serve, video_id

pytestmark = pytest.mark.slow

LIVE, GONE = [video_id(n) for n in range(3)], video_id(3)
FRAMES = 50


@pytest.fixture
def youtube() -> Iterator[YouTube]:
    plan = Plan()
    for number, name in enumerate(LIVE):
        plan.videos[name] = Video(name, title=f"Talk {number}", film=number)
    plan.videos[GONE] = Video(GONE, fault=Refusal.PRIVATE)
    with serve(plan) as site:
        yield site


def csg(run: Path, youtube: YouTube, *arguments: str, code: int = 0) -> str:
    """What a command prints; its exit code is checked."""
    sets = {"web.mirror": youtube.mirror, "web.requests_per_hour": "3600000", "web.min_free_gigabytes": "0"}
    flags = [flag for key, value in sets.items() for flag in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "pipeline.cli", *arguments, "--run", str(run), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def manifest(folder: Path) -> Path:
    """Two clips of every video, of which one does not exist any more, and a row that is none."""
    rows = [
        {
            "vid": vid,
            "part": 0,
            "start_time": f"00:00:0{start}.000",
            "end_time": f"00:00:0{start + 2}.000",
            "crop_box": list(planted_poses.BOX),
        }
        for vid in (*LIVE, GONE)
        for start in (1, 4)
    ]
    rows.append({**rows[0], "vid": "too short"})
    path = folder / "all_with_crop.json"
    path.write_text(json.dumps(rows, indent=1))
    return path


def poses(folder: Path) -> Path:
    """The released poses of the clips, as one zip."""
    members = {}
    for number, vid in enumerate(LIVE):
        for start in (1, 4):
            points, scores = planted_poses.truth(FRAMES, seed=number)
            name = f"{vid}_0_00_00_0{start}_000_00_00_0{start + 2}_000.npy"
            members[name] = planted_poses.npy(planted_poses.released(points, scores))
    return planted_poses.write_zip(folder / "CSG-405-pose.zip", members)


def test_a_rebuild_from_an_empty_folder(tmp_path: Path, youtube: YouTube) -> None:
    links, run = manifest(tmp_path), tmp_path / "run"
    given = ("--profile", "rebuild", "--manifest", str(links), "--poses", str(poses(tmp_path)))

    dry = csg(run, youtube, "run", "crawl", "annotate", "filter", "--dry-run", *given)
    assert all(vid in dry for vid in (*LIVE, GONE)) and "too short" in dry
    assert not run.exists() and not youtube.requests

    csg(run, youtube, "availability", "--probe", *given)
    account = json.loads((run / "availability" / "availability.json").read_text())
    assert "private" in json.dumps(account)
    assert not any("googlevideo" in request.host for request in youtube.requests), "a probe downloads nothing"

    printed = csg(run, youtube, "run", "crawl", "annotate", "filter", *given)
    rows = pd.read_parquet(run / "shards")
    assert sorted(rows["video_id"].unique()) == sorted(f"yt:{vid}" for vid in LIVE), printed
    assert len(rows) == 2 * len(LIVE) and set(rows["frames"]) == {FRAMES}
    assert sorted(set(rows["start_seconds"])) == [1.0, 4.0]
    ledger = (run / "availability" / "rows.csv").read_text()
    assert GONE in ledger

    again = csg(run, youtube, "run", "crawl", "annotate", "filter", *given)
    assert "nothing to do" in again
    csg(run, youtube, "opt-out", f"yt:{LIVE[0]}", *given)
    left = pd.read_parquet(run / "shards")
    assert f"yt:{LIVE[0]}" not in set(left["video_id"]) and len(left) == 2 * len(LIVE) - 2


def test_from_speech_types_to_clips(tmp_path: Path, youtube: YouTube) -> None:
    types = tmp_path / "types.toml"
    types.write_text(
        '[[types]]\nname = "Public Lecture"\ngroup = "Speech and Lecture"\nregister = "formal"\n'
        'share_percent = 10.0\nkeywords.en = ["public lecture"]\n'
    )
    youtube.plan.queries["public lecture"] = [*LIVE, GONE]
    sets = {"speech_types.source": str(types), "search.videos": "4", "search.hd_only": "false"}
    sets |= {"search.min_seconds": "1", "split.min_clip_seconds": "2"}
    sets |= {"split.target_clip_seconds": "3", "split.max_clip_seconds": "4"}
    flags = [flag for key, value in sets.items() for flag in ("--set", f"{key}={value}")]
    run = tmp_path / "run"
    printed = csg(run, youtube, "run", "crawl", "--profile", "csg405", *flags)
    clips = tmp_path / "clips.parquet"
    csg(run, youtube, "table", "clips", "--out", str(clips))
    assert set(pd.read_parquet(clips)["video_id"]) == {f"yt:{vid}" for vid in LIVE}, printed
    assert csg(run, youtube, "show", f"yt:{LIVE[0]}").count("Public Lecture")
    assert "private" in csg(run, youtube, "status")
