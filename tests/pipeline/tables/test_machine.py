"""The state machine of a small store, from a fixed seed."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.pipeline.tables.machine import TablesMachine

EXAMPLES, STEPS = 8, 25  # 200 steps


def test_the_same_rows_or_said() -> None:
    given = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(TablesMachine, settings=given)
