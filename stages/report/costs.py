"""What a run cost: seconds by stage, and what comes to one hour that was kept."""

from dataclasses import dataclass

from stages.report.gather import RunTables

_DAY = 86_400


@dataclass(frozen=True)
class Cost:
    """A stage's units by status, and the seconds of the attempts that count.

    Attributes:
        wall, processor, gpu: seconds; wall as workers counted it, so two at a time count twice.
    """

    name: str
    ok: int
    rejected: int
    failed: int
    wall: float
    processor: float
    gpu: float


@dataclass(frozen=True)
class Costs:
    """All stages, and sums.

    Attributes:
        kept_hours: of clips that were kept.
        footage_a_day: hours of footage that the whole chain works through in a day of one processor; None before anything ran.
    """

    stages: list[Cost]
    total: Cost
    kept_hours: float
    footage_a_day: float | None

    def per_hour(self, seconds: float) -> float | None:
        """Seconds for each hour that was kept; None where nothing was."""
        return seconds / self.kept_hours if self.kept_hours else None


def costs(tables: RunTables) -> Costs:
    """The cost of a run, by stage in the order of its tables."""
    stages = []
    for name, rows in tables.outcomes.groupby("stage", sort=False):
        counts = rows["status"].value_counts()
        numbers = [int(counts.get(status, 0)) for status in ("ok", "rejected", "failed")]
        seconds = [float(rows[f"{what}_seconds"].fillna(0).sum()) for what in ("wall", "cpu", "gpu")]
        stages.append(Cost(str(name), *numbers, *seconds))
    sums = [sum(getattr(stage, field) for stage in stages) for field in list(Cost.__dataclass_fields__)[1:]]
    total = Cost("all", *sums)
    footage = float(tables.videos["duration_seconds"].sum()) / 3600
    a_day = footage * _DAY / total.processor if total.processor else None
    return Costs(stages, total, float(tables.kept["seconds"].sum()) / 3600, a_day)
