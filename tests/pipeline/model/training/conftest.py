"""Shards and one training of them, which the tests of a run's parts look at."""

from pathlib import Path

import pytest

from tests.pipeline.model.training.small import fit, shard_rows, write_shards


@pytest.fixture(scope="package")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = shard_rows(8)
    return write_shards(tmp_path_factory.mktemp("loop") / "shards", {"train": rows[:6], "validation": rows[6:]})


@pytest.fixture(scope="package")
def undisturbed(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing interrupted; to be left as it is."""
    folder = tmp_path_factory.mktemp("undisturbed")
    fit(shards, folder)
    return folder
