"""The stage `speakers`: rows in and out; how vectors are grouped is tested beside `stages.speakers.clusters`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.store import Store
from stages.speakers import Speakers
from tests.stages import fake_run
from tests.stages.speakers.planted_identities import agreement, plant


def rows(vectors: np.ndarray) -> list[dict[str, Any]]:
    return [{**fake_run.ids(number), "identity": vector} for number, vector in enumerate(vectors)]


def grouped(samples: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    worker = Speakers(**settings).worker(Context(Path(), threads=0))
    return list(worker.process(Unit("all", {"attributes": samples})))


def test_every_sample_with_a_face_gets_a_speaker() -> None:
    vectors, owners = plant(40, 4, 0.6)
    found = grouped(rows(vectors))
    assert all(row["speaker_samples"] == 4 for row in found)
    assert agreement(np.unique([row["speaker"] for row in found], return_inverse=True)[1], owners) == (1.0, 1.0)


def test_who_has_no_vector_has_no_speaker() -> None:
    given = rows(np.eye(4, dtype=np.float32))
    given[1]["identity"], given[2]["identity"] = None, np.zeros(4, np.float32)
    assert [row["person_id"] for row in grouped(given)] == [given[0]["person_id"], given[3]["person_id"]]
    assert grouped([]) == [] and grouped(given[1:2]) == []


def test_a_single_sample_is_a_speaker() -> None:
    [row] = grouped(rows(np.ones((1, 8), np.float32)))
    assert row["speaker_samples"] == 1 and row["speaker"].startswith("s")


def test_the_order_of_rows_changes_nothing() -> None:
    given = rows(plant(60, 5, (0.3, 0.8))[0])
    shuffled = [given[i] for i in np.random.default_rng(1).permutation(len(given))]
    assert grouped(given) == grouped(shuffled)


def test_vectors_of_two_nets_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different nets are mixed"):
        grouped([*rows(np.eye(2, dtype=np.float32)), *rows(np.eye(3, dtype=np.float32))])


def test_in_a_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    vectors, _ = plant(10, 3, 0.7)
    with fake_run.together(store):
        for number, vector in enumerate(vectors):
            fake_run.kept(store, number)
            fake_run.add(store, "attributes", [{**fake_run.ids(number), "identity": vector, "gender": "female"}])
    assert fake_run.run(Speakers(), tmp_path) == ["all"]
    assert fake_run.run(Speakers(), tmp_path) == []
    table = Store(tmp_path).read("speakers")
    assert len(table) == 30 and len(set(table["speaker"].to_pylist())) == 10


def test_an_empty_run(tmp_path: Path) -> None:
    fake_run.add_video(Store(tmp_path), 1)
    fake_run.run(Speakers(), tmp_path)
    assert len(Store(tmp_path).read("speakers")) == 0
