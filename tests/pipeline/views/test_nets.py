"""Which nets made the rows of a run: in its outcomes, and readable in every result."""

import json
from pathlib import Path

import pytest

from pipeline.registry.models import ModelFile, Registry
from pipeline.shards.release.about import About
from pipeline.shards.release.card import text as card
from pipeline.shards.release.counts import Counts
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from pipeline.views.nets import UNKNOWN, MadeBy, as_json, made_by
from tests.pipeline.cli.toy_run import ToyRun
from tests.pipeline.engine import toys as toy_stages

SHA = "0123456789abcdef" * 4


def outcomes(store: Store, **nets: str | None) -> None:
    made = [
        Outcome(unit, "annotate", 0, "ok", versions="csg405 1.0, annotate 1", nets=text) for unit, text in nets.items()
    ]
    store.table("checks").append([], made)


def test_rows_are_counted_by_what_made_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    outcomes(store, a=f"yolox_l {SHA}, dwpose_l {SHA}", b=f"yolox_l {SHA}, dwpose_l {SHA}", c=None)
    found = made_by(store)
    assert [(one.units, one.words()) for one in found] == [
        (1, UNKNOWN),
        (2, f"yolox_l {SHA[:12]}, dwpose_l {SHA[:12]}"),
    ]
    assert as_json(found)["annotate"][1] == {
        "version": "csg405 1.0, annotate 1",
        "nets": {"yolox_l": SHA, "dwpose_l": SHA},
        "units": 2,
    }
    assert made_by(Store(tmp_path / "none")) == []


def test_a_stage_without_nets_is_not_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    outcomes(store, a="", b=None)
    assert made_by(store) == []


def test_a_card_names_nets_and_hashes() -> None:
    nets = as_json([MadeBy("annotate", "csg405 1.0, annotate 1", {"yolox_l": SHA}, 7)])
    said = card(About("x", nets=nets), Counts(), {})
    assert f"| annotate | yolox\\_l {SHA} | csg405 1.0, annotate 1 | 7 |" in said
    assert "The run recorded none." in card(About("x"), Counts(), {})


def test_a_run_records_its_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_stages.ToyAnnotate, "model_names", lambda self: (("theatre_detector",),))
    entry = Registry().entry("theatre_detector")
    monkeypatch.setattr(Registry, "resolve", lambda self, names, precision: ModelFile(names[0], tmp_path, SHA, entry))
    toys = ToyRun(tmp_path, monkeypatch)
    toys.all()
    assert [one.nets for one in made_by(Store(toys.run))] == [{"theatre_detector": SHA}]
    assert f"bytheatre_detector{SHA}" in "".join(toys("show", "file:a/0+250").split()), "however the line is broken"
    assert json.dumps(as_json(made_by(Store(toys.run))))
