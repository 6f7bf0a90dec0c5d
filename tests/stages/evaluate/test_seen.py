"""The stores of a real evaluation, as the rest of the product sees them."""

from pipeline.tables.store import Store
from pipeline.tables.stores import read_everywhere
from pipeline.views.overview import evaluations
from tests.stages.evaluate.studio import Studio


def test_all_four_stages_are_seen_wherever_evaluate_put_them(studio: Studio) -> None:
    studio.evaluate(method="transfer", settings=("unpaired",))
    states = evaluations(Store(studio.run))
    seen = [(state.store.removeprefix("evaluation/csg405").lstrip("/"), state.stage, state.ok) for state in states]
    of_a_method = ("pairs", "renditions", "scores")
    assert [s[:2] for s in seen] == [
        ("", "subjects"),
        *(("transfer-skeleton", stage) for stage in of_a_method),
        *(("true-drawn", stage) for stage in of_a_method),
    ]
    assert all(ok for _, _, ok in seen) and all(state.failed == 0 for state in states)
    rows, _ = read_everywhere(Store(studio.run), "subjects", ["subject", "speaker"])
    assert rows["speaker"].to_pylist() == ["ada", "ben", "cai"]
