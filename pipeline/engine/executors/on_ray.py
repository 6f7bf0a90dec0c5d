"""The executor on Ray: actors of a cluster hold a worker each (`seat`), and a crew schedules the units over them (`crew`).

Only this file and `link` know of Ray. Stages that wait for the network, write shared files or look at the whole run are run
beside the driver, by the local executor.
"""

import itertools
import logging
import pickle
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pipeline.base.progress import tell
from pipeline.base.pulse import Beats, Remote
from pipeline.base.reasons import Reason
from pipeline.engine.devices import cores
from pipeline.engine.executors.alike import differences, folders_of_code, installed
from pipeline.engine.executors.crew import Crew, Ended, Event, Lost, Mislaid, Ready, Returned, Unfit
from pipeline.engine.executors.executor import Job, Result, Results, Units
from pipeline.engine.executors.limits import SETUP_SECONDS
from pipeline.engine.executors.link import Link, joined
from pipeline.engine.executors.local import LocalExecutor
from pipeline.engine.executors.parcel import packed, unpacked
from pipeline.engine.executors.seat import Orders, Report, Seat, module_path
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.storage import DiskStorage, opened
from pipeline.tables.outcome import FAILED

SLACK_SECONDS = 120.0  # beyond a unit's own limit, which its seat watches
ROOM_SECONDS = 5.0  # between two looks at what the cluster has
LOOK_SECONDS = 2.0  # between two looks at what a worker in the middle of a unit has counted
LOOKS = 16  # workers that are asked at a time
MEMORY_SHARE = (
    0.25  # of its limit, what a worker is promised: limits are for the worst file, and few meet one at a time
)
WORDS = 300  # characters of what Ray says of an error
_STORE = "obstore"  # the module by which nodes reach a store
_MEMORY_KILLS = ("low on memory", "out of memory", "OutOfMemory")  # of its memory monitor
_numbers = itertools.count(1)  # of workers

log = logging.getLogger(__name__)


