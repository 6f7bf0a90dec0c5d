"""Shows a few sharp frontal frames of each sample to the nets, and pools their answers."""

from collections.abc import Iterator

import numpy as np

from pipeline.base.arrays import Picture
from pipeline.base.units import Row
from pipeline.engine.decoded_pictures import pictures as decoded_pictures
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.moments import STILL, middle
from pipeline.media.patches import Patch, Patches
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.video import GridReader
from pipeline.nets.face.attributes import consensus
from pipeline.nets.face.faces import Choice, aligned, candidates, upright
from pipeline.nets.face.identity import mean_identity
from pipeline.nets.footage import check_footage
from pipeline.nets.pose.whole_body import face_sharpness
from stages.attributes.nets import FaceNets, Faces, Look, open_nets
from stages.attributes.settings import AttributesSettings


class AttributesWorker:
    """Turns samples into rows of `attributes`.

    Args:
        settings: of the stage.
        context: where clips lie, and how many threads decode.
        nets: what looks at faces.
    """

    def __init__(self, settings: AttributesSettings, context: Context, nets: FaceNets) -> None:
        self._settings, self._context, self._nets = settings, context, nets
        self._kept = decoded_pictures(context)

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
        yield {**row, **(answers(self._nets.look(looks)) if looks else {}), "attribute_frames": len(looks)}

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
        with GridReader(clip, threads=self._context.threads, reading=AS_IT_STANDS) as reader:
            spans = candidates(points, scores, reader.coded_size, choice)
            pictures = self._pictures(reader, {frame for span in spans for frame in span}, sample)
        looks = []
        for span in spans:
            shown = [frame for frame in span if frame in pictures]
            if shown:
                sharpness = [face_sharpness(pictures[n], points[n], scores[n], settings.min_face_score) for n in shown]
                best = shown[int(np.argmax(np.nan_to_num(sharpness, nan=-1.0)))]
                looks.append(Look(upright(pictures[best], points[best]), aligned(pictures[best], points[best])))
        return looks

    def _pictures(self, reader: GridReader, frames: set[int], sample: Row) -> dict[int, Picture]:
        """These frames of a sample's clip, as far as they decode; the one that stands for it is kept on the way."""
        if not frames:
            return {}
        told, count = {"video_id": sample["video_id"], "sha256": sample["video_sha256"]}, sample["frames"]
        still = {middle(count)} if self._kept.wants(STILL, told) else set()
        pictures = {frame.n: frame.pixels for frame in reader.at(frames | still)}
        for n in still & set(pictures):
            patch = Patch.of(n, pictures[n])
            self._kept.put(STILL, told, 0, count, Patches(count, (patch.width, patch.height), (patch,)))
        return pictures


def answers(faces: Faces) -> Row:
    """What the nets make of all looks of a sample together, as columns of `attributes`."""
    row: Row = {}
    for attribute, scores in faces.scores.items():
        answer = consensus(scores, attribute)
        row |= {attribute: answer.label, f"{attribute}_agreement": answer.agreement}
    if faces.years is not None:
        low, middle, high = np.percentile(faces.years, [25, 50, 75])
        row |= {"age_years": float(middle), "age_spread_years": float(high - low) / 2}
    if faces.vectors is not None:
        vector, agreement = mean_identity(faces.vectors)
        row |= {"identity": vector, "identity_agreement": agreement}
    return row


open_worker = AttributesWorker.from_context
