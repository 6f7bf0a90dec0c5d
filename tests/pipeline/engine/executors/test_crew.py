"""The crew: whatever becomes of workers, each unit has one result, and none is done twice at a time."""

import random
from collections import Counter
from itertools import count

import pytest

from pipeline.base.reasons import Reason
from pipeline.engine.executors.crew import AHEAD, LOSSES, QUEUED, TOGETHER, Crew, Unfit
from pipeline.engine.executors.executor import Result
from pipeline.tables.outcome import FAILED, OK
from tests.bench.bench_ray import in_virtual_time
from tests.pipeline.engine.executors.stand_in import StandIn, numbered


def run(cluster: StandIn, units: int, workers: int = 1000, seconds: float = 1e9) -> dict[int, Result]:
    found = list(Crew(cluster, numbered(units), workers, seconds, "toy").results(lambda: False))
    assert len({index for index, _ in found}) == len(found), "no unit has two results"
    return dict(found)


def test_all_units_are_done_once_by_as_many_workers_as_there_is_room_for() -> None:
    cluster = StandIn([4, 4])
    found = run(cluster, 100)
    assert Counter(result.status for result in found.values()) == {OK: 100}
    assert set(cluster.begun.values()) == {1} and cluster.asked == 8 + AHEAD
    assert cluster.most == 8, "none waits at a worker that is long at another"


def test_results_come_in_the_order_in_which_units_end_and_units_are_drawn_as_needed() -> None:
    cluster = StandIn([2], lambda unit: 100.0 if unit.id == "u0" else 1.0)
    drawn = []

    def units():  # type: ignore[no-untyped-def]
        for index, unit in numbered(50):
            drawn.append(index)
            yield index, unit

    results = Crew(cluster, units(), 2, 1e9, "toy").results(lambda: False)
    first = [next(results)[0] for _ in range(10)]
    assert first == list(range(1, 11)) and len(drawn) <= 14
    assert [index for index, _ in results][-1] == 0


def test_quick_units_wait_at_their_worker_so_that_it_waits_for_nobody() -> None:
    cluster = StandIn([2], lambda _: 0.2)
    run(cluster, 300)
    assert cluster.most == 2 * QUEUED and set(cluster.handfuls) == {1}


def test_units_that_are_over_at_once_come_by_the_handful_unless_their_rows_are_many() -> None:
    cluster = StandIn([2], lambda _: 0.001)
    assert len(run(cluster, 2000)) == 2000
    assert cluster.handfuls[:50] == [1] * 50 and max(cluster.handfuls) == TOGETHER
    assert len(cluster.handfuls) < 350 and cluster.most <= 2 * QUEUED * TOGETHER
    heavy = StandIn([2], lambda _: 0.001)
    heavy.row_bytes = 5_000_000
    run(heavy, 300)
    assert set(heavy.handfuls) == {1}


def test_units_that_a_worker_gives_back_are_done_alone() -> None:
    cluster = StandIn([1], lambda _: 0.001)
    cluster.returns = set(range(400, 420))
    found = run(cluster, 500)
    assert Counter(result.status for result in found.values()) == {OK: 500} and set(cluster.begun.values()) == {1}


def test_a_unit_that_ends_its_workers_is_found_among_those_it_came_with() -> None:
    cluster = StandIn([1], lambda unit: 1e6 if unit.id == "u507" else 0.001)

    def strike() -> None:
        if cluster.begun.get(507):
            cluster.kill_worker()
        cluster.at(5.0, strike)

    cluster.at(5.0, strike)
    found = run(cluster, 600)
    assert [index for index, result in found.items() if result.status != OK] == [507]
    assert max(cluster.handfuls) == TOGETHER


def test_of_units_that_came_together_none_is_called_late_for_another() -> None:
    cluster = StandIn([1], lambda unit: 1e6 if unit.id == "u507" else 0.001)
    found = run(cluster, 600, seconds=30.0)
    late = {index: result.reason for index, result in found.items() if result.status != OK}
    assert late == {507: "timed_out"} and len(found) == 600


def test_no_more_workers_than_were_asked_for() -> None:
    cluster = StandIn([64])
    run(cluster, 50, workers=3)
    assert cluster.asked == 3 and cluster.most == 3


def test_a_late_node_is_used_and_more_workers_are_asked_for_than_fit() -> None:
    cluster = StandIn([])
    cluster.at(120.0, lambda: cluster.join(2))
    cluster.at(200.0, lambda: cluster.join(8))
    found = run(cluster, 500)
    assert Counter(result.status for result in found.values()) == {OK: 500}
    assert cluster.most == 10


def test_units_of_a_node_that_goes_are_done_elsewhere() -> None:
    cluster = StandIn([3, 3])
    cluster.at(10.5, lambda: cluster.kill_node(0))
    found = run(cluster, 60)
    assert Counter(result.status for result in found.values()) == {OK: 60}
    assert Counter(cluster.begun.values()) == {1: 57, 2: 3}


