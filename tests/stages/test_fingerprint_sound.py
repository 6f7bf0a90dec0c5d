"""Fingerprints of films: on the clock of the pictures, of the voice's track, and what is told where none can be made."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.engine.fingerprint import signature
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media import chromaprint
from pipeline.media.columns import SOUND_COLUMNS
from pipeline.media.twins.candidates import BIN, candidates
from pipeline.media.twins.comparison import compare
from pipeline.media.video import write_video
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store
from stages.fingerprint_sound import FingerprintSound
from tests.stages.twins.talks import talk

VIDEO = "file:00000000000000aa"


def film(path: Path, wave: np.ndarray | None, seconds: int = 12) -> None:
    write_video(path, (np.zeros((32, 32, 3), np.uint8) for _ in range(25 * seconds)), wave, size=(32, 32))


def measured(run: Path, path: str, codec: str | None = "aac") -> dict[str, Any]:
    row = {"path": path, "sha256": "", "audio_codec": codec, **dict.fromkeys(SOUND_COLUMNS)}
    [found] = FingerprintSound().worker(Context(run)).process(Unit(VIDEO, {"videos": [row]}))
    assert found["video_id"] == VIDEO and set(found) <= set(KINDS["sound_fingerprints"].schema.names)
    return found


def test_two_films_of_one_talk_have_nearly_one_fingerprint(tmp_path: Path) -> None:
    wave = talk(1, 12)
    film(tmp_path / "a.mp4", wave)
    film(tmp_path / "b.mkv", 0.5 * wave)
    first, second = (np.frombuffer(measured(tmp_path, name)["fingerprint"], "<u4") for name in ("a.mp4", "b.mkv"))
    [pair] = candidates([first, second])
    match = compare(first, second, [int(at) + step for at in pair.offsets for step in range(BIN)], 0.2)
    assert match is not None and match.error < 0.05
    assert abs(match.offset_seconds) < 0.13 and match.seconds > 11


def test_a_row_says_what_made_it_and_how_long_it_is(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", talk(1, 12))
    row = measured(tmp_path, "a.mp4")
    assert row["fingerprint_of"] == "chromaprint-1"
    assert len(row["fingerprint"]) == 4 * row["fingerprint_items"]
    assert chromaprint.seconds_of(row["fingerprint_items"]) == pytest.approx(12, abs=0.2)


def test_a_film_without_sound_has_a_row_of_its_id_alone(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", None)
    assert measured(tmp_path, "a.mp4", None) == measured(tmp_path, "a.mp4") == {"video_id": VIDEO}


def test_without_chromaprint_it_is_told_and_not_measured_until_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    film(tmp_path / "a.mp4", talk(1, 12))
    stage, store = FingerprintSound(), Store(tmp_path)
    able = signature(stage, store, [])
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho ' E  matroska  Matroska'\n")
    poor.chmod(0o755)
    monkeypatch.setenv("CSG405_FFMPEG", str(poor))
    chromaprint.is_available.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert measured(tmp_path, "a.mp4") == {"video_id": VIDEO}
        assert "no Chromaprint" in caplog.text and "CSG405_FFMPEG" in caplog.text
        assert signature(stage, store, []) != able
    finally:
        monkeypatch.undo()
        chromaprint.is_available.cache_clear()
    assert signature(stage, store, []) == able
