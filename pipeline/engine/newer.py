"""What a newer version of the product would do again, as it is told: of a stage, and of the reader of files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.base.progress import duration
from pipeline.engine.old_rows import OldRows, kept_key, told_key
from pipeline.media import readers


@dataclass(frozen=True)
class Upgrade:
    """What a newer version of one stage would do again.

    Attributes:
        stage: its name.
        old: versions by which the results were made.
        new: today's.
        units: results that would stand but for it.
        seconds: of work that they took.
        defaults: {"judge.min_speech_share": 0.5}: what the profile said before, where it says something else now.
        fetched: the stage asks the network, and its results stay whatever is said.
    """

    stage: str
    old: tuple[int, ...]
    new: int
    units: int
    seconds: float
    defaults: Mapping[str, Any]
    fetched: bool

    @property
    def asks(self) -> bool:
        """Whether the user has to say what is to become of it."""
        return not self.fetched

    def marks(self, *, keep: bool) -> dict[str, int]:
        """What is remembered of it in `Chosen.kept`, once that was said."""
        return {self.stage: self.new} if keep or self.fetched else {}

    def __str__(self) -> str:
        made = ", ".join(map(str, self.old))
        why = (
            f"version {made} -> {self.new}"
            if self.old != (self.new,)
            else f"new defaults of {', '.join(self.defaults)}"
        )
        took = f"{self.seconds / 3600:.2g} hours ({duration(self.seconds)})"
        if self.fetched:
            return f"{why}: {self.units:,} units were fetched before and stay as they are: no upgrade fetches again"
        return f"{why}: {self.units:,} finished units would be done again; they took {took}"


@dataclass(frozen=True)
class NewReader:
    """What a newer reader would look at again, of the files that a stage looked at; nothing is fetched for it.

    Attributes:
        stage: its name.
        old: the rows of older readers.
        seconds: of work that those took which can be read again, with all else that was done for them then.
    """

    stage: str
    old: OldRows
    seconds: float
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of a profile: never the reason

    @property
    def asks(self) -> bool:
        """Whether the user has to say what is to become of it."""
        return bool(self.old.at)

    def marks(self, *, keep: bool) -> dict[str, int]:
        """What is remembered of it in `Chosen.kept`, once that was said."""
        told = {told_key(self.stage): readers.READER_VERSION} if self.old.away else {}
        return {kept_key(self.stage): readers.READER_VERSION} if keep else told

    def __str__(self) -> str:
        took = f"{self.seconds / 3600:.2g} hours ({duration(self.seconds)})"
        again = (
            f"{len(self.old.at):,} would be read again from disk, nothing is fetched, and what comes out as before leaves all "
            f"that was made of it; to crawl them took {took}"
        )
        away = f"{self.old.away.total():,} cannot be read again, and their rows stay ({self.old.why})"
        return (
            f"{self.old}: {'; '.join(part for part, there in ((again, self.old.at), (away, self.old.away)) if there)}"
        )
