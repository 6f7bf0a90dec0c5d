"""Rate and time left of a job, from all that was done since it began."""

from dataclasses import dataclass

MOST_UNDER_WAY = 0.98  # of what is left: the last unit is not done before it is
FIRST_SECONDS = 2.0  # before them nothing is known


@dataclass
class Estimate:
    """How far a job is.

    Attributes:
        total: what there is to do: seconds of video where units have any, else units.
        done: how much of it is done.
        passes: seconds of video read for one of `total`, as the units that are done tell; None where nothing tells.
    """

    total: float
    done: float = 0.0
    passes: float | None = None

    def learn(self, seconds_read: float) -> None:
        """Take in how many seconds of video were read for the units that are done."""
        if self.done and seconds_read:
            self.passes = seconds_read / self.done

    def share(self, under_way: float = 0.0) -> float:
        """0 to 1: how much is done, with the seconds of video read for units that are not done yet."""
        if not self.total:
            return 0.0
        begun = under_way / self.passes if self.passes else 0.0
        return (self.done + min(begun, MOST_UNDER_WAY * (self.total - self.done))) / self.total

    def left(self, seconds: float, under_way: float = 0.0) -> float | None:
        """Seconds left after so many; None where nothing tells."""
        share = self.share(under_way)
        return seconds * (1 - share) / share if share and seconds >= FIRST_SECONDS else None
