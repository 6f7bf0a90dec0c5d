"""What a stage is: settings, declared inputs and outputs, and a worker that turns a unit into rows."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pipeline.base.units import Row
from pipeline.engine.settings import Settings
from pipeline.engine.unit import Unit
from pipeline.storage import Storage, Where, divided, storage_of

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.nets.server.wire import Address
    from pipeline.registry.models import Registry
    from pipeline.sources.web.settings import Web
    from pipeline.tables.opt_out import OptOut
    from pipeline.tables.store import Store

ALL = "all"  # the unit of a stage that looks at the whole run at once


@dataclass(frozen=True)
class Reads:
    """A table kind that a stage reads, and the columns whose content its result depends on.

    Attributes:
        kind: name of the table kind.
        columns: what `Unit.rows` yields (beside the ids, which are always there), and what the fingerprint hashes.
        where: a boolean column that must be true for a row to be read, or "".
    """

    kind: str
    columns: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True)
class Resources:
    """Limits of one unit, and what a worker needs.

    Attributes:
        seconds: wall time after which a unit is stopped.
        memory_gb: private memory of a worker process, in GiB.
        gpu: the stage can use a GPU.
        served: its workers open nets of `Context.net_server` where there is one.
        one_worker: the stage writes shared files, or is too small to be worth more than one process.
        network: the stage waits for the network: as many workers as `web.connections`, not one a core.
        driver_disk: workers read files that only the driver's machine has, such as an archive that it unpacked.
        run_files: workers read or write files of the run's folder that do not lie in its storage, such as an evaluation's films.
        preload: what workers import late, or at length, beside the modules at the top of the stage's own: imported once, by the
            server that workers are forked from. None of it may start a thread.
    """

    seconds: float = 600.0
    memory_gb: float = 8.0
    gpu: bool = False
    served: bool = False
    one_worker: bool = False
    network: bool = False
    driver_disk: bool = False
    run_files: bool = False
    preload: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a worker is told beside its settings; nothing in it may change results.

    Attributes:
        run: the run's folder.
        device: "cpu" or "cuda".
        threads: processor threads that this worker may use.
        wanted_pictures: the kinds that stages are to come for (`Stage.wants_pictures`), kept by the one that has them in hand.
        gpu_share: how many GPUs this worker holds: less than one where others share its card, which would else be counted often.
        models: the model registry.
        given: what the stage's `driver` hook prepared (a server's address, say).
        web: how to go to the network; None outside a profile.
        opt_out: whose videos are left out; None outside a run.
        cache_gb: GiB that what stages decode once for all of them may take, on each machine.
        where: the run's storage, where that is no folder of it: a worker opens it without the run; None where the run itself says.
        net_server: which holds the nets of all workers of this machine; None where each opens its own.
        pulse: the folder in which workers on this machine count frames and bytes; None where nobody listens.
    """

    run: Path
    device: str = "cpu"
    threads: int = 1
    models: "Registry | None" = None
    given: Mapping[str, Any] = field(default_factory=dict)
    web: "Web | None" = None
    opt_out: "OptOut | None" = None
    pulse: Path | None = None
    where: Where | None = None
    cache_gb: float = 50.0
    gpu_share: float = 1.0
    net_server: "Address | None" = None
    wanted_pictures: frozenset[str] = frozenset()

    @property
    def storage(self) -> Storage:
        """Where raw videos, clips, previews and shards lie."""
        return storage_of(self.run) if self.where is None else divided(self.where, self.run)

    @property
    def nets(self) -> "Registry":
        """The model registry, of which a worker resolves its nets. RuntimeError where there is none, as outside a run."""
        if self.models is None:
            raise RuntimeError("a worker asks for nets, and its context has no model registry")
        return self.models


class Work(Protocol):
    """What does the work of a stage in a worker: it holds the nets and turns units into rows."""

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the unit's rows. Raise `Reject` for a result that is "no", `Failure` for none this time."""
        ...


@runtime_checkable
class WorkInColumns(Work, Protocol):
    """Work that has a unit's rows as a table as well: as dicts, 300,000 of them would take longer than to make them."""

    def table(self, unit: Unit) -> "pa.Table":
        """The rows of `process`, and its errors."""
        ...


