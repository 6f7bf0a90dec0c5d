"""Lip-sync of clips, on puppets that are seen and heard by nets of their own: offsets, repair, voice-over, two people, no sound."""

from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import cut, read_wave
from pipeline.media.video import GridReader, write_video
from pipeline.metrics.sync import sync
from pipeline.nets.footage import WrongFootage
from pipeline.nets.session import open_session
from pipeline.nets.syncnet import SyncNet
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.theatre import voice
from pipeline.theatre.film import Film, render_take
from pipeline.theatre.lipnet import build_lip_net
from pipeline.theatre.programme import take_named
from stages.export import Export
from stages.export.worker import ExportWorker
from stages.lip_sync import LipSync
from tests.stages.stage_assets import AssetModels

SCALE = 0.5  # of the puppets' pictures: 640 x 360
SECONDS = 6.0
FIRST, FRAMES = 15, 130  # a clip within the video, so that there is sound to move in from both sides
SAID: dict[Path, dict[tuple[Any, ...], np.ndarray]] = {}  # by the folder of the net
MEASURED = ("lip_offset_frames", "lip_confidence", "lip_distance", "lip_frames", "lip_offset_left_frames")


@cache
def played(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (F, h, w, 3) RGB, keypoints (P, F, 133, 2) and visibility (P, F, 133) of a take."""
    pictures, truth = render_take(take_named(name), SECONDS, SCALE)
    return pictures, truth.keypoints, truth.visible


@cache
def spoken(name: str) -> np.ndarray:
    """The wave of a take at 16 kHz; no picture is drawn for it."""
    sound = Film(take_named(name), seconds=SECONDS).sound
    assert sound is not None
    return soxr.resample(sound, voice.RATE, 16_000).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    build_lip_net(folder / "net.onnx")
    return folder


@pytest.fixture(autouse=True)
def remembered(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the net said of the same pictures in the same batches is not asked again: the tests differ in sound and settings."""
    ask = SyncNet._run

    def run_once(self: SyncNet, output: str, lips: np.ndarray, mfcc: np.ndarray) -> np.ndarray:
        key = output, lips.shape, mfcc.shape, blake2b(lips.tobytes()).digest(), blake2b(mfcc.tobytes()).digest()
        if key not in said:
            said[key] = ask(self, output, lips, mfcc)
        return said[key].copy()

    said = SAID.setdefault(run, {})
    monkeypatch.setattr(SyncNet, "_run", run_once)


def film(run: Path, name: str, shift: int = 0, sound: str = "", cut_at: float = 1.0) -> dict[str, Any]:
    """A row of `videos`: a take whose sound comes `shift` frames later than it should, or another take's sound."""
    pictures, _, _ = played(name)
    wave = cut(spoken(sound or name), -shift, len(pictures))
    path = run / f"{name}{shift:+d}{sound}{cut_at}.mp4"
    if not path.exists():
        size = pictures.shape[2], pictures.shape[1]
        write_video(path, iter(pictures), wave, size=size, options={"preset": "veryfast"})
        if cut_at < 1:
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * cut_at)])
    return {"path": path.name, "sha256": "", "audio_codec": "aac", "footage": "theatre"}


def people(name: str) -> list[dict[str, Any]]:
    _, points, visible = played(name)
    span = slice(FIRST, FIRST + FRAMES)
    return [
        {
            "person_id": f"v/{FIRST}+{FRAMES}#{k}",
            "clip_id": f"v/{FIRST}+{FRAMES}",
            "video_id": "v",
            "frames": FRAMES,
            "keypoints": own[span].reshape(FRAMES, -1).astype(np.float32),
            "scores": np.where(seen[span], 0.9, 0.0).astype(np.float32),
        }
        for k, (own, seen) in enumerate(zip(points, visible, strict=True))
    ]


