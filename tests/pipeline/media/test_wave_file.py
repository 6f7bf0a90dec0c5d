"""Sound tracks on disk: what is read is what was written, or an error says that it is not."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.media import wave_file
from pipeline.media.wave_file import BLOCK_SAMPLES, DamagedWave

SAMPLES = 2 * BLOCK_SAMPLES + 777


@pytest.fixture
def wave() -> np.ndarray:
    return np.random.default_rng(405).normal(size=SAMPLES).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path, wave: np.ndarray) -> Path:
    wave_file.write(tmp_path / "a.wave", wave)
    return tmp_path / "a.wave"


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (0, None),
        (0, 1),
        (BLOCK_SAMPLES - 1, BLOCK_SAMPLES + 1),
        (BLOCK_SAMPLES, 2 * BLOCK_SAMPLES),
        (SAMPLES - 5, SAMPLES + 100),
        (SAMPLES, SAMPLES + 10),
        (SAMPLES + 10**9, None),
        (-100, 20),
        (-100, -20),
        (50, 50),
        (60, 50),
    ],
)
def test_a_span_is_that_of_the_wave(path: Path, wave: np.ndarray, begin: int, end: int | None) -> None:
    expected = wave[max(begin, 0) : None if end is None else max(end, 0)]
    found = wave_file.read(path, begin, end)
    assert found is not None and found.dtype == np.float32 and found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("samples", [0, 1, BLOCK_SAMPLES, 2 * BLOCK_SAMPLES])
def test_every_length_comes_back(tmp_path: Path, wave: np.ndarray, samples: int) -> None:
    wave_file.write(tmp_path / "b.wave", wave[:samples])
    found = wave_file.read(tmp_path / "b.wave")
    assert found is not None and np.array_equal(found, wave[:samples])


def test_that_there_is_no_track_is_remembered(tmp_path: Path) -> None:
    wave_file.write(tmp_path / "c.wave", None)
    assert wave_file.read(tmp_path / "c.wave") is None
    assert wave_file.read(tmp_path / "c.wave", 100, 200) is None


@pytest.mark.parametrize("left", [0, 7, 23, 30, 40_000, SAMPLES * 4])
def test_a_file_that_was_cut_short_is_refused(path: Path, left: int) -> None:
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DamagedWave):
        wave_file.read(path, 0, 10)


def test_another_byte_is_refused_where_it_is_read(path: Path, wave: np.ndarray) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # in the last block
    path.write_bytes(data)
    with pytest.raises(DamagedWave):
        wave_file.read(path)
    found = wave_file.read(path, 0, BLOCK_SAMPLES)
    assert found is not None and np.array_equal(found, wave[:BLOCK_SAMPLES])


@pytest.mark.parametrize("place", [0, 8, 12, 16, 24, 30])
def test_another_byte_in_the_header_is_refused(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedWave):
        wave_file.read(path, 0, 10)
