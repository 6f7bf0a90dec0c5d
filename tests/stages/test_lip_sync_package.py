"""`lip_sync` by syncnet-python, on a film of two faces, beside our own form of the same random weights."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_video
from pipeline.nets.syncnet import to_onnx
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from stages.lip_sync import LipSync
from tests.pipeline.nets.face.planted_face import face
from tests.pipeline.nets.planted_s3fd import BOX, SIDE, write_s3fd
from tests.pipeline.nets.syncnets import moving_crops, noisy_wave, reference
from tests.stages.stage_assets import AssetModels

FIRST, FRAMES = 3, 52  # a clip within the video; the whole pipeline asks for more than fifty pictures of a face
SHORT = 20  # frames, where nothing asks for more
SAME = 1e-3
MEASURES = (
    "lip_offset_frames",
    "lip_confidence",
    "lip_distance",
    "lip_frames",
    "lip_offset_left_frames",
    "sound_shift_frames",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flickering film with sound, and random weights in both forms; skips where syncnet-python is not installed."""
    state = reference().state_dict()
    import torch

    folder = tmp_path_factory.mktemp("run")
    torch.save(state, folder / "syncnet_v2.model")
    (folder / "syncnet.onnx").write_bytes(to_onnx({name: value.numpy() for name, value in state.items()}))
    write_s3fd(folder / "s3fd.pth")
    frames = FIRST + FRAMES + 5
    still = cv2.resize(moving_crops(1)[0], (SIDE, SIDE)).astype(float)
    bright = np.random.default_rng(6).uniform(0.7, 1.0, frames)
    pictures = (np.asarray(still * level, np.uint8) for level in bright)
    write_video(folder / "film.mp4", pictures, noisy_wave(frames), size=(SIDE, SIDE))
    return folder


def person(number: int, x: float, y: float, size: float, frames: int) -> dict[str, Any]:
    points = np.tile(face(x, y, size).astype(np.float32).reshape(-1), (frames, 1))
    ids = {"person_id": f"v/0+9#{number}", "clip_id": "v/0+9", "video_id": "v"}
    return {**ids, "frames": frames, "keypoints": points, "scores": np.full((frames, 133), 0.9, np.float32)}


def people(frames: int) -> list[dict[str, Any]]:
    """One where the planted S3FD sees a face, and a small one below it."""
    x, y = (BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2
    return [person(0, x, y + 10, 1.5, frames), person(1, 210, 220, 0.4, frames)]


def measured(run: Path, persons: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    stage = LipSync(**settings)
    models = AssetModels({"syncnet": run / "syncnet_v2.model"}, syncnet=run / "syncnet.onnx", s3fd=run / "s3fd.pth")
    worker = stage.worker(Context(run=run, models=models, threads=1))  # type: ignore[arg-type]
    video = {"path": "film.mp4", "sha256": "", "audio_codec": "aac", "footage": None}
    clip = {"first_frame": FIRST, "frames": persons[0]["frames"]}
    rows = list(worker.process(Unit("c", {"persons": persons, "clips": [clip], "videos": [video]})))
    assert pack_rows(KINDS["lip_syncs"], "c", rows).num_rows == len(persons)
    return rows


@pytest.mark.slow
def test_its_instance_on_our_crops_says_what_our_net_says(run: Path) -> None:
    persons = people(SHORT)
    persons[1]["scores"][7:9] = 0  # a face that is lost for a while
    settings = {"repair_offset": True, "repair_min_confidence": 0.0}  # so that the sound is moved where halves agree
    theirs, ours = (measured(run, persons, backend=backend, **settings) for backend in ("syncnet", "onnx"))
    assert [row["lip_frames"] for row in theirs] == [SHORT - 5, SHORT - 5 - 6]
    for one, other in zip(theirs, ours, strict=True):
        assert set(one) == set(other) >= {*MEASURES}
        assert one["best_lips"] == other["best_lips"]
        for name in MEASURES:
            assert one[name] == (other[name] if other[name] is None else pytest.approx(other[name], abs=SAME)), name


def test_nothing_of_the_clip_decodes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.lip_sync.crops.cut_faces", lambda *a: iter(()))
    [row, _] = measured(run, people(SHORT), backend="syncnet")
    assert row.get("lip_confidence") is None


@pytest.mark.slow
def test_the_whole_pipeline_measures_whom_it_sees(run: Path) -> None:
    seen, unseen = measured(run, people(FRAMES), backend="syncnet-pipeline")
    assert seen["lip_frames"] > 40 and seen["lip_distance"] > 0.1 and seen["lip_confidence"] >= 0
    assert seen["lip_offset_left_frames"] == abs(seen["lip_offset_frames"]) and seen["sound_shift_frames"] is None
    assert (seen["best_lips"], unseen["best_lips"]) == (True, False)
    assert all(unseen.get(name) is None for name in MEASURES)


def test_a_back_end_is_a_setting_that_counts_where_it_is_chosen() -> None:
    assert not {"backend", "face_detector"} & set(LipSync().result_settings())
    assert LipSync(backend="syncnet").result_settings() == {**LipSync().result_settings(), "backend": "syncnet"}
    whole = LipSync(backend="syncnet-pipeline")
    assert whole.result_settings()["face_detector"] == ["s3fd"]
    assert whole.model_names() == (("syncnet",), ("s3fd",)) and LipSync().model_names() == (("syncnet",),)
    with pytest.raises(ValueError, match="repair_offset needs onnx or syncnet"):
        LipSync(backend="syncnet-pipeline", repair_offset=True)


def test_nets_by_code_have_no_weights_for_it(run: Path, tmp_path: Path) -> None:
    models = AssetModels(theatre_syncnet=run / "syncnet.onnx")
    with pytest.raises(ValueError, match=r"syncnet\.onnx is not SyncNet v2"):
        LipSync(net=("theatre_syncnet",), backend="syncnet").worker(Context(run=tmp_path, models=models))  # type: ignore[arg-type]
