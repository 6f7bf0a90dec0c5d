"""The run in the terms of the paper's table 1 and figure 2, counted by hand."""

from pathlib import Path

import pytest

from pipeline.tables.store import Store
from pipeline.views import table_one
from tests.stages.fake_run import add, ids, kept


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three clips of 5.2 s of two speakers in two videos."""
    store = Store(tmp_path / "mine")
    kept(store, 0, 0, 200, speech_type="Panel Forum")
    kept(store, 1, 0)
    return store


def test_a_row_before_anybody_was_told_apart(store: Store) -> None:
    row = dict(zip(table_one.HEADS, table_one.row(store, 256), strict=True))
    assert row == {
        "Data set": "mine",
        "Clips": "3",
        "Hours": f"{3 * 130 / 25 / 3600:.3f}",
        "Resolution": "256 \u00d7 256",
        "Speakers": table_one.DASH,
        "Speech types": "1",
        "Mean, s": "5.2",
        "Motion annotation": "face, body, hands",
    }
    assert all(len(published) == len(table_one.HEADS) for published in table_one.PUBLISHED)


def test_speakers_are_counted_once(store: Store) -> None:
    for video, first, who in ((0, 0, "a"), (0, 200, "a"), (1, 0, "b")):
        own = {"gender": "male", "age_years": 31.0}
        add(store, "attributes", [{**ids(video, first), **own, "emotion": "happy" if video else "neutral"}])
        add(store, "speakers", [{**ids(video, first), "speaker": who}])
    assert table_one.row(store)[table_one.HEADS.index("Speakers")] == "2"
    found = table_one.attributes(store)
    assert set(found) == {"gender", "age", "emotion"}  # nobody was asked for the other one
    shares = {share.value: (round(share.percent, 1), share.of_the_paper) for share in found["emotion"]}
    assert shares["Neutral"] == (66.7, 37.7) and shares["Happy"] == (33.3, 11.9) and shares["Sad"] == (0, 17.3)
    assert [share.value for share in found["age"]] == ["10-19", "20-29", "30-39", "40-49", "50-59", "60-69"]
    assert found["age"][2].percent == 100


def test_an_empty_run(tmp_path: Path) -> None:
    row = table_one.row(Store(tmp_path))
    assert row[1] == "0" and row[2] == "0.000" and row[4:] == (table_one.DASH,) * 4
    assert table_one.attributes(Store(tmp_path)) == {}
