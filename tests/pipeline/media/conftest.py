"""Footage that several tests share."""

from pathlib import Path

import pytest

from tests.pipeline.media.footage import constant_times, speckle, write_footage


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for footage that is made once a session."""
    return tmp_path_factory.mktemp("footage")


@pytest.fixture(scope="session")
def plain(shelf: Path) -> Path:
    """4 s at 25 fps, H.264 with B-frames, 4 s of sound; frame k shows k."""
    return write_footage(
        shelf / "plain.mp4", constant_times(25, 100), options={"preset": "fast", "bf": "2"}, sound=speckle(4.0)
    )
