"""What export writes: the keypoint lies where the pixel lies, the sound where the picture is, the same bytes each time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.reasons import Reason, Reject
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import cut, from_flac, read_wave
from pipeline.media.video import GridReader, write_video
from pipeline.skeleton.crop import map_points
from pipeline.skeleton.local import from_local
from pipeline.tables.kinds import KINDS
from stages.export import Export
from stages.export.worker import keeps_planes

WIDTH, HEIGHT, ALL_FRAMES, FIRST, FRAMES = 320, 240, 40, 5, 30
BOX = (67, 13, 243, 189)
PERSON = {
    "person_id": "file:0123456789abcdef/5+30#0",
    "clip_id": "file:0123456789abcdef/5+30",
    "video_id": "file:0123456789abcdef",
}


def dot_path() -> np.ndarray:
    """(frames, 2) centre of the dot in source pixels: a slow parabola, which the smoothing filter leaves as it is."""
    t = np.arange(ALL_FRAMES)
    return np.stack([110.3 + 1.7 * t, 60.2 + 2.1 * t - 0.02 * t**2], 1)


def sound_wave() -> np.ndarray:
    return (0.3 * np.sin(np.arange(ALL_FRAMES * 640) * 0.05)).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with one video: a soft white dot that moves over grey."""
    folder = tmp_path_factory.mktemp("run")
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pictures = (
        np.repeat((60 + 190 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 40))[..., None], 3, 2).astype(np.uint8)
        for cx, cy in dot_path()
    )
    write_video(folder / "dot.mp4", pictures, sound_wave(), size=(WIDTH, HEIGHT), options={"crf": 8})
    return folder


def unit(frames: int = FRAMES, path: str = "dot.mp4", audio: str | None = "aac", box: Any = BOX) -> Unit:
    offsets = np.zeros((133, 2))
    offsets[[5, 6]] = [[-3, 0], [3, 0]]  # shoulders: their middle is the dot
    points = np.resize(dot_path()[FIRST:], (frames, 2))[:, None] + offsets
    points[3:5, 100] = np.nan
    return Unit(
        PERSON["person_id"],
        {
            "verdicts": [dict(PERSON)],
            "persons": [{"keypoints": points.reshape(frames, -1).astype(np.float32), "scores": np.ones((frames, 133), np.float32)}],
            "pose_measures": [{"crop_box": None if box is None else list(box)}],
            "clips": [{"first_frame": FIRST, "frames": frames}],
            "videos": [{"path": path, "sha256": "", "audio_codec": audio}],
        },
    )  # fmt: skip


def export(run: Path, unit: Unit, threads: int = 1, **settings: Any) -> dict[str, Any]:
    stage = Export(preset="ultrafast", **settings)
    [row] = stage.worker(Context(run=run, threads=threads)).process(unit)
    return row


@pytest.fixture(scope="module")
def row(run: Path) -> dict[str, Any]:
    return export(run, unit())


def centroid(picture: np.ndarray) -> np.ndarray:
    light = np.clip(picture.astype(float).mean(-1) - 110, 0, None)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum()


def test_the_dot_lies_where_its_keypoint_says(run: Path, row: dict[str, Any]) -> None:
    keypoints = row["keypoints"].reshape(FRAMES, 133, 2)
    with GridReader(run / row["video"]) as reader:
        pictures = [frame.pixels for frame in reader]
    assert len(pictures) == FRAMES and pictures[0].shape == (512, 512, 3)
    seen = np.array([centroid(picture) for picture in pictures])
    assert np.abs(seen - keypoints[:, 0]).max() < 0.25
    assert np.abs(keypoints[:, 0] - map_points(dot_path()[FIRST : FIRST + FRAMES], BOX)).max() < 0.02


