"""Previews: which videos are drawn, what a strip shows, and what is left alone."""

import base64
import json
import re
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import read_wave
from pipeline.media.video import GridReader, write_clip
from pipeline.tables.store import Store
from stages.previews import Previews, pose
from stages.previews.chosen import nearness
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
    strays = [stray, stray.with_name("stray.mp4"), stray.with_name("stray.pose.js")]
    for path in strays:
        path.write_bytes(b"")
    fake_run.run(Previews(), tmp_path)
    assert not any(path.exists() for path in strays)
    assert len(list((tmp_path / "previews").glob("*/*.pose.js"))) == 1
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


def test_none_of_a_video_means_none_of_the_dropped(tmp_path: Path) -> None:
    """Only of videos that have no clips there is something to show; else those with nothing to show never fill a reason."""
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in range(30):
            fake_run.add_video(store, video)
            if video < 10:
                fake_run.refuse(store, "clips", fake_run.video_id(video), "no_shots")
                continue
            fake_run.add_clip(store, video)
            fake_run.add_persons_row(store, video)
            fake_run.judge(store, video, keep=video == 29, reasons=[] if video == 29 else ["side_view"])
        fake_run.add_clip(store, 30)
        fake_run.refuse(store, "persons", fake_run.clip_id(30), "nobody")
    units = [fake_run.video_id(video) for video in range(31)]
    chosen = Previews(dropped_a_reason=5, dropped_a_video=0).choose(store, units)
    clipless = {id for id in chosen if id in units[:10]}
    assert len(clipless) == 5
    assert set(chosen) == clipless | {units[29]}


def test_all_kept_ones_are_drawn_and_few_of_the_dropped(tmp_path: Path) -> None:
    drawer = PreviewDrawer(PreviewsSettings(dropped_a_video=2), Context(tmp_path))
    persons = [{"person_id": fake_run.person_id(1, first=n)} for n in range(10)]
    verdicts = [
        {**row, "keep": n < 4, "reasons": [] if n < 4 else ["silent"], "details": []} for n, row in enumerate(persons)
    ]
    shown = list(drawer._people(Unit("v", {"verdicts": verdicts, "persons": persons})))
    assert len(shown) == 4 + 2


def test_ids_that_differ_by_case_do_not_share_a_file() -> None:
    lower, upper = (strip_path(f"yt:{name}/0+130#0") for name in ("abcdefghijk", "ABCDEFGHIJK"))
    assert str(lower).lower() != str(upper).lower()


def test_nearest_to_being_kept_come_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in range(40):
            yaw = 90 - video  # the later, the nearer
            fake_run.add_video(store, video)
            fake_run.add_clip(store, video)
            fake_run.add_persons_row(store, video)
            fake_run.judge(store, video, keep=False, reasons=["side_view"], details=[f"yaw_degrees {yaw} deg > 50"])
    units = [fake_run.video_id(video) for video in range(40)]
    nearest = Previews(dropped_a_reason=6, nearest_share=1).choose(store, units)
    assert nearest == units[-6:]
    mixed = Previews(dropped_a_reason=6, nearest_share=0.5).choose(store, units)
    assert len(mixed) == 6
    assert set(units[-3:]) < set(mixed)
    assert set(mixed) != set(nearest), "the others are drawn by lot"


def test_one_reason_is_nearer_than_two_and_a_little_nearer_than_a_lot() -> None:
    def dropped(*details: str) -> tuple[int, float]:
        reasons = [f"reason {n}" for n in range(len(details))]
        return nearness({"reasons": reasons, "details": list(details)})

    little, lot = dropped("shoulder_width_px 59 px < 60"), dropped("arm_range 0.01 shoulder widths < 0.15")
    both = dropped("shoulder_width_px 59 px < 60", "yaw_degrees 51 deg > 50")
    unknown = dropped("has_audio false")
    assert little < lot < unknown < both
    assert dropped("yaw_degrees 60 deg > 50; body_yaw_degrees 75 deg > 50")[1] == pytest.approx(0.5), "the worst counts"


