"""What the executor makes of Ray's answers and errors, without a cluster."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import stages
from pipeline.base.pulse import Beats
from pipeline.base.reasons import Reason
from pipeline.engine.executors.alike import installed
from pipeline.engine.executors.crew import Ended, Event, Lost, Mislaid, Ready, Returned, Unfit
from pipeline.engine.executors.executor import Job, Result
from pipeline.engine.executors.on_ray import RayCluster, RayExecutor, _fit, _orders, stays
from pipeline.engine.executors.parcel import packed
from pipeline.engine.executors.seat import Report
from pipeline.engine.lookup import settings_class
from pipeline.engine.profile import Machine, is_stage
from pipeline.engine.stage import Context, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.storage import Where
from pipeline.tables.outcome import OK
from stages.annotate import Annotate
from stages.crawl import Crawl
from stages.evaluate.renditions import Renditions
from stages.evaluate.scores import Scores
from stages.export import Export
from stages.import_poses import ImportPoses
from stages.judge import Judge
from tests.pipeline.engine import toys


class Actor:
    """An actor whose every method can be called, and answers with a number."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        def remote(*_: object) -> str:
            self.calls.append(name)
            return f"{name}-{len(self.calls)}"

        return SimpleNamespace(remote=remote, options=lambda **_: SimpleNamespace(remote=remote))


class FakeRay:
    """The calls of Ray that the executor uses; `answers` are those of its references, errors are raised."""

    def __init__(self) -> None:
        import ray.exceptions

        self.exceptions = ray.exceptions
        self.answers: dict[str, Any] = {}
        self.killed: list[Any] = []
        self.asked: dict[str, Any] = {}
        self.resources = {"CPU": 4.0, "memory": 64e9}

    def remote(self, **_: object) -> Callable[[type], Any]:
        return lambda _: SimpleNamespace(options=self._options)

    def _options(self, **options: Any) -> Any:
        self.asked = options
        return SimpleNamespace(remote=lambda _: Actor([]))

    def put(self, value: object) -> object:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": self.resources}, {"Alive": False, "Resources": self.resources}]

    def wait(self, calls: list[str], **_: object) -> tuple[list[str], list[str]]:
        return [ref for ref in calls if ref in self.answers], []

    def get(self, ref: str) -> Any:
        if isinstance(self.answers[ref], Exception):
            raise self.answers[ref]
        return self.answers[ref]

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)


@pytest.fixture(scope="module")
def ray() -> FakeRay:
    return FakeRay()


def cluster(ray: FakeRay, run: Path, **machine: Any) -> RayCluster:
    link = SimpleNamespace(ray=ray, own=False, check=lambda: None)
    job = Job(toys.ToyCrawl(), Context(run), 4, machine=Machine(executor="ray", address="10.0.0.1:1", **machine))
    return RayCluster(link, job)  # type: ignore[arg-type]


def answered(
    ray: FakeRay, run: Path, answer: Any, what: str = "run", more: dict[int, Unit] | None = None
) -> tuple[RayCluster, list[Event]]:
    """What the cluster makes of an answer to a unit, or to the first question."""
    found = cluster(ray, run)
    worker = found.hire()
    if what == "run":
        found.send(worker, {7: Unit("u", {}), **(more or {})})
    ray.answers = {next(ref for ref, call in found._calls.items() if call.what == what): answer}
    return found, list(found.wait(0.0))


REPORT = Report(installed(), [], "node-7", "", True)


