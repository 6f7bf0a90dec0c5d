"""What nets guess from a speaker's face: gender, age, ethnicity, emotion, and a vector of whose face it is."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.base.arrays import Picture
from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

# OpenCV and decoders are imported where they are used: a run with nothing to do must not wait for them.
if TYPE_CHECKING:
    from pipeline.nets.face.attributes import Attribute, AttributeNet
    from pipeline.nets.face.faces import Choice
    from pipeline.nets.face.identity import IdentityNet
    from pipeline.nets.session import Device

log = logging.getLogger(__name__)

Names = tuple[str, ...]
_GUESSES: "tuple[Attribute, ...]" = ("gender", "age", "ethnicity", "emotion")
_IDENTITY = "identity"


@dataclass(frozen=True)
class Look:
    """A face in one frame: (224, 224, 3) upright, (112, 112, 3) aligned, RGB."""

    upright: Picture
    aligned: Picture


class Attributes(Stage):
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
    resources: ClassVar[Resources] = Resources(seconds=600, memory_gb=12, gpu=True)

    gender: Names = Field(("deepface_gender",), description="nets in the model registry, best first; () leaves it out")
    age: Names = Field(("deepface_age",), description="likewise")
    ethnicity: Names = Field(("deepface_ethnicity",), description="likewise")
    emotion: Names = Field(("deepface_emotion",), description="likewise")
    identity: Names = Field(
        ("deepface_identity", "mobilefacenet"), description="likewise; () leaves out whose face it is, and `speakers`"
    )
    frames: int = Field(5, ge=1, le=100, description="frames that are looked at, spread over the clip")
    candidate_frames: int = Field(4, ge=1, description="frontal frames of which each of them is the sharpest")
    max_yaw_degrees: float = Field(30.0, gt=0, le=90, description="turn of the head from the camera")
    min_face_score: float = Field(0.3, ge=0, le=1, description="mean score of the face's keypoints, and of each used")
    min_face_px: float = Field(24.0, ge=1, description="from the brows to the chin, pixels of the clip")
    batch: int = Field(16, ge=1, description="faces a run of a net", json_schema_extra=runtime())

    _context: Context = PrivateAttr()
    _nets: "dict[Attribute, AttributeNet]" = PrivateAttr(default_factory=dict)
    _identity: "IdentityNet | None" = PrivateAttr(default=None)
    _footage: dict[str, str] = PrivateAttr(default_factory=dict)  # net -> the only footage it can see

    def optional_model_names(self) -> tuple[Names, ...]:
        return tuple(names for _, names in self._wanted())

    def _wanted(self) -> "list[tuple[str, Names]]":
        return [(name, getattr(self, name)) for name in (*_GUESSES, _IDENTITY) if getattr(self, name)]

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        """Say once what is left out."""
        for name, names in self._wanted():
            if context.models is not None and context.models.optional(names) is None:
                log.warning("%s is left out: %s", name, context.models.advice(names))
        yield {}

    def setup(self, context: Context) -> None:
        from pipeline.nets.face.attributes import AttributeNet
        from pipeline.nets.face.identity import IdentityNet
        from pipeline.nets.footage import footage_of
        from pipeline.nets.session import open_session

        assert context.models is not None, "the driver hands every worker a model registry"
        self._context = context
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        for name, names in self._wanted():
            file = context.models.optional(names)
            if file is None:
                continue
            session = open_session(file.path, device, context.threads)
            self._footage[file.name] = footage_of(session)
            if name == _IDENTITY:
                self._identity = IdentityNet(session, self.batch)
            else:
                attribute: Attribute = name  # type: ignore[assignment] # one of _GUESSES
                self._nets[attribute] = AttributeNet(session, attribute, self.batch)

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.nets.footage import check_footage

        sample = unit.row("samples")
        check_footage(self._footage, unit.row("videos")["footage"], "the settings of `attributes`")
        looks = self._looks(sample)
        row = {key: sample[key] for key in ("person_id", "clip_id", "video_id")}
        yield {**row, **(self._told(looks) if looks else {}), "attribute_frames": len(looks)}

    def _looks(self, sample: Row) -> list[Look]:
        """The sharpest face of each span of the clip that has a frontal one."""
        from pipeline.nets.face.faces import aligned, candidates, upright
        from pipeline.nets.pose.whole_body import face_sharpness

        scores = np.asarray(sample["scores"], np.float32)
        points = np.asarray(sample["keypoints"], np.float32).reshape(len(scores), -1, 2)
        spans = candidates(points, scores, self._size(sample), self._choice())
        pictures = self._pictures(sample, {frame for span in spans for frame in span})
        looks = []
        for span in spans:
            known = [frame for frame in span if frame in pictures]
            if known:
                sharpness = [face_sharpness(pictures[n], points[n], scores[n], self.min_face_score) for n in known]
                best = known[int(np.argmax(np.nan_to_num(sharpness, nan=-1.0)))]
                looks.append(Look(upright(pictures[best], points[best]), aligned(pictures[best], points[best])))
        return looks

    def _choice(self) -> "Choice":
        from pipeline.nets.face.faces import Choice

        return Choice(self.frames, self.candidate_frames, self.max_yaw_degrees, self.min_face_score, self.min_face_px)

    def _size(self, sample: Row) -> tuple[int, int]:
        """Width and height of the clip's first picture; no pixels where it has none."""
        from pipeline.media.video import GridReader

        with GridReader(self._context.run / sample["video"], 0, 1, threads=self._context.threads) as reader:
            for frame in reader:
                return frame.pixels.shape[1], frame.pixels.shape[0]
        return 0, 0

    def _pictures(self, sample: Row, wanted: set[int]) -> dict[int, Picture]:
        """The wanted frames of the sample's own clip: it is there whatever became of its source."""
        from pipeline.media.video import GridReader

        if not wanted:
            return {}
        path = self._context.run / sample["video"]
        with GridReader(path, 0, max(wanted) + 1, threads=self._context.threads) as reader:
            return {frame.n: frame.pixels.copy() for frame in reader if frame.n in wanted}

    def _told(self, looks: Sequence[Look]) -> Row:
        """What each net says of the looks together."""
        from pipeline.nets.face.attributes import ages, consensus
        from pipeline.nets.face.identity import mean_identity

        row: Row = {}
        for attribute, net in self._nets.items():
            scores = net([look.upright for look in looks])
            if attribute == "age":
                years = ages(scores)
                low, middle, high = np.percentile(years, [25, 50, 75])
                row |= {"age_years": float(middle), "age_spread_years": float(high - low) / 2}
            else:
                answer = consensus(scores, attribute)
                row |= {attribute: answer.label, f"{attribute}_agreement": answer.agreement}
        if self._identity is not None:
            vector, agreement = mean_identity(self._identity([look.aligned for look in looks]))
            row |= {"identity": vector, "identity_agreement": agreement}
        return row


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("attributes")
