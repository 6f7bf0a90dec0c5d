"""The runs of a folder, a line each."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from pipeline.base.errors import UserError
from pipeline.engine.chosen import chosen_of, kept_of
from pipeline.engine.runs import runs_in
from pipeline.tables.drivers import Driver, drivers
from pipeline.tables.opt_out import of_run
from pipeline.tables.opt_out_seen import forgotten
from pipeline.tables.store import Store
from pipeline.views.overview import bytes_on_disk
from pipeline.views.vitals import kept_hours


@dataclass
class RunLine:
    """What a run is and holds.

    Attributes:
        input: the folder or list that it is made from; "" where the profile says.
        people, kept: who was judged, and who of them is kept; None where nobody was judged yet.
        kept_hours: of exported samples.
        bytes: on disk, as `status` counts them.
        changed: when something last wrote into it.
        drivers: who writes into it now.
        problem: why not everything could be read; "" where it could.
    """

    run: str
    profile: str = ""
    input: str = ""
    people: int | None = None
    kept: int | None = None
    kept_hours: float = 0.0
    bytes: int = 0
    changed: datetime | None = None
    drivers: list[Driver] = field(default_factory=list)
    problem: str = ""


def runs(folder: Path) -> list[RunLine]:
    """All runs directly below a folder, or the folder itself where it is one; what does not read hides no other run."""
    return [_line(run) for run in runs_in(folder)]


def _line(run: Path) -> RunLine:
    line = RunLine(str(run))
    try:
        line.changed, line.bytes = _changed(run), sum(bytes_on_disk(run).values())
        line.drivers = drivers(run)
        kept, chosen = kept_of(run), chosen_of(run)
        line.profile = chosen.name if chosen else str(kept.get("name", ""))
        line.input = (chosen.input or chosen.manifest) if chosen else ""
        out = of_run(run, str(kept.get("opt_out", "")))
        gone = forgotten(run, out)
        store = Store(run, out, damages={gone.path: gone} if gone else {})
        keep = store.read("verdicts", ["keep"])["keep"]
        if len(keep):
            line.people, line.kept = len(keep), int(pc.sum(keep).as_py() or 0)
        line.kept_hours = kept_hours(store)
        line.problem = "; ".join(map(str, (store.damages or {}).values()))
    except (UserError, OSError) as error:
        line.problem = str(error)
    return line


def _changed(run: Path) -> datetime | None:
    """When a command last wrote rows, logs or settings: looking, which touches locks, does not count."""
    written = [*_times(run.glob("*.toml")), *_times(run.glob("logs/*")), *_times(run.glob("tables/*/outcomes"))]
    return datetime.fromtimestamp(max(written), UTC) if written else None


def _times(paths: Iterable[Path]) -> list[float]:
    return [path.stat().st_mtime for path in paths]
