"""What nets guess from a speaker's face: gender, age, ethnicity, emotion, and a vector of whose face it is."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.media.moments import STILL
from stages.attributes.settings import AttributesSettings, Names

log = logging.getLogger(__name__)


class Attributes(AttributesSettings, Stage):
    """Looks at a few sharp frontal frames of every sample; a row each, with nulls where no frame will do or a net is missing.

    What such estimates are worth: they say how a net trained on photographs of other people labels a face, and are meant for
    statements about a whole data set, as in the paper's figure 2b. They do not tell who somebody is, holds to be or feels. They
    are wrong more often for some groups than for others, ages are pulled to the middle, ethnicity is a choice of six words, and
    the emotion of a speaking face is mostly the shape of its mouth. Agreement says how steady a net is, not how right. Nothing is
    judged by them, and `release` leaves them out. The vector of the face serves to find samples of the same speaker; it stays in
    the run's tables.
    """

    name: ClassVar[str] = "attributes"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "gender, age, ethnicity, emotion and identity, as nets see them in a few frontal frames"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads(
            "samples",
            ("person_id", "clip_id", "video_id", "frames", "keypoints", "scores", "video", "video_sha256"),
        ),
        Reads("videos", ("footage",)),
    )
    writes: ClassVar[str] = "attributes"
    unit: ClassVar[str] = "person_id"
    keeps_pictures: ClassVar[tuple[str, ...]] = (STILL,)
    resources: ClassVar[Resources] = Resources(seconds=600, memory_gb=12, gpu=True, served=True)

    def optional_model_names(self) -> tuple[Names, ...]:
        return tuple(self.wanted().values())

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        """Say once what is left out."""
        for attribute, names in self.wanted().items():
            if context.models is not None and context.models.optional(names) is None:
                log.warning("%s is left out: %s", attribute, context.models.advice(names))
        yield {}
