"""Previews: which videos are drawn, what a strip shows, and what is left alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_clip
from pipeline.tables.store import Store
from stages.previews import Previews
from stages.previews.paths import loop_path, strip_path
from stages.previews.settings import PreviewsSettings
from stages.previews.worker import PreviewDrawer
from tests.stages import fake_run

SIZE = (160, 120)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey film that brightens with time, and a square one as `export` leaves it."""
    folder = tmp_path_factory.mktemp("films")
    for name, (width, height) in (("source", SIZE), ("sample", (512, 512))):
        pictures = (np.full((height, width, 3), 40 + n, np.uint8) for n in range(fake_run.FRAMES))
        write_clip(folder / f"{name}.mp4", pictures, None, size=(width, height), preset="ultrafast", crf=18)
    return folder


def person(store: Store, films: Path, video: int, *, keep: bool, **verdict) -> None:
    fake_run.add_video(store, video, path=str(films / "source.mp4"), grid_frames=fake_run.FRAMES)
    fake_run.add_person(store, video, keep=keep, **verdict)
    if keep:
        fake_run.add_sample(store, video, video=str(films / "sample.mp4"))


def read(path: Path) -> np.ndarray:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)


def test_a_kept_person_gets_a_strip_and_a_row_of_pictures(tmp_path: Path, films: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        person(store, films, 1, keep=True)
    stage = Previews(strip_frames=3, strip_height_px=60, loop_frames=4, loop_side_px=64)
    assert fake_run.run(stage, tmp_path) == [fake_run.video_id(1)]
    (row,) = store.read("previews").to_pylist()
    assert row["preview_id"] == fake_run.person_id(1)
    strip = read(tmp_path / row["path"])
    assert strip.shape == (60, 3 * 80 + 2 * 4, 3)
    thirds = [float(np.median(strip[:, 84 * n : 84 * n + 80])) for n in range(3)]
    assert thirds == sorted(thirds), "pictures stand in order of time"
    assert read(tmp_path / loop_path(Path(row["path"]))).shape == (64, 4 * 64, 3)


def test_what_has_no_people_is_drawn_plain(tmp_path: Path, films: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in (1, 2):
            fake_run.add_video(store, video, path=str(films / "source.mp4"), grid_frames=fake_run.FRAMES)
        fake_run.add_clip(store, 1)
        fake_run.refuse(store, "persons", fake_run.clip_id(1), "no_person")
        fake_run.refuse(store, "clips", fake_run.video_id(2), "too_short")
    fake_run.run(Previews(), tmp_path)
    found = {row["preview_id"] for row in store.read("previews").to_pylist()}
    assert found == {fake_run.clip_id(1), fake_run.video_id(2)}


def test_a_file_that_does_not_decode_is_no_failure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"<html>" * 100)
    fake_run.add_video(store, 1, path="broken.mp4")
    fake_run.refuse(store, "clips", fake_run.video_id(1), "corrupt")
    fake_run.run(Previews(), tmp_path)
    assert store.read("previews").num_rows == 0


def test_only_what_is_new_is_drawn(tmp_path: Path, films: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in (1, 2):
            person(store, films, video, keep=True)
    assert len(fake_run.run(Previews(), tmp_path)) == 2
    assert fake_run.run(Previews(), tmp_path) == []
    with fake_run.together(store):
        person(store, films, 3, keep=True)
    assert fake_run.run(Previews(), tmp_path) == [fake_run.video_id(3)]


def test_a_picture_that_no_row_names_goes(tmp_path: Path, films: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        person(store, films, 1, keep=True)
    stray = tmp_path / "previews/ab/stray.webp"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"")
    fake_run.run(Previews(), tmp_path)
    assert not stray.exists()
    assert len(list((tmp_path / "previews").glob("*/*.webp"))) == 2


def test_each_reason_gets_its_share_of_videos(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in range(40):
            fake_run.add_video(store, video)
            fake_run.add_clip(store, video)
            fake_run.add_persons_row(store, video)
            fake_run.judge(store, video, keep=False, reasons=["side_view" if video % 2 else "static_pose"])
    units = [fake_run.video_id(video) for video in range(40)]
    chosen = Previews(dropped_a_reason=5).choose(store, units)
    assert len(chosen) == 10
    assert sum(int(unit[-2:], 16) % 2 for unit in chosen) == 5
    assert Previews(dropped_a_reason=5).choose(store, units[::-1]) == chosen[::-1], "drawn by hash, not by order"
    assert set(chosen) < set(Previews(dropped_a_reason=9).choose(store, units))
    assert set(chosen) != set(Previews(dropped_a_reason=5, seed=1).choose(store, units))


def test_all_kept_ones_are_drawn_and_few_of_the_dropped(tmp_path: Path) -> None:
    drawer = PreviewDrawer(PreviewsSettings(dropped_a_video=2), Context(tmp_path))
    persons = [{"person_id": fake_run.person_id(1, first=n)} for n in range(10)]
    verdicts = [
        {**row, "keep": n < 4, "reasons": [] if n < 4 else ["silent"], "details": []} for n, row in enumerate(persons)
    ]
    shown = list(drawer._people(Unit("v", {"verdicts": verdicts}), persons))
    assert len(shown) == 4 + 2


def test_ids_that_differ_by_case_do_not_share_a_file() -> None:
    lower, upper = (strip_path(f"yt:{name}/0+130#0") for name in ("abcdefghijk", "ABCDEFGHIJK"))
    assert str(lower).lower() != str(upper).lower()
