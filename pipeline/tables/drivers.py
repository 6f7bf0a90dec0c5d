"""Who is at work on a run, as heartbeats and locks say; for commands that look and never wait."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.text import printable
from pipeline.tables import heartbeat
from pipeline.tables.heartbeat import SUFFIX as _ENDING
from pipeline.tables.lock import Occupied, held_here


@dataclass(frozen=True)
class Driver:
    """A process that writes a table.

    Attributes:
        writes: the kind, or the shard of it: `videos`, `videos.0-of-2`.
        since: when it began; None where an older version beats.
        seen: its last sign of life, by its own clock.
    """

    writes: str
    pid: int
    host: str
    since: datetime | None
    seen: datetime

    @property
    def kind(self) -> str:
        """The table kind, whatever the shard."""
        return self.writes.partition(".")[0]


def drivers(run: Path) -> list[Driver]:
    """Drivers that are alive: on this machine they hold their lock, on another one their heartbeat is fresh by the disk's clock.

    A heartbeat that says nothing of the kind is told on standard error and passed over: it hides no other driver.
    """
    found = []
    for path in sorted((run / "locks").glob(f"*{_ENDING}")):
        beat, name = files.read_object(path), path.name.removesuffix(_ENDING)
        try:
            known = _driver(name, beat) if beat else None  # it ended as we looked, or was cut short
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            sys.stderr.write(f"no heartbeat of a driver, and passed over: {printable(str(path))}\n")
            continue
        if known and _alive(run, known, path):
            found.append(known)
    return found


def _driver(name: str, beat: dict[str, Any]) -> Driver:
    """Raises KeyError, TypeError, ValueError, OverflowError and OSError where a heartbeat was damaged, or is from elsewhere."""
    since = beat.get("since")
    return Driver(
        name,
        int(beat["pid"]),
        str(beat.get("host")),
        None if since is None else datetime.fromtimestamp(since, UTC),
        datetime.fromtimestamp(beat["time"], UTC),
    )


def _alive(run: Path, driver: Driver, path: Path) -> bool:
    if heartbeat.from_elsewhere(path):
        return _fresh(path)
    try:
        return held_here(run, driver.writes)
    except (OSError, Occupied):  # a disk that is read only takes no lock, or many processes are starting
        return _fresh(path)


def _fresh(path: Path) -> bool:
    try:
        return abs(heartbeat.seen_by_the_disk(path)) < heartbeat.BEATS_MISSED * heartbeat.BEAT_SECONDS
    except OSError:  # it ended as we looked
        return False