class RayExecutor:
    """Runs units of one stage on a cluster."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def results(self, units: Units) -> Results:
        """Yield (index, result) in the order in which units end. Closing the generator stops the workers at once."""
        if self.job.workers == 0 or stays(self.job):
            yield from LocalExecutor(self._beside()).results(units)
            return
        job = self.job
        cluster = RayCluster(joined(job.machine.address, cores()), job)
        limit = job.stage.resources.seconds + SETUP_SECONDS + SLACK_SECONDS
        crew = Crew(cluster, units, job.workers, limit, job.stage.name)
        try:
            yield from crew.results(job.stopping)
        finally:
            crew.close()

    def _beside(self) -> Job:
        """The job on this machine: as many workers as a cluster may have are too many for it."""
        wanted = self.job.workers
        return self.job if self.job.stage.resources.network else replace(self.job, workers=min(wanted, cores()))


def stays(job: Job) -> bool:
    """Whether a job's units are run beside the driver.

    With a storage nodes may share no disk with it, and a stage that needs more of the run's folder than lies there has to stay.
    """
    needs = job.stage.resources
    return needs.network or needs.one_worker or needs.driver_disk or (needs.run_files and bool(job.machine.storage))


@dataclass
class _Call:
    """What an answer of an actor is awaited for."""

    what: str  # "report", "run", "beats" or "end"
    worker: int
    units: Sequence[int] = ()


class RayCluster:
    """A cluster of Ray, as a crew sees it: its workers are actors of one stage.

    Args:
        link: to the cluster.
        job: whose stage they run.
    """

    def __init__(self, link: Link, job: Job) -> None:
        self.link, self.job = link, job
        self._ray = link.ray
        self._needs = _needs(link, job)
        self._kind = self._ray.remote(concurrency_groups={"pulse": 1})(Seat)
        self._fixed = self._options()
        self._orders = self._ray.put(_orders(job, self._needs))
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, _Call] = {}
        self._hosts: dict[int, str] = {}
        self._given: Counter[int] = Counter()  # calls with units that each worker has
        self._look_at: dict[int, float] = {}  # when to look what a worker at a unit has counted
        self._room, self._room_asked = 0, float("-inf")
        self._installed = installed()
        self._pulse = Remote(job.context.pulse)

    def now(self) -> float:
        return time.monotonic()

    def room(self) -> int:
        """How many workers fit on the nodes that are there, by what a worker needs."""
        if self.now() - self._room_asked > ROOM_SECONDS:
            self._room_asked = self.now()
            alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._room = sum(_fit(resources, self._needs) for resources in alive)
        return self._room

    def hire(self) -> int:
        worker = next(_numbers)
        # By this name Ray's dashboard and `ray list actors` show it; a name is of one actor at a time.
        actor = self._kind.options(name=f"{self.job.stage.name}-{worker}", **self._fixed).remote(self._orders)
        self._actors[worker] = actor
        self._calls[actor.report.remote()] = _Call("report", worker)
        return worker

    def send(self, worker: int, units: Mapping[int, Unit]) -> None:
        parcels = [packed(unit.carrying_rows()) for unit in units.values()]
        self._given[worker] += 1
        self._look_at.setdefault(worker, self.now() + LOOK_SECONDS)
        self._calls[self._actors[worker].run.remote(parcels)] = _Call("run", worker, tuple(units))

    def dismiss(self, worker: int) -> None:
        if worker in self._actors:  # else its end was heard of already
            self._ray.kill(self._actors[worker])
            self._drop(worker)

    def wait(self, seconds: float) -> Sequence[Event]:
        self.link.check()
        calls = list(self._calls)
        if not self._hosts:
            tell(f"waiting for a node with {_in_words(self._needs)}")
        if not calls:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        if not done:
            done, _ = self._ray.wait(calls, num_returns=1, timeout=seconds)
        self._look()
        return [event for ref in done for event in self._event(ref)]

    def _options(self) -> dict[str, Any]:
        """Of the actors: a lost one is the crew's affair, which knows what it was at."""
        machine = self.job.machine
        options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "num_cpus": self._needs["CPU"]}
        options |= {"num_gpus": self._needs["GPU"]} if "GPU" in self._needs else {"num_gpus": 0}
        options |= {"memory": int(self._needs["memory"])} if "memory" in self._needs else {}
        if machine.ship_code:
            options["runtime_env"] = {"py_modules": [str(folder) for folder in folders_of_code()]}
        return options

    def _event(self, ref: Any) -> Iterator[Event]:
        call = self._calls.pop(ref, None)
        if call is None or call.worker not in self._actors:  # of one that is gone
            return
        try:
            answer = self._ray.get(ref)
        except Exception as error:  # noqa: BLE001 - Ray raises errors of many kinds, and what we do not know is a lost unit
            yield from self._trouble(call, error)
            return
        if call.what == "report":
            yield self._reported(call.worker, answer)
        elif call.what == "run":
            parcels, beats = answer
            self._given[call.worker] -= 1
            self._heard(call.worker, beats)
            for index, parcel in zip_longest(call.units, parcels):
                yield Returned(call.worker, index) if parcel is None else Ended(call.worker, index, unpacked(parcel))
        elif call.what == "beats":
            self._heard(call.worker, answer)

    def _reported(self, worker: int, told: Report) -> Event:
        """Whether a worker may begin."""
        stage, context = self.job.stage, self.job.context
        host = self._hosts[worker] = told.host
        if unlike := differences(self._installed, told.installed):
            return Unfit(worker, f"{host} is not as this machine: {unlike}; install the same there")
        if told.lacking:
            extra = "storage" if told.lacking == [_STORE] else stage.extra
            return Unfit(worker, f"{host} has no {', '.join(told.lacking)}: its extra {extra} is missing there")
        if not told.sees_shared:
            advice = "nodes share it, at the same path, or machine.storage names a bucket"
            return Unfit(worker, f"{host} does not see {_shared(context)}: {advice}")
        if self._needs.get("GPU") and not told.gpus:
            return Unfit(worker, f"Ray says that {host} has a GPU, and no driver of one is there")
        log.info("a worker of %s answered on %s", stage.name, host)
        tell("")
        return Ready(worker)

    def _trouble(self, call: _Call, error: Exception) -> Iterator[Event]:
        """What an error of Ray's means: the actor died, cannot be reached, cannot be made, or an answer was lost."""
        errors = self._ray.exceptions
        words = " ".join(str(error).split())
        if isinstance(error, errors.ActorUnavailableError):
            self._make_sure(call.worker)
        elif isinstance(error, errors.RuntimeEnvSetupError) or getattr(error, "actor_init_failed", False):
            self._drop(call.worker)
            yield Unfit(
                call.worker, f"a node cannot run csg405: {_end_of(words)}; install it there, or machine.ship_code=true"
            )
        elif isinstance(error, errors.RayActorError | errors.OutOfMemoryError | errors.NodeDiedError):
            reason = Reason.OUT_OF_MEMORY if any(sign in words for sign in _MEMORY_KILLS) else Reason.CRASHED
            where = self._hosts.get(call.worker, "a node")
            self._drop(call.worker)
            yield Lost(call.worker, reason, f"{where}: {_why(words)}")
        elif call.what == "run":
            self._given[call.worker] -= 1
            yield from (self._unheard(call, index, error, words) for index in call.units)

    def _unheard(self, call: _Call, index: int, error: Exception, words: str) -> Event:
        """What becomes of a unit of a call that did not come to an end; of several together, each is tried alone."""
        if not isinstance(error, self._ray.exceptions.RayTaskError):
            return Mislaid(call.worker, index, f"{type(error).__name__}: {words[:WORDS]}")
        if len(call.units) > 1:
            return Returned(call.worker, index)
        return Ended(call.worker, index, Result(FAILED, Reason.EXCEPTION.code, _end_of(words)))

    def _make_sure(self, worker: int) -> None:
        """End an actor that cannot be reached, and ask until its end is known: its unit may still be under way until then."""
        self._ray.kill(self._actors[worker])
        self._calls[self._ask_beats(worker)] = _Call("end", worker)

    def _heard(self, worker: int, beats: Beats) -> None:
        """Show what a worker has counted, and look again, as long as it has a unit."""
        self._pulse.write(worker, beats)
        self._look_at.pop(worker, None)
        if self._given[worker]:
            self._look_at[worker] = self.now() + LOOK_SECONDS

    def _look(self) -> None:
        """Ask workers that are long at a unit what they have counted; results bring it with them."""
        now = self.now()
        for worker in [worker for worker, then in self._look_at.items() if then < now][:LOOKS]:
            del self._look_at[worker]
            self._calls[self._ask_beats(worker)] = _Call("beats", worker)

    def _ask_beats(self, worker: int) -> Any:
        return self._actors[worker].beats.options(concurrency_group="pulse").remote()

    def _drop(self, worker: int) -> None:
        del self._actors[worker], self._given[worker]
        self._look_at.pop(worker, None)
        self._pulse.end(worker)


