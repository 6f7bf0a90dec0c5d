"""Shows a few sharp frontal frames of each sample to the nets, and pools their answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession

from pipeline.base.arrays import Picture
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.video import GridReader
from pipeline.nets.face.attributes import Attribute, AttributeNet, ages, consensus
from pipeline.nets.face.faces import Choice, aligned, candidates, upright
from pipeline.nets.face.identity import IdentityNet, mean_identity
from pipeline.nets.footage import check_footage, footage_of
from pipeline.nets.pose.whole_body import face_sharpness
from pipeline.nets.session import Device, open_session
from stages.attributes.settings import GUESSES, IDENTITY, AttributesSettings


@dataclass
class FaceNets:
    """The nets that are on this machine.

    Attributes:
        attributes: what each guesses -> the net.
        identity: makes vectors of faces, where there is such a net.
        footage: by the name of each net, the only footage that it can see, or "".
    """

    attributes: dict[Attribute, AttributeNet] = field(default_factory=dict)
    identity: IdentityNet | None = None
    footage: dict[str, str] = field(default_factory=dict)


def open_nets(settings: AttributesSettings, context: Context) -> FaceNets:
    """Open those of the wanted nets that are here; the others are left out."""
    device: Device = "cuda" if context.device == "cuda" else "cpu"
    nets, wanted = FaceNets(), settings.wanted()

    def session(attribute: str) -> InferenceSession | None:
        file = context.nets.optional(wanted[attribute]) if attribute in wanted else None
        if file is None:
            return None
        opened = open_session(file.path, device, context.threads)
        nets.footage[file.name] = footage_of(opened)
        return opened

    for guess in GUESSES:
        if (opened := session(guess)) is not None:
            nets.attributes[guess] = AttributeNet(opened, guess, settings.batch)
    if (opened := session(IDENTITY)) is not None:
        nets.identity = IdentityNet(opened, settings.batch)
    return nets


@dataclass(frozen=True)
class Look:
    """A face in one frame: (224, 224, 3) upright, (112, 112, 3) aligned, RGB."""

    upright: Picture
    aligned: Picture


class AttributesWorker:
    """Turns samples into rows of `attributes`.

    Args:
        settings: of the stage.
        context: where clips lie, and how many threads decode.
        nets: what looks at faces.
    """

    def __init__(self, settings: AttributesSettings, context: Context, nets: FaceNets) -> None:
        self._settings, self._context, self._nets = settings, context, nets

    @classmethod
    def from_context(cls, settings: AttributesSettings, context: Context) -> "AttributesWorker":
        """Open the nets that the settings name and that are here."""
        return cls(settings, context, open_nets(settings, context))

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the sample's row, with nulls where no frame will do or a net is missing. Raises WrongFootage."""
        sample = unit.row("samples")
        check_footage(self._nets.footage, unit.row("videos")["footage"], "the settings of `attributes`")
        looks = self._looks(sample)
        row = {key: sample[key] for key in ("person_id", "clip_id", "video_id")}
        yield {**row, **(answers(looks, self._nets) if looks else {}), "attribute_frames": len(looks)}

    def _looks(self, sample: Row) -> list[Look]:
        """The sharpest face of each span of the clip that has a frontal one."""
        settings = self._settings
        # The sample's own clip: it is there even where its source is gone.
        clip = self._context.storage.local(sample["video"])
        scores = np.asarray(sample["scores"], np.float32)
        points = np.asarray(sample["keypoints"], np.float32).reshape(len(scores), -1, 2)
        choice = Choice(
            settings.frames,
            settings.candidate_frames,
            settings.max_yaw_degrees,
            settings.min_face_score,
            settings.min_face_px,
        )
        spans = candidates(points, scores, self._size(clip), choice)
        pictures = self._pictures(clip, {frame for span in spans for frame in span})
        looks = []
        for span in spans:
            shown = [frame for frame in span if frame in pictures]
            if shown:
                sharpness = [face_sharpness(pictures[n], points[n], scores[n], settings.min_face_score) for n in shown]
                best = shown[int(np.argmax(np.nan_to_num(sharpness, nan=-1.0)))]
                looks.append(Look(upright(pictures[best], points[best]), aligned(pictures[best], points[best])))
        return looks

    def _size(self, clip: Path) -> tuple[int, int]:
        """Width and height of the clip's first picture, pixels; 0, 0 where it has none."""
        with GridReader(clip, 0, 1, threads=self._context.threads, reading=AS_IT_STANDS) as reader:
            for frame in reader:
                return frame.pixels.shape[1], frame.pixels.shape[0]
        return 0, 0

    def _pictures(self, clip: Path, frames: set[int]) -> dict[int, Picture]:
        """These frames of the clip, as far as they decode."""
        if not frames:
            return {}
        with GridReader(clip, 0, max(frames) + 1, threads=self._context.threads, reading=AS_IT_STANDS) as reader:
            return {frame.n: frame.pixels.copy() for frame in reader if frame.n in frames}


def answers(looks: Sequence[Look], nets: FaceNets) -> Row:
    """What each net makes of all looks together, as columns of `attributes`."""
    row: Row = {}
    for attribute, net in nets.attributes.items():
        scores = net([look.upright for look in looks])
        if attribute == "age":
            low, middle, high = np.percentile(ages(scores), [25, 50, 75])
            row |= {"age_years": float(middle), "age_spread_years": float(high - low) / 2}
        else:
            answer = consensus(scores, attribute)
            row |= {attribute: answer.label, f"{attribute}_agreement": answer.agreement}
    if nets.identity is not None:
        vector, agreement = mean_identity(nets.identity([look.aligned for look in looks]))
        row |= {"identity": vector, "identity_agreement": agreement}
    return row
