"""Is it one person throughout? Face vectors at several moments of a clip, for every person that the gate lets through."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.engine.gate import through
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.media.columns import PICTURE_COLUMNS
from pipeline.media.moments import FACES
from stages.same_face.settings import SameFaceSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store

log = logging.getLogger(__name__)


class SameFace(SameFaceSettings, Stage):
    """How much alike a person's faces are over the clip; a row each, with nulls where fewer than two moments show one.

    Tracks go by place and pose: at a dissolve, a wipe or a cut that `split` missed, one person can become another in them. What
    one person's faces come to differs from net to net, so the limit stands with the net in the registry (`same_person`), and
    `judge` looks at the margin over it. No vector of a face is stored.
    """

    name: ClassVar[str] = "same_face"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "whether it is one person throughout, by face vectors at several moments"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("persons", ("person_id", "clip_id", "video_id", "frames", "width", "height", "keypoints", "scores")),
        Reads("clips", ("first_frame", "frames")),
        Reads("videos", ("path", "sha256", "footage", *PICTURE_COLUMNS)),
    )
    writes: ClassVar[str] = "same_faces"
    unit: ClassVar[str] = "clip_id"
    resources: ClassVar[Resources] = Resources(seconds=600, memory_gb=4, gpu=True, served=True)

    def optional_model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.net,)

    def wants_pictures(self) -> tuple[str, ...]:
        return (FACES,)

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        passing = through(store, self.gate, "clip_id")
        return [unit for unit in units if unit in passing]

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        """Say once where a net has no limit."""
        file = context.models.optional(self.net) if context.models is not None else None
        if file is not None and file.entry.same_person is None:
            log.warning("nobody is judged by face_agreement: of %s no `same_person` is known", file.name)
        yield {}
