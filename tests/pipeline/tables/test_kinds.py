"""Tables that exist are read for years: what a kind promised once stays, and only nullable columns come."""

import csv
from pathlib import Path

import pytest

from pipeline.tables.kinds import KINDS, Kind

PROMISED = Path(__file__).with_name(
    "kinds.csv"
)  # kind, column, type, unit; a column is added here once a release has it


def rows() -> list[dict[str, str]]:
    with PROMISED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_promised_column_is_there_with_its_type_and_unit_in_its_place() -> None:
    for name in dict.fromkeys(row["kind"] for row in rows()):
        promised = [(r["column"], r["type"], r["unit"]) for r in rows() if r["kind"] == name]
        names = {column for column, _, _ in promised}
        here = [(f.name, str(f.type), f.metadata[b"unit"].decode()) for f in KINDS[name].columns if f.name in names]
        assert here == promised, name


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_sound(kind: Kind) -> None:
    names = [field.name for field in kind.columns]
    assert names.count(kind.key) == 1 and len(set(names)) == len(names)
    assert all(field.nullable and set(field.metadata) == {b"unit", b"text"} for field in kind.columns)
    assert {kind.parent, kind.unit_of} <= {"", *KINDS}
    if kind.parent_where:
        assert str(KINDS[kind.parent].schema.field(kind.parent_where).type) == "bool"


def test_parents_come_before_their_children() -> None:
    order = list(KINDS)
    assert all(order.index(kind.parent) < order.index(name) for name, kind in KINDS.items() if kind.parent)


def test_links_between_kinds_stay() -> None:
    links = {name: (k.key, k.parent, k.parent_where, k.unit_of) for name, k in KINDS.items() if k.parent or k.unit_of}
    assert links == {
        "sources": ("source", "types", "", ""),
        "clips": ("clip_id", "videos", "", "videos"),
        "persons": ("person_id", "clips", "", "clips"),
        "pose_measures": ("person_id", "persons", "", "clips"),
        "sound_measures": ("clip_id", "clips", "", "clips"),
        "overlaps": ("clip_id", "clips", "", "videos"),
        "same_faces": ("person_id", "persons", "", "clips"),
        "lip_syncs": ("person_id", "persons", "", "clips"),
        "sound_fingerprints": ("video_id", "videos", "", "videos"),
        "twins": ("video_id", "sound_fingerprints", "", ""),
        "verdicts": ("person_id", "persons", "", ""),
        "samples": ("person_id", "verdicts", "keep", "verdicts"),
        "attributes": ("person_id", "samples", "", "samples"),
        "speakers": ("person_id", "attributes", "", ""),
        "audio_features": ("person_id", "samples", "", "videos"),
        "renditions": ("pair_id", "pairs", "", "pairs"),
        "scores": ("pair_id", "renditions", "", "renditions"),
    }