class Stage(Settings):
    """A stage: settings, what it reads and writes, and the worker that turns a unit into rows."""

    reads: ClassVar[tuple[Reads, ...]] = ()
    writes: ClassVar[str]
    unit: ClassVar[str] = ALL  # a column of the first kind read, or ALL
    unchosen: ClassVar[str] = "held back by its gate"  # what is told of units that `choose` leaves out
    leaves: ClassVar[tuple[str, ...]] = ()  # files that `finish` writes, relative to the run, and no row names
    resources: ClassVar[Resources] = Resources()
    # Its rows, of `videos`, say how files are to be read, and which reader decided it.
    looks_at_files: ClassVar[bool] = False
    # It reads what is decoded once for all stages (`pipeline.engine.decoded`), which stays while such a stage is to come.
    reads_decoded: ClassVar[bool] = False
    # The kinds of pictures that it has in hand and keeps for stages that are to come.
    keeps_pictures: ClassVar[tuple[str, ...]] = ()
    # Its worker takes `Unit.table` in place of rows: as dicts, those of units that gather a run's people take gigabytes.
    in_columns: ClassVar[bool] = False

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        """For each net the stage needs, the registry names that will do, best first."""
        return ()

    def net_precision(self) -> str:
        """In which precision it wants the nets of `model_names`: "fp32", or "fp16" of those that are allowed it."""
        return "fp32"

    def wants_pictures(self) -> tuple[str, ...]:
        """The kinds of pictures that it reads where another stage kept them, as it is set: none that would not serve it."""
        return ()

    def sources(self, store: "Store") -> Iterable[str] | Mapping[str, str] | None:
        """Units that come from outside the tables (links, files), or None: units are what the first kind read holds.

        A mapping says of each unit what its own results depend on beside its name, or "": so one that changes, or comes, makes
        no other pending.
        """
        return None

    def look(self, store: "Store") -> None:
        """Look at what lies outside the tables, as far as `sources` needs to know it; called before a run, never for a status."""

    def refused(self, store: "Store") -> Mapping[str, str]:
        """Of the units from outside, those that `process` refuses at sight, such as bad lines of a list: {unit: why}."""
        return {}

    def empty_input(self) -> str:
        """What to tell the user when an input that they named holds no unit at all; "" where that is no mistake."""
        return ""

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        """The units worth doing among those that the tables hold; all of them unless a stage knows better."""
        return units

    def depends(self, store: "Store") -> str:
        """What else the results depend on, beside settings, nets and the columns read; part of every fingerprint."""
        return ""

    def driver(self, context: Context) -> AbstractContextManager[Mapping[str, Any]]:
        """Held open in the driver while units run; what it yields becomes `Context.given` of the workers."""
        return nullcontext({})

    def worker(self, context: Context) -> Work:
        """Open the nets, once a worker process, and return what processes units.

        It is what `open_worker` makes, of the module `worker` beside the declaration: that may import what is heavy, for nothing
        else imports it.
        """
        work: Work = import_module(f"{type(self).__module__}.worker").open_worker(self, context)
        return work

    def preloads(self) -> tuple[str, ...]:
        """The modules of `Resources.preload`, or fewer where workers of a stage that is set like this import none of them."""
        return self.resources.preload

    def finish(self, context: Context, store: "Store") -> None:
        """Called in the driver after the units, where the stage's rows or `leaves` are not those it last finished with."""


@runtime_checkable
class OptionalNets(Protocol):
    """A stage with nets without which it does less; where it needs none but has such, it wants at least one."""

    def optional_model_names(self) -> tuple[tuple[str, ...], ...]:
        """For each such net, the registry names that will do, best first."""
        ...


@runtime_checkable
class Grouping(Protocol):
    """A stage whose units no column names: it says itself which unit each row is of."""

    def group(self, tables: "Mapping[str, pa.Table]") -> list[str | None]:
        """The unit of each row of the first kind read; None leaves a row out.

        Args:
            tables: of every kind read, its light columns.
        """
        ...


def whole_run(stage: Stage) -> bool:
    """Whether a stage looks at all rows of the run at once, so that each new one makes it begin again."""
    return stage.unit == ALL and bool(stage.reads)


def undivided(stage: Stage) -> bool:
    """Whether shards cannot share a stage's units: it is one unit for the run, or its units must meet in one process."""
    return stage.resources.one_worker or (whole_run(stage) and not isinstance(stage, Grouping))


def chooses(stage: Stage) -> bool:
    """Whether a stage chooses among its units by what the tables hold."""
    return type(stage).choose is not Stage.choose


def table_part(stage: Stage, shard: tuple[int, int] | None) -> tuple[int, int] | None:
    """The part of a stage's table that shard (i, n) writes; None where that is the whole table."""
    return None if shard is None or shard[1] == 1 or (undivided(stage) and shard[0] == 0) else shard
