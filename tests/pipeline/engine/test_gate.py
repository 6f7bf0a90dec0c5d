"""The gate before costly measures."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from pipeline.engine.gate import DEFAULT, Gate, parse, through
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from stages.judge import Judge


def add(store: Store, kind: str, unit: str, *rows: dict) -> None:
    store.table(kind).append([pack_rows(KINDS[kind], unit, list(rows))], [Outcome(unit, kind, 0, "ok", rows=len(rows))])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two clips of two videos, three people: one from behind, one unmeasured."""
    store = Store(tmp_path)
    for video, count in (("file:a", 2), ("file:b", 1)):
        clip = f"{video}/0+250"
        add(store, "videos", video, {"video_id": video, "source": video})
        add(store, "clips", video, {"clip_id": clip, "video_id": video, "frames": 250})
        ids = [{"person_id": f"{clip}#{k}", "clip_id": clip, "video_id": video} for k in range(count)]
        add(store, "persons", clip, *({**i, "person": k, "frames": 250} for k, i in enumerate(ids)))
        turned = [10.0, 170.0] if count == 2 else [None]
        add(store, "pose_measures", clip, *({**i, "yaw_degrees": y} for i, y in zip(ids, turned, strict=True)))
        add(store, "sound_measures", clip, {"clip_id": clip, "video_id": video, "speech_share": 0.9})
    return store


def test_who_gets_through(store: Store) -> None:
    gate = ["yaw_degrees <= 60"]
    assert through(store, gate, "person_id") == {"file:a/0+250#0", "file:b/0+250#0"}  # what is not known passes
    assert through(store, gate, "video_id") == {"file:a", "file:b"}
    assert through(store, ["yaw_degrees >= 100"], "clip_id") == {"file:a/0+250", "file:b/0+250"}
    assert through(store, ["speech_share > 0.9"], "person_id") == set()
    assert len(through(store, [], "person_id")) == 3


def test_every_side_and_its_edge() -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan])
    for text, passing in ((">=", [0, 1, 1, 1]), (">", [0, 0, 1, 1]), ("<=", [1, 1, 0, 1]), ("<", [1, 0, 0, 1])):
        assert parse(f"yaw_degrees {text} 2").passes(values).tolist() == [bool(p) for p in passing]


@pytest.mark.parametrize("text", ["", "yaw_degrees", "yaw_degrees = 3", "yaw_degrees <= x", "nonsense <= 3"])
def test_conditions_that_are_none(text: str) -> None:
    class Stage(BaseModel):
        gate: Gate = ()

    with pytest.raises(ValidationError):
        Stage(gate=(text,))


def test_the_default_is_looser_than_the_judge() -> None:
    judge = Judge()
    for condition in map(parse, DEFAULT):
        limit = getattr(judge, ("min_" if ">" in condition.side else "max_") + condition.measure)
        assert condition.limit < limit if ">" in condition.side else condition.limit > limit, condition
