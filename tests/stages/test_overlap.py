"""Overlapped speech of clips, on planted sound: a net by code whose answers are known, and the whole stage around it."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soxr

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_video
from pipeline.nets.footage import WrongFootage
from pipeline.nets.sound.segmentation import SegmentationNet
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from pipeline.theatre.pilot import tone
from pipeline.theatre.segnet import build_segmentation_net
from pipeline.theatre.voice import RATE
from stages.overlap import Overlap
from stages.overlap.worker import OverlapWorker, open_listener
from tests.stages.stage_assets import AssetModels

SECONDS = 24
TOLD = {0: [(1.0, 6.0), (12.0, 16.0)], 3: [(4.0, 8.0), (15.0, 20.0)], 6: [(22.0, 24.0)]}  # pilot -> spans of speech
BOTH = [(4.0, 6.0), (15.0, 16.0)]
MEASURES = ("overlap_seconds", "overlap_share", "longest_overlap_seconds", "voices", "voiced_share")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a video of the planted sound, one without sound, and the theatre's net."""
    folder = tmp_path_factory.mktemp("run")
    length = SECONDS * RATE
    wave = soxr.resample(sum(tone(k, spans, length) for k, spans in TOLD.items()), RATE, 16_000)
    pictures = [np.zeros((32, 32, 3), np.uint8)] * (25 * SECONDS)
    write_video(folder / "a.mp4", iter(pictures), wave.astype(np.float32), size=(32, 32))
    write_video(folder / "mute.mp4", iter(pictures[:25]), None, size=(32, 32))
    build_segmentation_net(folder / "net.onnx")
    return folder


def context(run: Path) -> Context:
    return Context(run=run, models=AssetModels(theatre_segmentation=run / "net.onnx"))  # type: ignore[arg-type]


def stage(**settings: Any) -> Overlap:
    return Overlap(net=("theatre_segmentation",), **settings)


def ready(run: Path, **settings: Any) -> OverlapWorker:
    return stage(**settings).worker(context(run))


def unit(
    *clips: tuple[int, int], path: str = "a.mp4", codec: str | None = "aac", footage: str | None = "theatre"
) -> Unit:
    rows = [{"clip_id": f"v/{a}+{n}", "video_id": "v", "first_frame": a, "frames": n} for a, n in clips]
    video = {"path": path, "sha256": "", "audio_codec": codec, "footage": footage}
    return Unit("v", {"clips": rows, "videos": [video]})


def planted(start: float, end: float) -> float:
    return sum(max(0.0, min(b, end) - max(a, start)) for a, b in BOTH)


CLIPS = ((0, 250), (125, 125), (250, 125), (375, 225), (500, 125))  # the last one reaches past the end of the sound


def test_clips_get_what_was_planted_in_them(run: Path) -> None:
    rows = list(ready(run).process(unit(*CLIPS)))
    assert [row["clip_id"] for row in rows] == [f"v/{a}+{n}" for a, n in CLIPS]
    for row, (first, frames) in zip(rows, CLIPS, strict=True):
        assert set(row) == {"clip_id", "video_id", *MEASURES, "voice_scores"} <= set(KINDS["overlaps"].schema.names)
        seconds = planted(first / 25, (first + frames) / 25)
        assert row["overlap_seconds"] == pytest.approx(seconds, abs=0.05)
        assert row["overlap_share"] == pytest.approx(row["overlap_seconds"] * 25 / frames)
        assert row["longest_overlap_seconds"] == pytest.approx(seconds, abs=0.05)  # no clip holds both overlaps
        assert row["voice_scores"] is None
    assert [row["voices"] for row in rows] == [2, 2, 1, 3, 1]
    assert rows[0]["voiced_share"] == pytest.approx(0.7, abs=0.01)
    assert rows[4]["voiced_share"] == pytest.approx(0.4, abs=0.02)  # two of five seconds: the last one is not there


def test_clips_that_meet_add_up_to_the_whole(run: Path) -> None:
    worker = ready(run, keep_scores=True)
    cuts = [0, 113, 137, 388, 391, 600]  # some within overlaps
    [whole] = worker.process(unit((0, 600)))
    clips = [(a, b - a) for a, b in pairwise(cuts)]
    parts = list(worker.process(unit(*clips)))
    assert sum(part["overlap_seconds"] for part in parts) == pytest.approx(whole["overlap_seconds"])
    voiced = sum(part["voiced_share"] * frames for part, (_, frames) in zip(parts, clips, strict=True))
    assert voiced / 600 == pytest.approx(whole["voiced_share"])
    np.testing.assert_array_equal(np.concatenate([part["voice_scores"] for part in parts]), whole["voice_scores"])
    assert whole["longest_overlap_seconds"] == pytest.approx(2.0, abs=0.05) and whole["voices"] == 3


