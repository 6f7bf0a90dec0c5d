"""What the trials do to a file: it is another one afterwards."""

import random
from pathlib import Path

import pytest

from tests.trials.damages import DEEDS


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Five files: two twins in one folder with another of their kind, one of their kind elsewhere, one of another kind."""
    (tmp_path / "shards").mkdir()
    for name, text in (("a.txt", "the same"), ("b.txt", "the same"), ("c.txt", "another"), ("d.json", "a third")):
        (tmp_path / "shards" / name).write_text(text)
    (tmp_path / "e.txt").write_text("elsewhere")
    return tmp_path


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("name", ["shards/a.txt", "shards/d.json", "e.txt"])
def test_a_damaged_file_is_another_one_afterwards(run: Path, deed: str, name: str) -> None:
    path, others = run / name, sorted(p for p in run.rglob("*") if p.is_file())
    for seed in range(20):
        whole = path.read_bytes()
        DEEDS[deed](path, random.Random(seed), others)
        assert not path.exists() or path.read_bytes() != whole
        path.write_bytes(whole)


def test_a_file_is_replaced_by_one_of_its_folder_and_kind_where_there_is_one(run: Path) -> None:
    path, others = run / "shards/a.txt", sorted(p for p in run.rglob("*") if p.is_file())
    for seed in range(20):
        path.write_text("the same")
        DEEDS["replace"](path, random.Random(seed), others)
        assert path.read_text() == "another"
