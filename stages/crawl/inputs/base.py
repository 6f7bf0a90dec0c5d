"""What `crawl.input` may name: one class for each kind, with what the crawl asks of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.base.units import Row
from pipeline.engine.stage import Context, Reads
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.tables.store import Store
    from stages.crawl.worker import Worker


class Input(ABC):
    """One kind of input.

    Attributes:
        description: what to set `crawl.input` to.
        reads: the tables that its rows depend on, if any.
        text: the setting.
    """

    description: ClassVar[str]
    reads: ClassVar[tuple[Reads, ...]] = ()

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    @abstractmethod
    def matches(cls, text: str) -> bool:
        """Whether a setting names this kind."""

    @abstractmethod
    def units(self, store: "Store") -> list[str] | None:
        """Ids of its units, or None where they are the rows of the first table read."""

    def refused(self) -> Mapping[str, str]:
        """Of its units, those that can only be refused, such as bad lines of a list: {unit: why}."""
        return {}

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        """Hold open, in the driver, what its rows need; yields what becomes `Context.given` of the workers."""
        yield {}

    @abstractmethod
    def row(self, unit: Unit, worker: "Worker") -> Row:
        """The row of `videos` for a unit. Raises Reject, Failure and OSError."""