def test_scores_are_kept_on_request_and_fit_the_table(run: Path) -> None:
    rows = list(ready(run, keep_scores=True).process(unit((100, 50))))
    scores = rows[0]["voice_scores"]
    assert scores.dtype == np.float32 and scores.shape[1] == 2 and abs(len(scores) - 2 * 16_000 / 270) <= 1
    assert (scores > 0.5).all()
    pack_rows(KINDS["overlaps"], "v", rows)


def test_the_net_runs_once_a_video_over_all_its_sound(run: Path) -> None:
    lengths: list[int] = []
    listener, footage = open_listener(stage(), context(run))
    counting: Any = SimpleNamespace(hear=lambda wave: lengths.append(len(wave)) or listener.hear(wave))
    worker = OverlapWorker(stage(), context(run), counting, footage)
    assert len(list(worker.process(unit(*CLIPS)))) == len(CLIPS)
    assert lengths == [SECONDS * 16_000]


def test_without_sound_there_are_rows_and_no_run_of_the_net(run: Path) -> None:
    deaf: Any = SimpleNamespace(hear=lambda wave: pytest.fail("there is nothing to hear"))
    worker = OverlapWorker(stage(), context(run), deaf, {})
    for codec in (None, "aac"):  # said to have none, or said to have one that does not decode
        rows = list(worker.process(unit((0, 10), (5, 20), path="mute.mp4", codec=codec)))
        assert rows == [{"clip_id": f"v/{a}+{n}", "video_id": "v"} for a, n in ((0, 10), (5, 20))]
        pack_rows(KINDS["overlaps"], "v", rows)


def test_the_thresholds_of_spans(run: Path) -> None:
    [plain] = ready(run).process(unit((0, 600)))
    [fewer] = ready(run, min_overlap_seconds=1.5).process(unit((0, 600)))
    assert fewer["overlap_seconds"] == pytest.approx(2.0, abs=0.05)
    assert plain["overlap_seconds"] == pytest.approx(3.0, abs=0.05)
    [closed] = ready(run, min_gap_seconds=3.0).process(unit((0, 600)))
    assert closed["voiced_share"] == pytest.approx((7 + 12) / 24, abs=0.01)
    [none] = ready(run, onset=0.999, offset=0.999, soft=True).process(unit((0, 600)))
    assert none["overlap_seconds"] == 0
    [brief] = ready(run, min_voice_seconds=2.5).process(unit((0, 600)))
    assert brief["voices"] == 2


def test_the_theatres_net_refuses_other_footage(run: Path) -> None:
    worker = ready(run)
    with pytest.raises(WrongFootage, match="theatre_segmentation works on theatre footage only, and this is real"):
        list(worker.process(unit((0, 100), footage=None)))


def test_only_videos_that_the_gate_lets_through(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for video, yaw in (("file:a", 10.0), ("file:b", 170.0)):
        ids = {"person_id": f"{video}/0+250#0", "clip_id": f"{video}/0+250", "video_id": video}
        for kind, unit_id, row in (
            ("videos", video, {"video_id": video, "source": video}),
            ("clips", video, {"clip_id": ids["clip_id"], "video_id": video, "frames": 250}),
            ("persons", ids["clip_id"], {**ids, "person": 0, "frames": 250}),
            ("pose_measures", ids["clip_id"], {**ids, "yaw_degrees": yaw}),
            ("sound_measures", ids["clip_id"], {"clip_id": ids["clip_id"], "video_id": video}),
        ):
            packed = pack_rows(KINDS[kind], unit_id, [row])
            store.table(kind).append([packed], [Outcome(unit_id, kind, 0, "ok", rows=1)])
    assert Overlap().choose(store, ["file:b", "file:a"]) == ["file:a"]
    assert Overlap(gate=()).choose(store, ["file:b", "file:a"]) == ["file:b", "file:a"]
    assert "gate" not in Overlap().result_settings() and "batch" not in Overlap().result_settings()


def test_each_backend_has_its_own_net(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Overlap().model_names() == (("segmentation",),)
    assert Overlap(backend="pyannote").model_names() == (("segmentation_checkpoint",),)
    made: list[tuple] = []
    monkeypatch.setattr("stages.overlap.worker.PyannoteSegmentation", lambda *a, **k: made.append((a, k)))
    by_pyannote = Overlap(backend="pyannote", step_seconds=2, soft=True, batch=4)
    by_pyannote.worker(Context(run=run, models=AssetModels(segmentation_checkpoint=run / "c.bin")))  # type: ignore[arg-type]
    assert made == [((run / "c.bin", "cpu", 4, 2.0), {"soft": True, "threads": 1})]


def test_settings_reach_the_net(run: Path) -> None:
    assert open_listener(stage(), context(run))[0]._batch == 8  # type: ignore[attr-defined]
    listener, _ = open_listener(stage(step_seconds=2.5, batch=7, soft=True), context(run))
    assert isinstance(listener, SegmentationNet)
    assert (listener.step, listener._batch, listener._soft) == (40_000, 7, True)
