"""Results that move without a new version would be mixed with old ones in the same tables: these notice.

Each case computes a few numbers of a stage's results on known input. `golden.json` holds them by stage and version. When results
are meant to change, bump the stage's `version` and record: CSG405_RECORD_GOLDEN=1 pytest tests/stages/test_golden.py
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.lookup import stage_class
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import read_wave, to_flac
from pipeline.media.chromaprint import fingerprint
from pipeline.media.readers import READER_VERSION
from pipeline.media.shots.finder import ShotFinder, analysis_size
from pipeline.media.shots.motion_print import MotionPrint, series
from pipeline.media.shots.windows import WindowLimits, windows
from pipeline.media.video import GridReader, probe
from pipeline.nets.face.attributes import ages, consensus, fitted
from pipeline.nets.face.faces import Choice, aligned, candidates, upright
from pipeline.nets.pose.one_person import Looks, changes, colour_jumps, colours_of
from pipeline.nets.pose.simcc import decode_simcc
from pipeline.nets.sound.segmentation import SegmentationNet
from pipeline.skeleton import layout
from pipeline.skeleton.refine import refine
from stages.audio_features import AudioFeatures
from stages.judge import Judge
from stages.judge.worker import JudgeWorker
from stages.measure_pose import MeasurePose
from stages.measure_pose.worker import MeasurePoseWorker
from stages.overlap import Overlap
from stages.overlap.worker import VideoVoices, measures_of
from stages.speakers import Speakers
from stages.split import Split
from stages.twins import Twins
from tests.pipeline.nets.face.planted_face import face
from tests.pipeline.nets.fakes import FakeSession
from tests.stages.golden_films import FILMS
from tests.stages.planted_speaker import CLIP, F, points_of, speaker
from tests.stages.speakers.planted_identities import plant
from tests.stages.twins.gestures import gestures
from tests.stages.twins.gestures import rows as clips_of
from tests.stages.twins.talks import talk

GOLDEN = Path(__file__).with_name("golden.json")
RELATIVE, ABSOLUTE = 1e-3, 2e-3  # other processors round otherwise; a change of method moves more


def gesturing() -> dict:
    """A speaker whose every point moves in its own rhythm, with a lost hand for a while."""
    row = speaker()
    points = points_of(row)
    rng = np.random.default_rng(405)
    seconds = np.arange(F)[:, None] / 25
    phase, rhythm = rng.uniform(0, 6, layout.K), rng.uniform(0.3, 2.0, layout.K)
    points += (12 * np.sin(2 * np.pi * rhythm * seconds + phase))[..., None].astype(np.float32)
    row["scores"][40:50, layout.LEFT_HAND] = 0.1
    return row


def measured() -> list[dict]:
    return list(MeasurePoseWorker(MeasurePose()).process(Unit("v/0+100", {"persons": [gesturing()], "clips": [CLIP]})))


def case_measure_pose() -> list[float]:
    [row] = measured()
    return [float(value) for _, value in sorted(row.items()) if isinstance(value, int | float)]


def case_export() -> list[float]:
    row = gesturing()
    refined = refine(points_of(row), row["scores"], (400, 80, 880, 560))
    return np.nan_to_num(refined.keypoints[::25, ::12].astype(float), nan=-1).ravel().tolist()


def case_audio_features() -> list[float]:
    seconds = np.arange(5 * 16_000) / 16_000
    wave = (0.3 * np.sin(2 * np.pi * (200 + 300 * seconds) * seconds) * (np.sin(9 * seconds) > 0)).astype(np.float32)
    worker = AudioFeatures(features="logmel768").worker(Context(Path()))
    row = {"person_id": "v/0+125#0", "clip_id": "v/0+125", "video_id": "v", "frames": 125, "audio": to_flac(wave)}
    [features] = worker.process(Unit("v", {"samples": [row]}))
    return features["audio_features"][::25, ::96].astype(float).ravel().tolist()


def case_judge() -> list[float]:
    [row] = measured()
    changes = ({}, {"yaw_degrees": 80.0}, {"wrist_speed_p95": 0.0}, {"back_share": 0.9}, {"hand_seen_share": 0.1})
    kept = []
    for change in changes:
        ids = {name: row[name] for name in ("person_id", "clip_id", "video_id")}
        sound = {
            "clip_id": row["clip_id"],
            "video_id": "v",
            "has_audio": True,
            "speech_share": 0.8,
            "silence_share": 0.1,
        }
        unit = Unit("all", {"persons": [ids], "pose_measures": [{**row, **change}], "sound_measures": [sound]})
        [verdict] = JudgeWorker(Judge()).process(unit)
        kept += [float(verdict["keep"]), float(len(verdict["reasons"]))]
    return kept


def case_split() -> list[float]:
    rng = np.random.default_rng(7)
    scenes = rng.integers(0, 255, (3, 18, 32, 3), dtype=np.uint8)
    size = analysis_size(1280, 720)
    finder = ShotFinder(size)
    for frame in range(120):
        picture = np.kron(scenes[frame // 50], np.ones((size[1] // 18, size[0] // 32, 1), np.uint8))
        finder.feed(frame, np.ascontiguousarray(picture))
    footage = finder.finish()
    cuts = [float(value) for shot in footage.shots for value in shot]
    film = MotionPrint()
    for frame, picture in enumerate(gestures(1, 2)):
        film.see(frame, picture)
    moved = series(film.motion(0, 50, 0)).mean(0)
    scene = np.frombuffer(film.scene(0, 50), np.uint8)[::9]
    clips = windows(900, WindowLimits(125, 375, 250), [(10, 225), (240, 502), (522, 888)])
    return cuts + [float(value) for clip in clips for value in clip] + [float(value) for value in (*moved, *scene)]


def case_annotate() -> list[float]:
    place = np.random.default_rng(3).uniform(20, 260, (1, layout.K))
    bins = np.arange(576) / 2
    simcc = np.maximum(0, 0.9 * (1 - ((bins - place[..., None]) / 4) ** 2)).astype(np.float32)
    points, scores = decode_simcc(simcc, simcc)[:2]
    found = [*np.asarray(points, float)[0, ::9].ravel().tolist(), *np.asarray(scores, float)[0, ::9].tolist()]
    return found + where_persons_change()


def where_persons_change() -> list[float]:
    """What the colours of two planted people come to, and where a track goes from one to the other."""
    y, x = np.mgrid[:300, :400]
    pictures = [
        np.stack([(x // 3 + k * y) % 256, y // 2 + 60 * k, (x + 90 * k) % 256], -1).astype(np.uint8) for k in (0, 1)
    ]
    body = face(200, 110, 1.0, 0.0).astype(np.float32)
    colours = [colours_of(picture, np.array([100, 20, 300, 280], np.float32), body) for picture in pictures]
    weights = np.clip((np.arange(90) - 40) / 10, 0, 1)[:, None, None]
    looks = Looks(
        np.full((90, 2), np.nan),
        ((1 - weights) * colours[0] + weights * colours[1]).astype(np.float32),
        np.full((90, 3), np.nan),
    )
    jumps = [np.nan_to_num(colour_jumps(looks, gap), nan=-1)[::10] for gap in (0, 13)]
    return [*np.concatenate(jumps).tolist(), *map(float, changes(looks))]


def case_overlap() -> list[float]:
    rng = np.random.default_rng(11)
    drift = np.cumsum(rng.normal(0, 0.3, (30, 589, 7)), axis=1).astype(np.float32)  # a window each, whatever is heard
    session = FakeSession(lambda x: [drift[: len(x)]], ("N", 1, 160_000))
    session._outputs[0].shape = ["N", 589, 7]
    voices = SegmentationNet(session, batch=32).hear(np.zeros(25 * 16_000, np.float32))
    settings = Overlap(keep_scores=True, soft=False, onset=0.5, offset=0.5)  # whatever the defaults are
    video, numbers = VideoVoices(voices, settings), list[float]()
    for start, length in ((0.0, 10.0), (6.04, 9.28), (20.0, 5.0)):
        row = measures_of(video, start, length, settings)
        scores = row.pop("voice_scores")
        numbers += [*(float(value) for _, value in sorted(row.items())), *scores[::40].ravel().tolist()]
    return numbers


def case_attributes() -> list[float]:
    """Where a face is cut, which frames are looked at, and how pictures are prepared for the nets."""
    y, x = np.mgrid[:512, :512]
    picture = np.stack([x // 2, y // 2, (x + y) % 256], -1).astype(np.uint8)
    points = np.stack([face(240 + n, 200 - n, 0.9 + 0.01 * n, 0.05 * n) for n in range(12)])
    scores = np.where(np.isnan(points).any(-1), 0, 0.9)
    scores[:, layout.FACE] -= np.linspace(0.3, 0, 12)[:, None]
    spans = candidates(points, scores, (512, 512), Choice(frames=3, candidates=2))
    cuts = (aligned(picture, points[7]), upright(picture, points[7]))
    means = [value for cut in cuts for value in fitted(cut)[::37, ::37].ravel().tolist()]
    votes = consensus(np.array([[0.2, 0.8], [0.6, 0.4]], np.float32), "gender")
    years = ages(np.eye(101, dtype=np.float32)[[20, 40]])
    return [*(float(frame) for span in spans for frame in span), *means, votes.agreement, *years.tolist()]


def case_speakers() -> list[float]:
    vectors, _ = plant(12, 4, (0.3, 0.8), width=64)
    rows = [{"person_id": f"{n:03d}", "clip_id": "", "video_id": "", "identity": v} for n, v in enumerate(vectors)]
    worker = Speakers().worker(Context(Path(), threads=0))
    speakers = worker.process(Unit("all", {"attributes": rows}))
    return [float(int(row["speaker"][1:], 16) % 1000) for row in speakers]


def case_fingerprint_sound() -> list[float]:
    """Means, as another processor may round a bit of an item to the other side."""
    items = fingerprint(talk(1, 20))
    return [
        float(len(items)),
        float(np.bitwise_count(items).mean()),
        float(np.bitwise_count(items[1:] ^ items[:-1]).mean()),
    ]


def case_twins() -> list[float]:
    """A film, a part of it that plays 3 % faster and lost some bits, and another film."""
    rng = np.random.default_rng(405)
    film, other = rng.integers(0, 1 << 32, (2, 600), np.uint32)
    flips = np.packbits(rng.uniform(size=(400, 32)) < 0.02, axis=1).view(np.uint32).ravel()
    part = film[100 + np.round(1.03 * np.arange(400)).astype(int)] ^ flips
    prints = [
        {"video_id": name, "fingerprint": x.tobytes()} for name, x in zip("abc", (film, part, other), strict=True)
    ]
    about = [{"video_id": x, "bytes": at, "duration_seconds": 9.0, "upload_date": None} for at, x in enumerate("cba")]
    unit = Unit("all", {"sound_fingerprints": prints, "videos": about})
    rows = list(Twins().worker(Context(Path())).process(unit))
    [row] = [row for row in rows if row.get("twin_of")]
    found = [row[name] for name in ("speed", "offset_seconds", "matched_seconds", "bit_error")]
    heard = [*found, *map(float, np.ravel(row["better_spans"])), *(float(row["kept"]) for row in rows)]
    takes = {"a": gestures(1, 12), "b": gestures(1, 12, speed=1.03)[:, :, ::-1], "c": gestures(2, 12)}
    clips = [clip for name, take in takes.items() for clip in clips_of(take, name)]
    silent = [{"video_id": name, "fingerprint": None} for name in takes]
    unit = Unit("all", {"sound_fingerprints": silent, "videos": about, "clips": clips})
    [row] = [row for row in Twins().worker(Context(Path())).process(unit) if row.get("twin_of")]
    seen = [row[name] for name in ("speed", "offset_seconds", "matched_seconds", "motion_likeness", "mirrored")]
    return heard + [float(value) for value in seen]


CASES: dict[str, Callable[[], list[float]]] = {
    name.removeprefix("case_"): function for name, function in list(globals().items()) if name.startswith("case_")
}


def film_numbers(path: Path) -> list[float]:
    """What the reader decides about a film, the clips that split makes of it, some of its pictures, and its sound."""
    measured = probe(path)
    reading = measured.reading
    numbers = [float(measured.grid_frames), float(measured.tone_mapped or 0), float(measured.sound_track or 0)]
    numbers += [measured.combed_share or 0.0, float(sum(map(ord, measured.combed or "")))]
    for turns in reading.clock.turns.values():
        numbers += [value for turn in turns for value in (float(turn.packet), float(turn.shift or 0))]
    split = Split(vad=(), min_clip_seconds=1.0, target_clip_seconds=2.0).worker(Context(Path()))
    for row in split.process(Unit("v", {"videos": [{**asdict(measured), "video_id": "v", "path": str(path)}]})):
        numbers += [float(row[name]) for name in ("first_frame", "frames", "camera_motion", "repeated_frames")]
        numbers += map(float, row["repeats"] or ())
    with GridReader(path, reading=reading) as reader:
        for frame in reader:
            if frame.n % 25 in (6, 7):
                numbers += frame.pixels.reshape(4, 40, 4, 40, 3).mean(axis=(1, 3)).ravel().tolist()
                numbers += frame.pixels[60:100:8, 100:140:8].astype(float).ravel().tolist()
    wave = read_wave(path, reading=reading)
    if wave is not None:
        numbers += [float(np.sqrt((piece**2).mean())) for piece in np.array_split(wave, 40)]
    return numbers


@pytest.mark.parametrize("name", FILMS)
def test_readings_move_only_with_the_reader_or_split(name: str, tmp_path: Path) -> None:
    """A film of each kind that `pipeline.media` decides about. What it decides is a column, and makes only those films new."""
    versions = f"{READER_VERSION} {Split.version}"
    compare(f"film {name}", versions, film_numbers(FILMS[name](tmp_path)), "the reader (READER_VERSION) or split")


@pytest.mark.parametrize("name", CASES)
def test_results_move_only_with_the_version(name: str) -> None:
    compare(name, str(stage_class(name).version), CASES[name](), name)


def compare(name: str, version: str, found: list[float], whose: str) -> None:
    """With what is recorded of this version, or record it where that is asked for."""
    key = f"{name} {version}"
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if os.environ.get("CSG405_RECORD_GOLDEN"):
        kept = {other: values for other, values in golden.items() if not other.startswith(name + " ")}
        GOLDEN.write_text(json.dumps({**kept, key: [round(v, 5) for v in found]}, sort_keys=True) + "\n")
        return
    assert key in golden, f"the results of {key} were never recorded: see the head of {Path(__file__).name}"
    says = f"{name} gives other results: bump the version of {whose}"
    assert len(found) == len(golden[key]), says
    np.testing.assert_allclose(found, golden[key], RELATIVE, ABSOLUTE, err_msg=says)