def test_when_all_nodes_go_it_waits_for_another() -> None:
    cluster = StandIn([2])
    cluster.at(10.5, lambda: cluster.kill_node(0))
    cluster.at(5000.0, lambda: cluster.join(1))
    assert Counter(result.status for result in run(cluster, 30).values()) == {OK: 30}
    assert cluster.time > 5000


@pytest.mark.parametrize("reason", [Reason.CRASHED, Reason.OUT_OF_MEMORY])
def test_a_unit_that_takes_its_workers_down_is_given_up_and_the_others_are_done(reason: Reason) -> None:
    cluster = StandIn([1], lambda unit: 1e6 if unit.id == "u5" else 1.0)

    def strike() -> None:
        if cluster.begun.get(5):
            cluster.kill_worker(reason)
        cluster.at(50.0, strike)

    cluster.at(50.0, strike)
    found = run(cluster, 10)
    assert found[5].status == FAILED and found[5].reason == reason.code
    assert found[5].detail == f"{LOSSES} workers were lost at it; the last one: its machine is gone"
    assert cluster.begun[5] == LOSSES
    assert {found[index].status for index in found if index != 5} == {OK} and len(found) == 10


def test_units_that_waited_behind_the_one_that_was_lost_lose_nothing() -> None:
    cluster = StandIn([1], lambda _: 0.01)
    for moment in range(20):
        cluster.at(4.0 + moment * 3.2, cluster.kill_worker)
    found = run(cluster, 3000)
    assert Counter(result.status for result in found.values()) == {OK: 3000}


def test_a_result_that_was_lost_on_the_way_is_made_again() -> None:
    cluster = StandIn([2])
    cluster.mislays = {3, 7}
    assert Counter(result.status for result in run(cluster, 20).values()) == {OK: 20}
    assert cluster.begun[3] == cluster.begun[7] == 2


def test_a_worker_that_never_answers_is_given_up_and_replaced() -> None:
    cluster = StandIn([1])
    cluster.at(6.5, lambda: cluster.frozen.update(cluster.nodes[0].workers))
    found = run(cluster, 8, seconds=30.0)
    late = [result for result in found.values() if result.status != OK]
    assert [result.reason for result in late] == ["timed_out"] and "did not answer for 3" in late[0].detail
    assert len(found) == 8 and set(cluster.begun.values()) == {1}


def test_workers_that_end_as_they_begin_end_the_stage_in_words() -> None:
    cluster = StandIn([4])
    cluster.starts = False
    found = list(run(cluster, 5).values())
    assert found[-1].broken and "toy cannot start: its workers end before they begin a unit" in found[-1].detail


def test_one_that_cannot_run_the_stage_as_the_driver_would_stops_it() -> None:
    cluster = StandIn([1])
    cluster.at(1.0, lambda: Unfit(1, "node-7 is not as this machine: numpy 1.0 there, 2.0 here"))
    results = Crew(cluster, numbered(3), 1, 1e9, "toy").results(lambda: False)
    assert "node-7 is not as this machine" in next(results)[1].detail


def test_stopping_ends_at_the_next_look_and_close_dismisses_everybody() -> None:
    cluster = StandIn([3], lambda _: 1e6)
    asked = count()
    crew = Crew(cluster, numbered(9), 9, 1e9, "toy")
    assert list(crew.results(lambda: next(asked) > 20)) == [] and cluster.away == 3
    crew.close()
    assert cluster.away == 0 and not cluster.nodes[0].workers


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_each_unit_has_one_result(seed: int) -> None:
    chance = random.Random(seed)
    lengths = [chance.choice([0.01, 0.5, 5.0]) for _ in range(400)]
    cluster = StandIn([chance.randint(1, 5) for _ in range(3)], lambda unit: lengths[int(unit.id[1:])])
    for _ in range(chance.randint(0, 15)):
        cluster.at(chance.uniform(0, 200), cluster.kill_worker)
    for number in range(2):
        cluster.at(chance.uniform(0, 100), lambda number=number: cluster.kill_node(number))  # type: ignore[misc]
        cluster.at(chance.uniform(0, 300), lambda: cluster.join(2))
    cluster.mislays = set(chance.sample(range(400), 5))
    found = run(cluster, 400)
    assert set(found) == set(range(400))
    assert all(result.status == OK for index, result in found.items() if cluster.begun[index] < LOSSES)


def test_a_hundred_nodes_share_thousands_of_units_evenly() -> None:
    cluster = StandIn([16] * 100)
    found = run(cluster, 8000)
    assert len(found) == 8000 and set(cluster.begun.values()) == {1}
    assert cluster.time < 3 + 5 + 2.0 * 8000 / 1600


def test_memory_does_not_grow_with_the_units_that_are_done() -> None:
    """As `python -m tests.bench ray` does it with more: 64 nodes, of which one goes now and then, and another comes."""
    assert in_virtual_time(20_000, 2_000)["grown MB"] < 100
