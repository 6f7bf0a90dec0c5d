"""Damaged rows of every form: each costs itself alone, and is said."""

import pytest

from tests.pipeline.sources.manifest.mutations import FORMS, figures


def test_damage_costs_its_row_alone() -> None:
    for form, found in figures(seed=405, rows=300).items():
        assert found["damaged"] == 75 and found.get("crashes", 0) == 0, form
        assert (found["lost"], found["unsaid"], found["wrong"]) == (0, 0, 0), (form, found)


@pytest.mark.slow
def test_with_five_thousand_rows_of_each() -> None:
    for form, found in figures(seed=7, rows=5000).items():
        assert found["damaged"] == 1250 and found.get("crashes", 0) == 0, form
        assert (found["lost"], found["unsaid"], found["wrong"]) == (0, 0, 0), (form, found)


def test_all_forms_are_there() -> None:
    assert {name.split(" in ")[0] for name in FORMS} == {
        *("csg405_json", "csg405_names", "emtd_csv", "panda_csv", "celebv_json", "objects", "release"),
    }