def _needs(link: Link, job: Job) -> dict[str, float]:
    """What a worker asks of its node, by Ray's names. On this machine alone memory is shared as the local executor does it."""
    machine, stage = job.machine, job.stage.resources
    needs = {"CPU": machine.worker_cpus}
    if not link.own:
        needs["memory"] = stage.memory_gb * MEMORY_SHARE * 2**30
    has_gpus = link.ray.cluster_resources().get("GPU", 0) > 0
    if stage.gpu and (machine.device == "cuda" or (machine.device == "auto" and has_gpus)):
        needs["GPU"] = machine.worker_gpus
    elif stage.gpu and machine.device == "auto" and not link.own:
        log.warning(
            "no node has a GPU now: nets of %s run on processors; machine.device=cuda waits for one", job.stage.name
        )
    return needs


def _in_words(needs: Mapping[str, float]) -> str:
    shown = [f"{count / 2**30:.2g} GiB" if what == "memory" else f"{count:g} {what}" for what, count in needs.items()]
    return ", ".join(shown)


def _fit(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many workers fit on a node."""
    return min(int(resources.get(what, 0.0) / each + 1e-9) for what, each in needs.items())


def _orders(job: Job, needs: Mapping[str, float]) -> Orders:
    """What a worker is told: all that it needs of the driver, by value."""
    context = replace(
        job.context,
        run=job.context.run.absolute(),
        device="cuda" if "GPU" in needs else "cpu",
        threads=max(1, int(needs["CPU"])),
        pulse=None,
    )
    work = pickle.dumps((job.stage, context), protocol=pickle.HIGHEST_PROTOCOL)
    shared, seconds = _shared(context), job.stage.resources.seconds
    modules = (*job.stage.needed_modules(), *(() if shared else (_STORE,)))
    return Orders(work, seconds, shared, modules, dict(job.nets), module_path())


def _shared(context: Context) -> Path | None:
    """The folder that nodes must see as the driver does: of the run's files. None where these lie in a store."""
    if context.where is None:
        return context.run
    place = opened(context.where)
    return place.run if isinstance(place, DiskStorage) else None


def _end_of(words: str) -> str:
    """The end of a long error of Ray's, where the cause stands."""
    return words if len(words) <= WORDS else f"...{words[-WORDS:]}"


def _why(words: str) -> str:
    """Why an actor died, in Ray's words without its ids."""
    for begins in ("The actor is dead because", "The actor died because", "the actor's node was terminated"):
        _, found, rest = words.partition(begins)
        if found:
            return f"{begins}{rest}"[:WORDS]
    return words[:WORDS]