def measured(run: Path, video: dict[str, Any], persons: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    stage = LipSync(net=("theatre_syncnet",), **settings)
    models = AssetModels(theatre_syncnet=run / "net.onnx")
    worker = stage.worker(Context(run=run, models=models, threads=2))  # type: ignore[arg-type]
    clip = {"first_frame": FIRST, "frames": FRAMES}
    rows = list(worker.process(Unit("c", {"persons": persons, "clips": [clip], "videos": [video]})))
    assert pack_rows(KINDS["lip_syncs"], "c", rows).num_rows == len(persons)
    return rows


def test_a_good_take(run: Path) -> None:
    [row] = measured(run, film(run, "talk-1"), people("talk-1"))
    assert row["lip_offset_frames"] == 0 and row["lip_confidence"] > 5 and row["best_lips"]
    assert row["lip_offset_left_frames"] == 0 and row["sound_shift_frames"] is None
    assert row["lip_frames"] == FRAMES - 5


def test_the_metric_of_arrays_says_the_same(run: Path) -> None:
    """Sync-C and Sync-D of `pipeline.metrics.sync` are the confidence and the distance that are stored, exactly."""
    video, [person] = film(run, "talk-1", 4), people("talk-1")
    [row] = measured(run, video, [person], batch=16)
    with GridReader(run / video["path"], FIRST, FRAMES) as reader:
        pictures = [frame.pixels for frame in reader]
    wave = read_wave(run / video["path"])
    assert wave is not None
    net = SyncNet(open_session(run / "net.onnx", threads=2), batch=16)
    found = sync(net, pictures, person["keypoints"].reshape(FRAMES, 133, 2), person["scores"], cut(wave, FIRST, FRAMES))
    assert found is not None and found.offset == row["lip_offset_frames"] == -4
    assert (found.confidence, found.distance) == (row["lip_confidence"], row["lip_distance"])


@pytest.mark.parametrize("shift", [-12, -7, -1, 1, 4, 12])
def test_offsets_move_by_what_the_sound_was_moved_and_repair_brings_them_to_nothing(run: Path, shift: int) -> None:
    video = film(run, "talk-1", shift)
    [row] = measured(run, video, people("talk-1"))
    assert row["lip_offset_frames"] == -shift  # late sound: a negative offset
    assert row["lip_offset_left_frames"] == abs(shift) and row["sound_shift_frames"] is None
    [mended] = measured(run, video, people("talk-1"), repair_offset=True)
    assert mended["lip_offset_frames"] == -shift and mended["sound_shift_frames"] == -shift
    assert mended["lip_offset_left_frames"] == 0


def test_what_was_mended_is_exported_so(run: Path) -> None:
    video = film(run, "talk-1", 7)
    clip = {"first_frame": FIRST, "frames": FRAMES}
    worker = ExportWorker(Export(), Context(run))

    def sound(*rows: dict[str, Any]) -> np.ndarray:
        wave = worker.sound(Unit("p", {"clips": [clip], "videos": [video], "lip_syncs": list(rows)}))
        assert wave is not None
        return wave

    right = cut(spoken("talk-1"), FIRST, FRAMES)
    mended, untouched = sound({"sound_shift_frames": -7}), sound({"sound_shift_frames": None})
    assert np.array_equal(untouched, sound())
    assert np.corrcoef(mended, right)[0, 1] > 0.98 > 0.5 > abs(np.corrcoef(untouched, right)[0, 1])


def test_a_moving_mouth_with_another_voice_fits_nowhere(run: Path) -> None:
    [row] = measured(run, film(run, "talk-1", 0, "talk-2"), people("talk-1"), repair_offset=True)
    assert row["lip_confidence"] < 2.7 and row["sound_shift_frames"] is None


@pytest.mark.slow
def test_of_two_people_the_one_who_speaks(run: Path) -> None:
    """In the first four seconds of `duo` the left one has the word."""
    rows = measured(run, film(run, "duo"), people("duo"))
    assert [row["best_lips"] for row in rows] == [True, False]
    assert rows[0]["lip_confidence"] > rows[1]["lip_confidence"] + 1


def test_a_face_that_is_gone_for_a_while_counts_where_it_is(run: Path) -> None:
    [person] = people("talk-1")
    person["scores"][40:70] = 0
    [row] = measured(run, film(run, "talk-1"), [person])
    assert row["lip_offset_frames"] == 0 and row["lip_frames"] == FRAMES - 5 - 34  # every window that touches the gap


def test_nobody_to_look_at(run: Path) -> None:
    hidden = people("talk-1")[0]
    hidden["scores"][20:] = 0
    [row] = measured(run, film(run, "talk-1"), [hidden])
    assert all(row.get(name) is None for name in (*MEASURED, "best_lips"))
    both = measured(run, film(run, "talk-1"), [*people("talk-1"), {**hidden, "person_id": "v/x#1"}])
    assert [row["best_lips"] for row in both] == [True, False] and both[1].get("lip_confidence") is None
    [small] = measured(run, film(run, "talk-1"), people("talk-1"), min_face_px=500)
    assert small.get("lip_confidence") is None


def test_without_sound(run: Path) -> None:
    [row] = measured(run, {**film(run, "talk-1"), "audio_codec": None}, people("talk-1"))
    assert all(row.get(name) is None for name in (*MEASURED, "best_lips"))


@pytest.mark.slow
def test_batches_are_no_results(run: Path) -> None:
    one, other = (measured(run, film(run, "duo"), people("duo"), batch=batch) for batch in (1, 64))
    for a, b in zip(one, other, strict=True):
        assert a["lip_offset_frames"] == b["lip_offset_frames"]
        assert a["lip_confidence"] == pytest.approx(b["lip_confidence"], abs=1e-4)


def test_a_film_that_ends_early(run: Path) -> None:
    pictures = played("talk-1")[0]
    short = run / "short.mp4"
    write_video(short, iter(pictures[: FIRST + 90]), spoken("talk-1")[: (FIRST + 90) * 640], size=(640, 360))
    [row] = measured(run, {**film(run, "talk-1"), "path": short.name}, people("talk-1"))
    assert row["lip_frames"] == 85 and row["lip_offset_frames"] == 0


def test_its_nets_see_puppets_alone(run: Path) -> None:
    with pytest.raises(WrongFootage, match=r"lip_sync\.net"):
        measured(run, {**film(run, "talk-1"), "footage": None}, people("talk-1"))
