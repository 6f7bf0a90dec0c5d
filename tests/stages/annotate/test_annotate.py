"""Annotation as a stage: rows, false alarms, footage and missing pictures, with nets that are told what to see."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.base.reasons import Reason, Reject
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.video import GridReader, write_video
from pipeline.nets.footage import WrongFootage, footage_of
from pipeline.skeleton import layout
from pipeline.tables.kinds import KINDS
from stages.annotate import Annotate
from stages.annotate.worker import AnnotateWorker, Film
from tests.stages.stage_assets import AssetModels, asset

WIDTH, HEIGHT, FRAMES = 320, 240, 40


class SeesBoxes:
    """A detector that sees these people: (first frame, stop, box) each. Pictures carry their number as their grey level."""

    def __init__(self, *people: tuple[int, int, tuple[float, ...]]) -> None:
        self.people = people

    def detect(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [self._look(round(float(picture.mean()) / 5)) for picture in pictures]

    def _look(self, n: int) -> np.ndarray:
        boxes = [(*box, 0.9) for first, stop, box in self.people if first <= n < stop]
        return np.array(boxes, np.float32).reshape(-1, 5)


class DrawsPeople:
    """A pose net that draws the same person into every box, with the scores that it is told."""

    batch = 4
    lanes = 1

    def __init__(self, body: float = 0.9, face: float = 0.9, hands: float = 0.9) -> None:
        self.scores = np.full(133, body, np.float32)
        self.scores[layout.FACE], self.scores[91:] = face, hands

    def prepare_crop(self, picture: np.ndarray, box: Any) -> Any:
        return np.zeros((3, 4, 3), np.float32), np.asarray(box, np.float64)[:4]

    def run(self, crops: Any) -> Any:
        rng = np.random.default_rng(0)
        where = rng.random((133, 2))
        points = [box[:2] + where * (box[2:] - box[:2]) for _, box in crops]
        return np.array(points, np.float32), np.repeat(self.scores[None], len(crops), 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    pictures = (np.full((HEIGHT, WIDTH, 3), 5 * n, np.uint8) for n in range(FRAMES))
    write_video(folder / "grey.mp4", pictures, None, size=(WIDTH, HEIGHT), options={"crf": 1})
    return folder


def unit(first: int = 0, frames: int = FRAMES, footage: str | None = None) -> Unit:
    return Unit(
        "v/0+40",
        {
            "clips": [{"clip_id": "v/0+40", "video_id": "v", "first_frame": first, "frames": frames}],
            "videos": [{"path": "grey.mp4", "sha256": "", "width": WIDTH, "height": HEIGHT, "footage": footage}],
        },
    )


def annotate(
    run: Path, unit: Unit, detector: Any, pose: Any = None, footage: Any = None, **settings: Any
) -> list[dict[str, Any]]:
    stage = Annotate(**{"detect_every_frames": 5, **settings})
    worker = AnnotateWorker(stage, Context(run=run), detector, pose or DrawsPeople(), footage or {})
    return list(worker.process(unit))


LEFT, RIGHT = (20, 40, 100, 220), (180, 30, 280, 230)


OF_RELEASED_POSES = {"smoothed", "pose_space", "frame_offset", "agreement"}


def test_rows_of_two_people_in_order(run: Path) -> None:
    rows = annotate(run, unit(), SeesBoxes((0, 40, RIGHT), (0, 40, LEFT), (10, 40, (110, 60, 170, 200))))
    assert [row["person_id"] for row in rows] == ["v/0+40#0", "v/0+40#1", "v/0+40#2"]
    assert [row["boxes"][-1, 0] for row in rows] == [20, 180, 110]  # by x, then who came later
    assert rows[2]["frames_seen"] == 30
    for row in rows:
        assert set(row) == set(KINDS["persons"].schema.names) - OF_RELEASED_POSES
        assert (row["width"], row["height"], row["frames"]) == (WIDTH, HEIGHT, FRAMES)
        assert row["keypoints"].shape == (FRAMES, 266) and row["scores"].shape == (FRAMES, 133)
        seen = np.isfinite(row["boxes"]).all(1)
        assert np.isnan(row["keypoints"][~seen]).all() and not row["scores"][~seen].any()
        assert np.isfinite(row["keypoints"][seen]).all()


def test_the_clip_begins_where_it_says(run: Path) -> None:
    [row] = annotate(run, unit(first=12, frames=20), SeesBoxes((0, 20, LEFT)), min_track_share=0.1)
    assert row["frames_seen"] in range(6, 9)  # frames 12..19 of the video, seen at every fifth of the clip


def test_nobody_is_a_reason(run: Path) -> None:
    with pytest.raises(Reject) as error:
        annotate(run, unit(), SeesBoxes())
    assert error.value.reason is Reason.NO_PERSON
    assert error.value.detail == "no person in 8 frames looked at"


@pytest.mark.parametrize(
    ("detector", "pose", "why"),
    [
        (SeesBoxes((5, 6, LEFT)), DrawsPeople(), "no person"),  # one detection alone
        (SeesBoxes((5, 16, LEFT)), DrawsPeople(), "seen in 28%"),
        (SeesBoxes((0, 40, (20, 40, 40, 70))), DrawsPeople(), "height 30 px"),
        (SeesBoxes((0, 40, LEFT)), DrawsPeople(body=0.35), "body score 0.35"),
        (SeesBoxes((0, 40, LEFT)), DrawsPeople(body=0.7, face=0.01, hands=0.01), "face or hands in 0%"),
    ],
)
def test_false_alarms_are_no_people(run: Path, detector: SeesBoxes, pose: DrawsPeople, why: str) -> None:
    with pytest.raises(Reject, match=why) as error:
        annotate(run, unit(), detector, pose, min_track_share=0.3)
    assert error.value.reason is Reason.NO_PERSON


@pytest.mark.parametrize(
    "pose", [DrawsPeople(0.95, 0.01, 0.01), DrawsPeople(0.6, 0.01, 0.9), DrawsPeople(0.6, 0.9, 0.01)]
)
def test_a_back_or_a_hidden_hand_is_still_somebody(run: Path, pose: DrawsPeople) -> None:
    assert len(annotate(run, unit(), SeesBoxes((0, 40, LEFT)), pose)) == 1


def test_a_few_missing_pictures_are_unseen_and_many_are_corrupt(run: Path) -> None:
    [row] = annotate(run, unit(frames=43), SeesBoxes((0, 40, LEFT)))
    assert row["frames_seen"] == 40 and len(row["keypoints"]) == len(row["scores"]) == 43
    assert np.isnan(row["boxes"][40:]).all() and not row["scores"][40:].any()
    with pytest.raises(Reject) as error:
        annotate(run, unit(frames=80), SeesBoxes((0, 40, LEFT)))
    assert (error.value.reason, error.value.detail) == (Reason.CORRUPT, "40 of 80 pictures do not decode")


def test_nets_for_puppets_refuse_people(run: Path) -> None:
    made_for = {"theatre_pose": "theatre", "yolox_l": ""}
    with pytest.raises(WrongFootage, match="theatre_pose works on theatre footage only, and this is real footage"):
        annotate(run, unit(), SeesBoxes((0, 40, LEFT)), footage=made_for)
    assert annotate(run, unit(footage="theatre"), SeesBoxes((0, 40, LEFT)), footage=made_for)
    session = SimpleNamespace(get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={"csg405.footage": "theatre"}))
    assert footage_of(session) == "theatre"


def test_film_numbers_from_zero() -> None:
    reader = [SimpleNamespace(n=n, pixels=np.zeros((4, 6, 3), np.uint8), repeated=n != 8) for n in (7, 8, 9)]
    film = Film(reader)
    assert [n for n, _ in film] == [0, 1, 2]
    assert (film.count, film.width, film.height) == (3, 6, 4)
    assert film.repeats == {2}, "a clip's first picture repeats nothing of it"


class SeesAWalk(SeesBoxes):
    """A detector that sees one person walk to the right."""

    def _look(self, n: int) -> np.ndarray:
        return np.array([[20 + 3 * n, 40, 100 + 3 * n, 220, 0.9]], np.float32)


class Counts(DrawsPeople):
    """It also says how many crops it was given."""

    crops = 0

    def run(self, crops: Any) -> Any:
        self.crops += len(crops)
        return super().run(crops)


@pytest.mark.parametrize(("rate", "held"), [(25, 0), (24, 2), (12, 21), (5, 32)])
def test_what_the_reader_holds_is_posed_once(tmp_path: Path, rate: int, held: int) -> None:
    """A person who moves evenly: the pictures of the grid that one frame of the film fills have its points."""
    pictures = (np.full((HEIGHT, WIDTH, 3), min(5 * n * 25 // rate, 5 * FRAMES), np.uint8) for n in range(FRAMES))
    with av.open(tmp_path / "grey.mp4", "w") as file:
        stream = file.add_stream("libx264", rate, width=WIDTH, height=HEIGHT, options={"crf": "1"})
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    with GridReader(tmp_path / "grey.mp4", 0, FRAMES, reading=AS_IT_STANDS) as reader:
        repeated = [n for n, frame in enumerate(reader) if frame.repeated and n]
    pose = Counts()
    [row] = annotate(tmp_path, unit(), SeesAWalk(), pose)
    points = row["keypoints"]
    assert len(repeated) == held and row["frames_seen"] == FRAMES
    assert np.array_equal(points[repeated], points[[n - 1 for n in repeated]])
    assert pose.crops == FRAMES - held


def test_batches_and_devices_are_not_results() -> None:
    assert Annotate(pose_batch=3, detector_batch=1).result_settings() == Annotate().result_settings()
    assert Annotate(detect_every_frames=6).result_settings() != Annotate().result_settings()


@pytest.mark.parametrize("backend", ["onnx", pytest.param("rtmlib", marks=pytest.mark.slow)])
def test_a_real_speaker(backend: str) -> None:
    if backend == "rtmlib":
        pytest.importorskip("rtmlib")
    clip = asset("clips/csgpage_demo1.mp4")
    stage = Annotate(detector=("yolox_nano",), pose=("lite133",), backend=backend)
    worker = stage.worker(Context(run=clip.parent, models=AssetModels(), threads=1))  # type: ignore[arg-type]
    rows = {
        "clips": [{"clip_id": "c", "video_id": "v", "first_frame": 20, "frames": 12}],
        "videos": [{"path": clip.name, "sha256": "", "width": 512, "height": 512, "footage": None}],
    }
    [row] = worker.process(Unit("c", rows))
    assert row["frames_seen"] == 12
    points = row["keypoints"].reshape(12, 133, 2)
    nose, chin, shoulders = points[:, 0], points[:, 23 + 8], points[:, 5:7]
    assert (nose[:, 1] < chin[:, 1]).all() and (chin[:, 1] < shoulders[:, :, 1].max(1)).all()
    assert (shoulders[:, 0, 0] > shoulders[:, 1, 0] + 100).all()  # the left one lies right in the picture
    assert (row["scores"][:, 91:].mean(1) > 0.3).mean() > 0.5  # his hands
    assert np.nanmedian(row["face_sharpness"]) > 0


def test_puppets_are_found_where_they_are_and_their_nets_refuse_people(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from pipeline.theatre import build_nets, render_take, take_named

    nets = build_nets(tmp_path / "nets")
    pictures, truth = render_take(take_named("duo"), seconds=0.4)
    write_video(tmp_path / "duo.mp4", iter(pictures), None, size=(1280, 720), options={"crf": 16})
    stage = Annotate(detector=("theatre_detector",), pose=("theatre_pose",), detect_every_frames=5)
    models = AssetModels(theatre_detector=nets["detector"], theatre_pose=nets["pose"])
    worker = stage.worker(Context(run=tmp_path, models=models, threads=1))  # type: ignore[arg-type]
    clip = {"clip_id": "v/0+10", "video_id": "v", "first_frame": 0, "frames": 10}
    video = {"path": "duo.mp4", "sha256": "", "width": 1280, "height": 720, "footage": "theatre"}
    rows = list(worker.process(Unit("v/0+10", {"clips": [clip], "videos": [video]})))
    assert [row["person"] for row in rows] == [0, 1]
    for row, where, seen in zip(rows, truth.keypoints, truth.visible, strict=True):
        found = (row["scores"] >= 0.3) & seen & np.isfinite(where).all(-1)
        error = np.linalg.norm(row["keypoints"].reshape(10, 133, 2) - where, axis=-1)[found]
        assert found.mean() > 0.5 and np.median(error) < 1 and np.percentile(error, 95) < 3

    with pytest.raises(WrongFootage, match="real footage"):
        list(worker.process(Unit("v/0+10", {"clips": [clip], "videos": [{**video, "footage": None}]})))


def test_precision_is_told_by_the_identity_of_nets_alone() -> None:
    whole, half = Annotate(), Annotate(precision="fp16")
    assert "precision" not in half.result_settings() and whole.result_settings() == half.result_settings()
    assert (whole.net_precision(), half.net_precision()) == ("fp32", "fp16")
    with pytest.raises(ValidationError, match="rtmlib takes pose nets as they were released"):
        Annotate(precision="fp16", backend="rtmlib")
