"""Judge: who is kept. Thresholds over stored measures, every reason named, people's overrides honoured."""

from typing import Any, ClassVar

from pipeline.engine.overrides import read_overrides
from pipeline.engine.stage import Reads, Resources, Stage
from stages.judge.copies import COPIES
from stages.judge.settings import CHECKS, MEASURES, JudgeSettings

__all__ = ["CHECKS", "Judge"]


class Judge(JudgeSettings, Stage):
    """Thresholds over stored measures. A null measure is listed, not held against a person.

    In a clip of a manifest everyone but the person that the manifest is matched to is dropped, whatever the thresholds.
    """

    name: ClassVar[str] = "judge"
    version: ClassVar[int] = 2
    in_columns: ClassVar[bool] = True
    summary: ClassVar[str] = "thresholds over stored measures: who is kept, and every reason against the others"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("persons", ("person_id", "clip_id", "video_id")),
        *MEASURES,
        Reads("twins", COPIES),
    )
    writes: ClassVar[str] = "verdicts"
    resources: ClassVar[Resources] = Resources(one_worker=True)

    def result_settings(self) -> dict[str, Any]:
        """The settings, and the decisions of the overrides file: a note of `unsure` makes nothing new."""
        decisions = [vars(override) for override in read_overrides(self.overrides) if override.decides]
        return {**super().result_settings(), "overrides": decisions}
