"""A run that fetched from a server is released, and from the release's folder alone another machine makes the same data set."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.engine.profile import Profile, load
from pipeline.engine.runner import Options, run_stage
from pipeline.registry.models import Registry
from pipeline.shards.release import LINKS, SKELETONS
from pipeline.shards.release.scan import problems
from pipeline.sources.web.settings import Web
from pipeline.tables.store import Store
from tests.pipeline.media.footage import constant_times
from tests.rebuild_films import write_film
from tests.stages.test_crawl import QUICK
from tests.stages.test_crawl_hls import serving
from tests.test_rebuild import plant_persons

SIZES = ((1280, 720), (854, 480))
CLIPS = ((5, 60), (65, 60))  # first frame and frames
MANIFEST = ("crawl.input", "manifest_clips.manifest")
SETS = ("crawl.allow_loopback=true", "export.preset=ultrafast", "shards.buckets=1", "shards.split_seed=3")


def run_stages(profile: Profile, names: str, run: Path) -> None:
    for name in names.split():
        options = Options(workers=0, threads=2, web=Web(**QUICK))
        summary = run_stage(profile.stage(name), run, Registry(cache=run / "nets"), options)
        assert not summary.counts.get("failed") and summary.counts.get("ok"), (name, summary)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_the_release_alone_comes_the_same_data_set(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for number, size in enumerate(SIZES):
        write_film(site / f"{number}.mp4", "", size, constant_times(25, 130), 50 * number, sound="aac")
    with serving(site) as (address, _):
        first = made(tmp_path / "first", address)
        folder = Path(shutil.copytree(first / "release", tmp_path / "elsewhere" / "release"))
        assert not list(problems(folder))
        shutil.move(first, tmp_path / "gone")
        again = tmp_path / "again"
        found = f'import_poses.archive="{folder}"'
        profile = load("rebuild", [f'{key}="{folder / LINKS}"' for key in MANIFEST] + [found, *SETS])
        run_stages(profile, "crawl manifest_clips import_poses measure_pose judge export shards", again)
    same(Store(tmp_path / "gone"), Store(again), folder)


def made(run: Path, address: str) -> Path:
    """A run whose clips a list names, with two planted people in each, of whom one is kept."""
    run.mkdir()
    links = run.parent / "first.jsonl"
    site = run.parent / "site"
    links.write_text(
        "".join(line for number in range(len(SIZES)) for line in lines_of(site / f"{number}.mp4", address))
    )
    profile = load("rebuild", [*(f'{key}="{links}"' for key in MANIFEST), *SETS])
    run_stages(profile, "crawl manifest_clips", run)
    store = Store(run)
    plant_persons(store, {row["video_id"]: (row["width"], row["height"]) for row in store.read("videos").to_pylist()})
    run_stages(profile, "measure_pose judge export shards release", run)
    return run


def lines_of(film: Path, address: str) -> list[str]:
    about = {"video_id": f"file:{sha256(film)[:16]}", "url": f"{address}/{film.name}", "width": 1280, "height": 720}
    spans = [{"first_frame": f, "frames": n, "start_seconds": f / 25, "end_seconds": (f + n) / 25} for f, n in CLIPS]
    return [json.dumps({**about, **span, "crop_box": None}) + "\n" for span in spans]


def same(was: Store, now: Store, folder: Path) -> None:
    """Skeletons as they were published, crops, keypoints of samples, and pictures and sound to the byte."""
    released = [row for path in sorted((folder / SKELETONS).iterdir()) for row in pq.read_table(path).to_pylist()]
    persons, before = by_id(now, "persons"), by_id(was, "persons")
    assert set(persons) == {row["person_id"] for row in released} and len(persons) == len(SIZES) * len(CLIPS)
    for name, row in persons.items():
        np.testing.assert_array_equal(row["keypoints"], before[name]["keypoints"])
        np.testing.assert_array_equal(row["scores"], before[name]["scores"])
    old, new = by_id(was, "samples"), by_id(now, "samples")
    assert set(old) == set(new) == set(persons)
    for name, sample in new.items():
        assert sample["crop_box"] == old[name]["crop_box"]
        difference = np.abs(np.array(sample["keypoints"]) - np.array(old[name]["keypoints"]))
        assert np.nanmax(difference) <= 1 / 64
        assert sha256(now.run / sample["video"]) == sha256(was.run / old[name]["video"])
        assert sample["audio"] == old[name]["audio"]


def by_id(store: Store, kind: str) -> dict[str, dict[str, Any]]:
    return {row["person_id"]: row for row in store.read(kind).to_pylist()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
