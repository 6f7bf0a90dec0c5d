"""Which samples show the same person, by the likeness of their faces over the whole run."""

from typing import ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from stages.speakers.settings import LIKENESS, SpeakersSettings

__all__ = ["LIKENESS", "Speakers"]


class Speakers(SpeakersSettings, Stage):
    """Groups the face vectors of all samples; a row each. A sample without a vector has no speaker.

    A speaker is a label within this run and nothing else: no names and no other data sets are looked up. Groups are as good as
    the net that made the vectors. Strangers who look alike may be one speaker; somebody with another beard, other glasses or
    twenty years more may be two. Nets tell people of some groups apart worse than of others: on the real clips of the tests
    MobileFaceNet gives 0.57 to 0.97 for one person and up to 0.37 for two, the highest of them for men of like complexion.
    """

    name: ClassVar[str] = "speakers"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "samples of the same person, by their faces"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("attributes", ("person_id", "clip_id", "video_id", "identity")),)
    writes: ClassVar[str] = "speakers"
    extra: ClassVar[str] = "speakers"
    modules: ClassVar[tuple[str, ...]] = ("faiss",)
    resources: ClassVar[Resources] = Resources(seconds=6 * 3600, memory_gb=16, one_worker=True)
