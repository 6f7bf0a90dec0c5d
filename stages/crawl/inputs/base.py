"""What `crawl.input` may name: one class for each kind, with what the crawl asks of it."""

from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pipeline.base.units import Row
from pipeline.engine.stage import Context, Reads
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.media.video import Probe
    from pipeline.tables.store import Store


class Fetcher(Protocol):
    """What an input makes its rows with.

    Attributes:
        run: the run's folder.
        given: what the input's `driver` prepared.
        left_out: videos of which nothing is written down.
    """

    run: Path
    given: Mapping[str, Any]
    left_out: Container[object]

    def probed(self, path: Path) -> "Probe":
        """What today's reader says of a file. Raises Reject, Failure."""
        ...

    def fetched(self, unit: str) -> Row:
        """The row of a link, downloaded unless an earlier try left its file. Raises Reject, Failure."""
        ...

    def downloaded(self, unit: str, url: str, allow_loopback: bool) -> Row:
        """The row of a download, verified and moved into the run. Raises Reject, Failure."""
        ...


class Input(ABC):
    """One kind of input.

    Attributes:
        description: what to set `crawl.input` to.
        reads: the tables that its rows depend on, if any.
        modules: packages without which it cannot be read; they come with the extra `web`.
        text: the setting.
    """

    description: ClassVar[str]
    reads: ClassVar[tuple[Reads, ...]] = ()
    modules: ClassVar[tuple[str, ...]] = ("yt_dlp",)

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    @abstractmethod
    def matches(cls, text: str) -> bool:
        """Whether a setting names this kind."""

    @abstractmethod
    def units(self, store: "Store") -> list[str] | Mapping[str, str] | None:
        """Ids of its units (see `Stage.sources`), or None where they are the rows of the first table read."""

    def look(self, store: "Store") -> None:  # noqa: B027 - most inputs have nothing to look at
        """Look at its files before they are planned, and say what happened to them."""

    def left_out(self) -> str:
        """What lies beside its units and becomes none, in a line; "" where there is nothing."""
        return ""

    def nothing(self) -> str:
        """The line for an input that has no units."""
        return f"crawl.input: {self.text} holds nothing to crawl"

    def refused(self) -> Mapping[str, str]:
        """Of its units, those that can only be refused, such as bad lines of a list: {unit: why}."""
        return {}

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        """Hold open, in the driver, what its rows need; yields what becomes `Context.given` of the workers."""
        yield {}

    @abstractmethod
    def row(self, unit: Unit, worker: Fetcher) -> Row:
        """The row of `videos` for a unit. Raises Reject, Failure and OSError."""