def unpacked(text: str) -> tuple[dict, np.ndarray, np.ndarray]:
    """What the page makes of a skeleton's script: keypoints (F, 133, 2), NaN where not seen, and scores (F, 133)."""
    match = re.fullmatch(r'csgPose\("([\w-]+)", (\{.*\})\);\n', text)
    assert match
    said = json.loads(match[2]) | {"name": match[1]}
    frames, points = said["frames"], said["points"]
    raw = np.frombuffer(zlib.decompress(base64.b64decode(said["data"]), -15), np.uint8)
    count = frames * points * 2
    places = raw[:count].astype(np.uint16) | raw[count : 2 * count].astype(np.uint16) << 8
    steps = np.cumsum(places.reshape(points, 2, frames), -1, dtype=np.uint16).view(np.int16)
    scores = np.cumsum(raw[2 * count :].reshape(points, frames), -1, dtype=np.uint8)
    keypoints = np.where(scores[:, None] > 0, steps * said["step"], np.nan).transpose(2, 0, 1)
    return said, keypoints, (np.maximum(scores, 1).T.astype(float) - 1) / 254


def test_a_skeleton_comes_back_within_an_eighth_of_a_pixel() -> None:
    points = fake_run.skeleton(3, frames=375)
    points[0], points[100:120, 7], points[5, 3] = np.nan, np.nan, (np.nan, 4)
    points[:, 8] = np.linspace(-900, 7000, 375)[:, None]
    points[40, 9] = 1e6  # a spike
    scores = np.random.default_rng(1).uniform(0, 1.2, (375, 133)).astype(np.float32)
    data = pose.script("some-name", points, scores, (512, 512), [1.0, -2.0, 3.5, 4.0])
    assert len(data) < 500_000
    said, keypoints, marks = unpacked(data.decode())
    assert (said["name"], said["size"], said["box"]) == ("some-name", [512, 512], [1.0, -2.0, 3.5, 4.0])
    seen = np.isfinite(points).all(-1)
    assert np.array_equal(np.isfinite(keypoints).all(-1), seen)
    near = seen & (np.abs(np.nan_to_num(points)) < 8000).all(-1)
    assert np.abs(keypoints - points)[near].max() <= 1 / 8
    assert np.abs(marks - np.clip(scores, 0, 1))[seen].max() <= 1 / 500