def test_local_and_neck_invert_to_the_keypoints(row: dict[str, Any]) -> None:
    back = from_local(row["local"].reshape(FRAMES, 133, 2), row["neck"]).reshape(FRAMES, -1)
    np.testing.assert_array_equal(back, row["keypoints"])
    assert np.isnan(row["keypoints"].reshape(FRAMES, 133, 2)[3:5, 100]).all()
    assert np.isnan(row["keypoints"]).sum() == 4


def test_the_row_fits_its_table(row: dict[str, Any]) -> None:
    assert set(row) == set(KINDS["samples"].schema.names)
    assert row["keypoints"].dtype == row["local"].dtype == np.float32
    assert row["video_bytes"] > 1000 and len(row["video_sha256"]) == 64
    assert Path(row["video"]).parts[0] == "clips" and not Path(row["video"]).is_absolute()


def test_the_sound_is_that_of_the_pictures(run: Path, row: dict[str, Any]) -> None:
    wave = read_wave(run / "dot.mp4")
    assert wave is not None
    sound = from_flac(row["audio"])
    assert len(sound) == FRAMES * 640
    np.testing.assert_allclose(sound, cut(wave, FIRST, FRAMES), atol=1 / 32768)


def test_the_same_bytes_again_whatever_the_threads(run: Path, row: dict[str, Any]) -> None:
    again = export(run, unit(), threads=2)
    assert (again["video_sha256"], again["audio"]) == (row["video_sha256"], row["audio"])
    for name in ("keypoints", "local", "neck"):
        np.testing.assert_array_equal(again[name], row[name])


def test_without_sound_there_is_no_audio(run: Path) -> None:
    silent = export(run, unit(audio=None))
    assert silent["audio"] is None
    assert read_wave(run / silent["video"]) is None


def test_a_clip_that_ends_early_holds_its_last_picture(run: Path) -> None:
    short = export(run, unit(frames=37))
    with GridReader(run / short["video"]) as reader:
        assert sum(1 for _ in reader) == 37
    with pytest.raises(Reject) as error:
        export(run, unit(frames=60))
    assert error.value.reason is Reason.CORRUPT
    assert "25 of 60" in error.value.detail
    assert not list(run.rglob(".writing-*"))


@pytest.mark.parametrize(
    ("box", "reason"), [(None, Reason.NOT_MEASURED), ((100, 100, 200, 200), Reason.CROP_TOO_SMALL)]
)
def test_crops_that_cannot_be_cut(run: Path, box: Any, reason: Reason) -> None:
    with pytest.raises(Reject) as error:
        export(run, unit(box=box))
    assert error.value.reason is reason


def test_a_box_that_leaves_the_picture_is_black_outside(run: Path) -> None:
    outside = export(run, unit(box=(-80, 0, 160, 240)))
    with GridReader(run / outside["video"]) as reader:
        picture = next(iter(reader)).pixels
    assert picture[:, :160].max() < 12 and picture[:, 190:].min() > 40


def test_keypoints_that_came_smoothed_are_not_smoothed_again(run: Path) -> None:
    rough = unit()
    person = rough.rows("persons")[0]
    points = person["keypoints"].reshape(FRAMES, 133, 2)
    points += np.random.default_rng(3).normal(0, 2, points.shape).astype(np.float32)
    raw = map_points(points.astype(np.float64), BOX)
    once = export(run, rough)["keypoints"].reshape(raw.shape)
    person["smoothed"] = True
    kept = export(run, rough)["keypoints"].reshape(raw.shape)
    np.testing.assert_allclose(kept, raw, atol=1e-3)
    assert np.nanmax(np.abs(once - raw)) > 1


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((20, 10, 340, 330), True),
        ((21, 11, 341, 331), True),
        ((20, 10, 341, 331), False),  # an odd side
        ((20, 10, 331, 330), True),  # not square: its square is even
        ((100, 100, 612, 612), True),  # of the clip's own size
        ((101, 100, 613, 612), False),
        ((100, 101, 612, 613), False),
    ],
)
def test_planes_are_kept_where_chroma_can_be_placed(box: Any, kept: bool) -> None:
    assert keeps_planes(box, 512) is kept