def test_a_worker_that_answers_well_is_ready(ray: FakeRay, tmp_path: Path) -> None:
    _, (event,) = answered(ray, tmp_path, REPORT, "report")
    assert isinstance(event, Ready)
    assert ray.asked["name"].startswith("toy_crawl-") and ray.asked["max_restarts"] == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"installed": {**installed(), "av": "1.0"}}, "node-7 is not as this machine: av 1.0 there, "),
        ({"lacking": ["deepface"]}, "node-7 has no deepface"),
        ({"sees_shared": False}, "node-7 does not see"),
        ({"lacking": ["obstore"]}, "node-7 has no obstore: its extra storage is missing there"),
    ],
)
def test_one_that_would_not_compute_the_same_stops_the_job(
    ray: FakeRay, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    _, (event,) = answered(ray, tmp_path, Report(**{**vars(REPORT), **changed}), "report")
    assert isinstance(event, Unfit) and words in event.words


def test_errors_are_told_apart(ray: FakeRay, tmp_path: Path) -> None:
    errors = ray.exceptions
    (lost,) = answered(ray, tmp_path, errors.ActorDiedError())[1]
    assert isinstance(lost, Lost) and lost.reason is Reason.CRASHED
    (eaten,) = answered(ray, tmp_path, errors.OutOfMemoryError("the node was running low on memory"))[1]
    assert isinstance(eaten, Lost) and eaten.reason is Reason.OUT_OF_MEMORY
    (mislaid,) = answered(ray, tmp_path, errors.ObjectLostError("0" * 56, None, ""))[1]
    assert isinstance(mislaid, Mislaid) and mislaid.index == 7 and "ObjectLostError" in mislaid.words
    (ended,) = answered(ray, tmp_path, errors.RayTaskError("run", "a traceback of ours", ValueError("no")))[1]
    assert isinstance(ended, Ended) and ended.result.reason == "exception"
    (unfit,) = answered(ray, tmp_path, errors.RuntimeEnvSetupError("no module named pipeline"), "report")[1]
    assert isinstance(unfit, Unfit) and "a node cannot run csg405" in unfit.words


def test_of_several_units_those_without_an_answer_go_to_a_worker_again(ray: FakeRay, tmp_path: Path) -> None:
    more = {8: Unit("v", {}), 9: Unit("w", {})}
    answers = [packed(Result(OK, count=3)), packed(Result(OK, count=4))]
    _, events = answered(ray, tmp_path, (answers, Beats()), more=more)
    assert [(type(event), event.index) for event in events] == [(Ended, 7), (Ended, 8), (Returned, 9)]  # type: ignore[union-attr]
    error = ray.exceptions.RayTaskError("run", "a traceback of ours", ValueError("no"))
    _, events = answered(ray, tmp_path, error, more=more)
    assert [type(event) for event in events] == [Returned] * 3, "which of them it was is seen when each comes alone"
    _, events = answered(ray, tmp_path, ray.exceptions.ObjectLostError("0" * 56, None, ""), more=more)
    assert [type(event) for event in events] == [Mislaid] * 3


def test_an_actor_that_cannot_be_reached_is_ended_and_its_unit_waits_until_that_is_known(
    ray: FakeRay, tmp_path: Path
) -> None:
    found, events = answered(ray, tmp_path, ray.exceptions.ActorUnavailableError("socket closed", None))
    assert events == [] and len(ray.killed) == 1
    ref = next(ref for ref, call in found._calls.items() if call.what == "end")
    ray.answers = {ref: ray.exceptions.ActorDiedError()}
    (lost,) = found.wait(0.0)
    assert isinstance(lost, Lost)


def test_room_is_counted_by_node_and_by_what_a_worker_needs(ray: FakeRay, tmp_path: Path) -> None:
    assert cluster(ray, tmp_path).room() == 4 and cluster(ray, tmp_path, worker_cpus=3.0).room() == 1
    assert _fit({"CPU": 16.0, "GPU": 2.0, "memory": 64e9}, {"CPU": 1.0, "GPU": 0.25, "memory": 3e9}) == 8
    assert _fit({"CPU": 16.0}, {"CPU": 1.0, "GPU": 0.25}) == 0


@pytest.mark.parametrize("storage", ["", "s3://takes/run"])
def test_which_stages_stay_beside_the_driver(tmp_path: Path, storage: str) -> None:
    machine = Machine(executor="ray", storage=storage)
    stages = (Crawl(), Judge(), ImportPoses(), Annotate(), Export(), Scores(), Renditions())
    found = [stage.name for stage in stages if stays(Job(stage, Context(tmp_path), 1, machine=machine))]
    assert found == ["crawl", "judge", "import_poses", *(("scores", "renditions") if storage else ())]


def test_no_stage_that_runs_on_nodes_looks_into_the_run_past_its_storage_without_saying_so() -> None:
    places = [path for path in Path(next(iter(stages.__path__))).iterdir() if is_stage(path.name)]
    found = [(path, settings_class(path.name)) for path in places]
    on_nodes = [place for place, kind in found if issubclass(kind, Stage) and not _stays_for_its_files(kind.resources)]
    assert len(on_nodes) > 8
    for place in on_nodes:
        assert not [file for file in place.rglob("*.py") if "context.run" in _on_nodes(file)]


def _on_nodes(file: Path) -> str:
    """The code of a file but for what stages do in the driver."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in ("driver", "finish"):
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def _stays_for_its_files(needs: Resources) -> bool:
    return needs.network or needs.one_worker or needs.driver_disk or needs.run_files


@pytest.mark.parametrize(
    ("url", "shared"), [("", "run"), ("s3://takes/run", None), ("file:///mnt/takes", "/mnt/takes")]
)
def test_nodes_share_what_files_lie_in_and_nothing_where_that_is_a_store(
    tmp_path: Path, url: str, shared: str | None
) -> None:
    where = Where(url, "0" * 32, str(tmp_path / "cache")) if url else None
    told = _orders(Job(toys.ToyCrawl(), Context(tmp_path / "run", where=where), 1), {"CPU": 1.0})
    assert told.shared == (tmp_path / shared if shared else None)
    assert told.modules == (("obstore",) if shared is None else ())


def test_without_workers_units_run_in_the_driver_for_a_debugger(tmp_path: Path) -> None:
    job = Job(toys.ToyCrawl(), Context(tmp_path), 0, machine=Machine(executor="ray", address="10.255.255.1:1"))
    assert [result.status for _, result in RayExecutor(job).results(iter([(0, Unit("a", {}))]))] == [OK]


def test_ray_is_imported_by_nobody_who_did_not_ask_for_it() -> None:
    code = "import pipeline.cli.run, pipeline.engine.executors.on_ray, sys; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
