"""What a video is worth, on videos whose worth is known: the truth itself, and the truth shifted, resized, cut and revoiced."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.base.reasons import Failure, Reject
from pipeline.engine.runner import Options, run_stage
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_video
from pipeline.registry.models import Registry
from pipeline.skeleton import layout
from stages.evaluate.cast import Subject
from stages.evaluate.scores import Scores
from stages.evaluate.scores.film import cut
from stages.evaluate.scores.names import NO_FACE, NO_SKELETON, NO_SOUND
from stages.evaluate.scores.skeletons import scores_of
from stages.evaluate.subjects import Subjects
from stages.lip_sync import LipSync
from tests.stages.evaluate.studio import FRAMES, SIDE, played, row_of, subject, write_film, write_shards
from tests.stages.stage_assets import AssetModels

WHOLE = (0, 0, SIDE, SIDE)
SHORT = 10  # frames: SSIM is slow
THEATRE = {"identity": ("theatre_identity",), "syncnet": ("theatre_syncnet",)}

Score = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def cast(filmed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table `subjects` of those films, and of one without sound."""
    rows = [row_of(filmed, number, who) for number, who in enumerate(("ada", "ben", "cai"))]
    shards = tmp_path_factory.mktemp("more") / "shards"
    write_shards(shards.parent, [*rows, row_of(filmed, 3, "ada", audio=None)])
    place = tmp_path_factory.mktemp("place")
    stage = Subjects(source=str(shards), base=str(filmed))
    assert run_stage(stage, place, Registry(cache=place / "nets"), Options(workers=0)).counts == {"ok": 4}
    return place


