"""Real talks and what becomes of films on the web: every copy in its cluster, nobody else's in it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import read_wave
from pipeline.media.chromaprint import Items, fingerprint
from pipeline.media.writer import ffmpeg_exe
from stages.twins import Twins
from tests.stages.stage_assets import ASSETS, asset

pytestmark = pytest.mark.slow

TALKS = (
    "edtalk_uncrop_obama.mp4",
    "latentsync_demo1.mp4",
    "latentsync_demo2.mp4",
    "latentsync_demo3.mp4",
    "dj_video4.mp4",
)
_SMALL = ("-vf", "scale=320:-2")
COPIES: dict[str, tuple[str, ...]] = {  # arguments, the last of them the suffix
    "re-encoded": (*_SMALL, "-crf", "34", "-c:a", "libopus", "-b:a", "32k", "mkv"),
    "remuxed": ("-c", "copy", "mov"),
    "cropped": ("-vf", "crop=iw*0.96:ih*0.96,scale=320:-2", "-c:a", "aac", "-b:a", "64k", "mp4"),
    "mirrored": ("-vf", "hflip,scale=320:-2", "-c:a", "libmp3lame", "-b:a", "64k", "mkv"),
    "banner": ("-vf", "drawbox=y=ih*0.8:h=ih*0.2:color=red:t=fill,scale=320:-2", "-c:a", "aac", "mp4"),
    "faster": ("-vf", "setpts=PTS/1.02,scale=320:-2", "-af", "atempo=1.02", "-c:a", "aac", "mp4"),
    "a padded part": ("-ss", "2", "-t", "6.5", "-vf", "scale=160:-2,pad=320:320:40:40", "-c:a", "aac", "mp4"),
}
OFFSETS = {"a padded part": 2.0}


def printed(path: Path) -> Items | None:
    wave = read_wave(path)
    return None if wave is None or not len(wave) else fingerprint(wave)


def compared(prints: dict[str, Items | None]) -> dict[str, dict[str, Any]]:
    """{name: row of twins}; the originals have the best bit rate."""
    fingerprints = [{"video_id": name, "fingerprint": x if x is None else x.tobytes()} for name, x in prints.items()]
    videos = [
        {"video_id": name, "bytes": 1 if "|" in name else 9, "duration_seconds": 1.0, "upload_date": None}
        for name in prints
    ]
    unit = Unit("all", {"sound_fingerprints": fingerprints, "videos": videos})
    return {row["video_id"]: row for row in Twins().worker(Context(Path())).process(unit)}


@pytest.fixture(scope="module")
def originals() -> dict[str, Items | None]:
    asset("clips")
    files = [*(ASSETS / "clips").iterdir(), *(ASSETS / "audio").iterdir()]
    sounding = (".mp4", ".mpg", ".wav", ".flac")
    return {path.name: printed(path) for path in sorted(files) if path.suffix in sounding}


def test_no_two_real_clips_are_twins_or_near(originals: dict[str, Items | None]) -> None:
    rows = compared(originals)
    assert len(rows) >= 20
    assert [row for row in rows.values() if row["cluster_id"] or row["near_cluster_id"]] == []


def test_every_copy_of_a_talk_is_in_its_cluster_with_its_offset(
    originals: dict[str, Items | None], tmp_path: Path
) -> None:
    prints = dict(originals)
    for talk in TALKS:
        for name, (*how, suffix) in COPIES.items():
            target = tmp_path / f"copy.{suffix}"
            command = [ffmpeg_exe(), "-v", "error", "-y", "-i", str(asset(f"clips/{talk}")), "-preset", "ultrafast"]
            subprocess.run([*command, *how, str(target)], check=True, timeout=120)
            prints[f"{talk}|{name}"] = printed(target)
    rows = compared(prints)
    for talk in TALKS:
        assert rows[talk]["kept"] and rows[talk]["cluster_id"]
        for name in COPIES:
            row = rows[f"{talk}|{name}"]
            assert (row["cluster_id"], row["twin_of"]) == (rows[talk]["cluster_id"], talk), name
            assert row["offset_seconds"] == pytest.approx(OFFSETS.get(name, 0.0), abs=0.2), (talk, name)
    others = [row for name, row in rows.items() if name.partition("|")[0] not in TALKS]
    assert not any(row["cluster_id"] for row in others)