def test_fifteen_seconds_of_a_steady_person_are_small() -> None:
    time = np.arange(375)[:, None, None] / 25
    rng = np.random.default_rng(0)
    points = rng.uniform(100, 400, (133, 2)) + 25 * np.sin(2 * np.pi * time * rng.uniform(0.2, 2, (133, 1)))
    scores = rng.uniform(0.7, 0.9, 133) + rng.normal(0, 0.02, (375, 133))
    assert len(pose.packed(points.astype(np.float32), scores.astype(np.float32))) < 150_000


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A film of 10 s whose picture and sound say when they are: every second brighter, and with a tone from second 6 on."""
    size = (320, 180)
    pictures = (np.full((size[1], size[0], 3), 20 + 20 * (n // 25), np.uint8) for n in range(250))
    sound = np.zeros(250 * 640, np.float32)
    sound[6 * 16_000 :] = 0.3 * np.sin(np.arange(4 * 16_000) / 5)
    write_clip(tmp_path / "talk.mp4", pictures, sound, size=size, preset="ultrafast")
    return tmp_path / "talk.mp4"


def dropped_in_one_clip(store: Store, talk: Path, first: int, frames: int) -> None:
    """Two people of one clip, dropped."""
    with fake_run.together(store):
        fake_run.add_video(store, 1, path=str(talk), grid_frames=250, audio_codec="aac")
        for person, yaw in enumerate((60, 70)):
            more = {"reasons": ["side_view"], "details": [f"yaw_degrees {yaw} deg > 50"]}
            fake_run.add_person(store, 1, first, person=person, frames=frames, keep=False, **more)


def test_what_was_dropped_gets_a_film_with_its_own_picture_and_sound(tmp_path: Path, talk: Path) -> None:
    store = Store(tmp_path / "run")
    dropped_in_one_clip(store, talk, 100, 125)
    fake_run.run(Previews(clip_height_px=90, clip_max_seconds=4), store.run)
    one, other = store.read("previews").to_pylist()
    assert one["clip"] == other["clip"], "people of one clip share its film"
    assert one["pose"] != other["pose"]
    assert (one["tiles"], one["loop"]) == (4, None)
    path = store.run / one["clip"]
    assert path.stat().st_size == one["clip_bytes"] < 4 * (400 + 48) * 1000 / 8
    with GridReader(path) as reader:
        pictures = [frame.pixels for frame in reader]
    assert len(pictures) == 100, "at most four seconds"
    assert pictures[0].shape == (90, 160, 3)
    levels = [float(np.median(pictures[n])) for n in (0, 24, 25, 50, 99)]
    assert np.abs(np.array(levels) - [100, 100, 120, 140, 160]).max() <= 6, "frame n of the film is frame first + n"
    wave = read_wave(path)
    assert wave is not None
    begin = int(np.argmax(np.abs(wave) > 0.1))
    assert abs(begin - 2 * 16_000) < 640, "the tone begins two seconds after the clip, within a frame"


def test_a_skeleton_is_in_the_pixels_of_its_film(tmp_path: Path, talk: Path) -> None:
    store = Store(tmp_path / "run")
    dropped_in_one_clip(store, talk, 0, 130)
    fake_run.run(Previews(clip_height_px=90, clip_max_seconds=4), store.run)
    (person, *_) = store.read("persons").to_pylist()
    (row, *_) = store.read("previews").to_pylist()
    said, keypoints, _ = unpacked((store.run / row["pose"]).read_text())
    assert (said["frames"], said["size"], said["box"]) == (100, [160, 90], [150, 0, 510, 360])
    assert said["name"] == Path(row["pose"]).name.removesuffix(".pose.js")
    truth = (np.reshape(person["keypoints"], (130, 133, 2))[:100] + 0.5) / 2 - 0.5
    assert np.nanmax(np.abs(keypoints - truth)) <= 1 / 8


def test_a_film_of_a_refused_video_ends_early_and_its_strip_goes_on(tmp_path: Path, talk: Path) -> None:
    store = Store(tmp_path / "run")
    fake_run.add_video(store, 1, path=str(talk), grid_frames=250, audio_codec="aac")
    fake_run.refuse(store, "clips", fake_run.video_id(1), "too_short")
    fake_run.run(Previews(clip_max_seconds=2, strip_height_px=60, strip_frames=2), store.run)
    (row,) = store.read("previews").to_pylist()
    with GridReader(store.run / row["clip"]) as reader:
        assert sum(1 for _ in reader) == 50
    last = read(store.run / row["path"])[:, -100:]
    assert np.median(last) > 150, "from the eighth second"
    assert row["pose"] is None


def test_a_kept_person_has_a_skeleton_of_the_exported_clip_and_no_second_film(tmp_path: Path, films: Path) -> None:
    store = Store(tmp_path)
    with fake_run.together(store):
        person(store, films, 1, keep=True)
    fake_run.run(Previews(), tmp_path)
    (row,) = store.read("previews").to_pylist()
    (sample,) = store.read("samples").to_pylist()
    said, keypoints, _ = unpacked((tmp_path / row["pose"]).read_text())
    assert (row["clip"], said["size"], said["box"]) == (None, [512, 512], None)
    truth = np.reshape(sample["keypoints"], keypoints.shape)
    assert np.nanmax(np.abs(keypoints - truth)) <= 1 / 8
