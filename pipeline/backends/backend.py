"""The interface of a back-end adapter."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.geometry import rate_of, size_of
from pipeline.backends.job import Job, Options, Plan, View
from pipeline.base.arrays import Picture


@dataclass(frozen=True)
class Cut:
    """Where a back-end's program is cut in two, so that it opens its weights once for many clips.

    Attributes:
        within: the function whose statements they are; "" for those below `if __name__ == "__main__"`.
        opened: the name whose last assignment there ends what is run once.
        again: names before it that are assigned anew for every clip, such as its arguments.
    """

    within: str
    opened: str
    again: tuple[str, ...]


class Backend(ABC):
    """A pose-to-video back-end: how its inputs are written, its command line, and how its output is read.

    Attributes:
        name: as users write it.
        source: where its checkout comes from; "" when there is none.
        needed: files by which its checkout is known.
        weights: its own name of each file or folder of weights -> where upstream's readme puts it, from the checkout.
        hub: those of them that may be the id of a hosted model.
        hosted: Hugging Face id from which its readme takes them, where it is one.
        step: sides of its films are multiples of it, px.
        fps: pictures a second of its films by default.
        cut: of its program, whose command is then the interpreter, the program and arguments; None where each clip takes a process.
    """

    name: ClassVar[str]
    source: ClassVar[str] = ""
    needed: ClassVar[tuple[str, ...]] = ()
    weights: ClassVar[dict[str, str]] = {}
    hub: ClassVar[frozenset[str]] = frozenset()
    hosted: ClassVar[str] = ""
    step: ClassVar[int]
    fps: ClassVar[int]
    cut: ClassVar[Cut | None] = None

    def check(self, options: Options) -> None:
        """Check the options, whatever the job; raises BackendError (BAD_JOB)."""
        if options.size:
            size_of(options.size, self.step)
        rate_of(options.fps, self.fps)
        self.weights_of(options)

    def weights_of(self, options: Options) -> dict[str, str]:
        """Its weights by its names for them, as the options place them; BackendError (BAD_JOB) for a name that it has not."""
        unknown = [name for name in options.weights if name not in self.weights]
        if unknown:
            known = ", ".join(self.weights) or "none"
            raise BackendError(Trouble.BAD_JOB, f"{self.name} has no weights called {unknown[0]!r}: {known}")
        return {**self.weights, **options.weights}

    @abstractmethod
    def view(self, job: Job, options: Options) -> View:
        """What its film will show. Raises BackendError (BAD_JOB) for sizes and rates that it does not know."""

    @abstractmethod
    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        """Write the inputs into the empty folder `work`; returns the command, () when nothing is to be run."""

    @abstractmethod
    def collect(self, job: Job, plan: Plan) -> Iterator[Picture]:
        """Its pictures (h, w, 3) RGB, from the first; raises BackendError where they are missing or cannot be read."""