@pytest.fixture
def score(cast: Path, filmed: Path, nets: Path) -> Score:
    def of(
        film: Path,
        setting: str = "paired",
        reference: int = 0,
        voice: int | None = None,
        frames: int = FRAMES,
        box: tuple[int, ...] = WHOLE,
        skeleton: str = "",
        more: dict[str, Path] | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        here = {name: nets / f"{name}.onnx" for name in ("theatre_detector", "theatre_pose")}
        chosen = {**THEATRE, **{name: (name,) for name in more or {}}}
        paths = {names[0]: nets / f"{names[0]}.onnx" for names in THEATRE.values()} | here | (more or {})
        lacking = {name: f"no {name} here" for name in ("inception", "i3d") if name not in chosen}
        known = {"nets": dict.fromkeys(chosen, "0"), "choices": chosen, "lacking": lacking}
        stage = Scores(**{**known, "cast": str(cast), "films": str(filmed), **settings})
        worker = stage.worker(Context(filmed, models=AssetModels(**paths)))  # type: ignore[arg-type]
        row: dict[str, Any] = {"film": str(film), "frames": frames, "box": list(box), "keypoints": None, "scores": None}
        if skeleton:
            scene = played(skeleton)
            row |= {"keypoints": scene.keypoints[:frames].reshape(frames, -1), "scores": scene.scores[:frames]}
        names = {"reference": subject(reference), "voice": subject(reference if voice is None else voice)}
        [found] = worker.process(Unit("pair", {"renditions": [row], "pairs": [{"setting": setting, **names}]}))
        return {**found, "absent": json.loads(found["absent"])}

    return of


# Pictures


def test_the_truth_is_like_itself(score: Score, filmed: Path) -> None:
    found = score(filmed / "clips/0.mp4", frames=SHORT)
    assert found["ssim"] == 1 and found["psnr_db"] == np.inf and found["compared_frames"] == SHORT
    assert found["absent"] == dict.fromkeys(
        ("keypoint_error_px", "mouth_error_px", "hand_error_px", "jitter_px_s3", "beat_alignment", "mouth_correlation"),
        NO_SKELETON,
    )


def test_the_truth_encoded_again_and_somebody_else(score: Score, filmed: Path, tmp_path: Path) -> None:
    again = score(write_film(tmp_path / "again.mp4", played("ada").pictures), frames=SHORT)
    other = score(filmed / "clips/1.mp4", frames=SHORT)
    assert again["ssim"] > 0.98 and again["psnr_db"] > 40
    assert other["ssim"] < again["ssim"] and other["psnr_db"] < 25


@pytest.mark.usefixtures("quick")
def test_later_is_worse_and_much_later_no_better(score: Score, tmp_path: Path) -> None:
    pictures = played("ada").pictures
    worth = []
    for late in (0, 2, 8):
        film = write_film(tmp_path / f"{late}.mp4", np.concatenate([pictures[:1].repeat(late, 0), pictures])[:FRAMES])
        worth.append(score(film)["psnr_db"])
    assert worth[0] > worth[1] + 5 and worth[0] > worth[2] + 5


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fps", [Fraction(50), Fraction(30000, 1001), Fraction(25)])
@pytest.mark.parametrize("side", [256, 1024])
def test_another_rate_and_size_are_compared_on_the_grid(fps: Fraction, side: int, score: Score, tmp_path: Path) -> None:
    """Each picture of the grid shows what the truth shows then; resizing alone costs some decibels."""
    pictures = played("ada").pictures
    times = [int(np.floor(n / fps * 25 + 1e-9)) for n in range(int(FRAMES * fps / 25))]
    sized = [cv2.resize(pictures[n], (side, side), interpolation=cv2.INTER_AREA) for n in times]
    write_video(tmp_path / "film.mp4", iter(sized), None, size=(side, side), fps=fps, options={"crf": 10})
    found = score(tmp_path / "film.mp4")
    assert found["psnr_db"] > 25 and found["compared_frames"] == FRAMES
    if fps != 25:
        late = score(write_film(tmp_path / "late.mp4", sized[3:]), frames=FRAMES - 3)
        assert late["psnr_db"] < found["psnr_db"] - 0.5


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("box", [(100, 60, 400, 360), (-64, 0, 448, 512), (128, -20, 640, 532), (0, 100, 512, 356)])
def test_a_cut_film_is_compared_with_the_same_cut_of_the_truth(
    box: tuple[int, int, int, int], score: Score, tmp_path: Path
) -> None:
    size = (256, 2 * round(128 * (box[3] - box[1]) / (box[2] - box[0])))
    shown = [cv2.resize(cut(picture, box), size, interpolation=cv2.INTER_AREA) for picture in played("ada").pictures]
    film = write_film(tmp_path / "cut.mp4", shown)
    right, wrong = score(film, box=box)["psnr_db"], score(film)["psnr_db"]
    assert right > 26 and right > wrong + 6


def test_outside_a_picture_it_is_black() -> None:
    picture = np.full((4, 4, 3), 9, np.uint8)
    assert cut(picture, (0, 0, 4, 4)) is picture
    around = cut(picture, (-1, -2, 5, 6))
    assert around.shape == (8, 6, 3) and around.sum() == picture.sum() and (around[2:6, 1:5] == 9).all()
    assert not cut(picture, (10, 10, 12, 12)).any() and not cut(picture, (-9, -9, -5, -5)).any()


@pytest.mark.usefixtures("quick")
def test_a_short_film_is_compared_as_far_as_it_goes_and_a_long_one_as_far_as_the_truth(
    score: Score, filmed: Path, tmp_path: Path
) -> None:
    assert score(filmed / "clips/0.mp4", frames=5)["compared_frames"] == 5
    pictures = played("ada").pictures
    long = write_film(tmp_path / "long.mp4", np.concatenate([pictures, pictures[::-1]]))
    assert score(long, frames=2 * FRAMES)["compared_frames"] == FRAMES


def test_films_that_are_none(score: Score, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="not there any more"):
        score(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(Reject):
        score(tmp_path / "text.mp4")


# Faces and lips


def stored(run: Path, nets: Path, number: int, who: str) -> dict[str, Any]:
    """What the stage `lip_sync` stores of that clip."""
    scene = played(who)
    ids = {"person_id": "v#0", "clip_id": "v", "video_id": "v", "frames": FRAMES}
    person = {**ids, "keypoints": scene.keypoints.reshape(FRAMES, -1), "scores": scene.scores}
    video = {"path": f"clips/{number}.mp4", "sha256": "", "audio_codec": "aac", "footage": "theatre"}
    stage = LipSync(net=("theatre_syncnet",))
    worker = stage.worker(Context(run, models=AssetModels(theatre_syncnet=nets / "theatre_syncnet.onnx")))  # type: ignore[arg-type]
    rows = {"persons": [person], "clips": [{"first_frame": 0, "frames": FRAMES}], "videos": [video]}
    [row] = worker.process(Unit("v", rows))
    return row


def test_sync_is_what_lip_sync_stores_and_a_face_is_its_own(score: Score, filmed: Path, nets: Path) -> None:
    found = score(filmed / "clips/1.mp4", "real", 1, skeleton="ben")
    row = stored(filmed, nets, 1, "ben")
    assert found["sync_c"] == pytest.approx(row["lip_confidence"], abs=0.1)
    assert found["sync_d"] == pytest.approx(row["lip_distance"], abs=0.1)
    assert found["csim"] > 0.97 and found["csim_frames"] == FRAMES
    assert "ssim" not in found


def test_unpaired_faces_are_the_references_and_lips_the_voices(score: Score, filmed: Path) -> None:
    """A film of the voice's own speaker has the wrong face and fitting lips; one of the reference the other way round."""
    fits = score(filmed / "clips/1.mp4", "unpaired", 0, 1, skeleton="ben")
    looks = score(filmed / "clips/0.mp4", "unpaired", 0, 1, skeleton="ada")
    assert looks["csim"] > 0.97 > fits["csim"] + 0.1
    best = score(filmed / "clips/1.mp4", "real", 1, skeleton="ben")
    assert (fits["sync_c"], fits["sync_d"]) == (best["sync_c"], best["sync_d"]) and fits["sync_c"] > looks["sync_c"]


def test_a_pose_net_finds_the_face_where_no_skeleton_is_known(score: Score, filmed: Path) -> None:
    nets = {"detector": ("theatre_detector",), "pose": ("theatre_pose",)}
    known = score(filmed / "clips/1.mp4", "unpaired", 1, skeleton="ben")
    found = score(filmed / "clips/1.mp4", "unpaired", 1, annotate=True, footage="theatre", **nets)
    assert found["csim"] == pytest.approx(known["csim"], abs=0.05)
    assert found["sync_d"] == pytest.approx(known["sync_d"], abs=1.0)


def test_a_smaller_cut_film_has_the_same_face(score: Score, tmp_path: Path) -> None:
    """The skeleton is known in pixels of the reference; it is brought to those of the film."""
    box = (96, 0, 416, 320)
    pictures = [cv2.resize(cut(picture, box), (448, 448)) for picture in played("ada").pictures]
    found = score(write_film(tmp_path / "cut.mp4", pictures), "unpaired", 0, box=box, skeleton="ada")
    assert found["csim"] > 0.95 and found["csim_frames"] == FRAMES


def test_what_cannot_be_measured_says_why(score: Score, filmed: Path, tmp_path: Path) -> None:
    nobody = write_film(tmp_path / "nobody.mp4", np.full((20, SIDE, SIDE, 3), 120, np.uint8))
    nets = {"detector": ("theatre_detector",), "pose": ("theatre_pose",)}
    empty = score(nobody, "unpaired", frames=20, annotate=True, footage="theatre", **nets)["absent"]
    assert {empty[name] for name in ("csim", "sync_c", "sync_d")} == {"nobody is found in the video"}
    assert (empty["fid"], empty["fvd"]) == ("no inception here", "no i3d here")
    drawn = score(filmed / "clips/0.mp4", "unpaired", drawn=True, skeleton="ada")["absent"]
    assert {drawn[name] for name in ("csim", "sync_c", "sync_d")} == {NO_FACE}
    silent = score(filmed / "clips/0.mp4", "unpaired", 0, 3, skeleton="ada")
    assert {silent["absent"][name] for name in ("sync_c", "sync_d", "beat_alignment", "mouth_correlation")} == {
        NO_SOUND
    }
    assert silent["csim"] > 0.9
    brief = score(filmed / "clips/0.mp4", "unpaired", 0, frames=4, skeleton="ada")["absent"]
    assert "as long as SyncNet needs" in brief["sync_c"]
    lacking = {"identity": "a", "syncnet": "b", "inception": "c", "i3d": "d"}
    bare = score(filmed / "clips/0.mp4", "unpaired", skeleton="ada", nets={}, lacking=lacking)
    assert {bare["absent"][name] for name in ("csim", "sync_c", "sync_d", "fid", "fvd")} == {*"abcd"}


# Skeletons and features


@pytest.mark.usefixtures("quick")
def test_the_true_skeleton_has_no_error(score: Score, filmed: Path) -> None:
    found = score(filmed / "clips/0.mp4", skeleton="ada")
    assert found["keypoint_error_px"] < 0.02 and found["hand_error_px"] < 0.02 and found["jitter_px_s3"] > 0
    other = score(filmed / "clips/1.mp4", skeleton="ben")
    assert other["keypoint_error_px"] > 5


@pytest.mark.parametrize(("root", "measure"), [(layout.LEFT_WRIST, "hand_error_px"), (layout.NOSE, "mouth_error_px")])
def test_a_root_that_one_of_the_two_lacks_is_no_error_of_what_hangs_on_it(root: int, measure: str) -> None:
    """Hands from the wrist on one side and from the neck on the other would be an arm's length apart."""
    scene = played("ada")
    hidden = scene.scores.copy()
    hidden[5:15, root] = 0.1
    truth = Subject("ada", "ada", Path("a.mp4"), len(hidden), SIDE, scene.keypoints, hidden, None, 0)
    found = scores_of((scene.keypoints, scene.scores), truth, truth, {})
    assert found["keypoint_error_px"] == 0 and found[measure] == 0


def test_features_a_frame_and_a_span(score: Score, filmed: Path, tmp_path: Path) -> None:
    feature_nets = pytest.importorskip("tests.pipeline.metrics.feature_nets", reason="needs torch")
    more = {
        "inception": feature_nets.as_onnx(tmp_path / "inception.onnx", ("N", 3, 299, 299), 2048),
        "i3d": feature_nets.as_onnx(tmp_path / "i3d.onnx", ("N", 3, "T", 224, 224), 400),
    }
    found = score(filmed / "clips/0.mp4", "unpaired", more=more, skeleton="ada")
    assert found["fid_features"].shape == (FRAMES, 2048) and found["fvd_features"].shape == (FRAMES // 16, 400)
    assert np.ptp(found["fid_features"], axis=0).max() > 0, "frames differ"
    assert not set(found["absent"]) & {"fid", "fvd"}
    brief = score(filmed / "clips/0.mp4", "unpaired", frames=12, more=more, skeleton="ada")
    assert brief["absent"]["fvd"] == "the video has fewer than 16 frames"
