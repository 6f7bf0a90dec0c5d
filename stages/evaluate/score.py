"""What each video is worth: table 2's measures of pictures, lips and faces, and those of skeletons; null ones say why."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import CLIP_SIDE_PX, Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.nets.pose import PoseBackend
from stages.evaluate.pairs import PAIRED, REAL, Pair

if TYPE_CHECKING:
    from pipeline.base.arrays import Floats32, Picture
    from pipeline.base.units import Box
    from pipeline.metrics.i3d import I3D
    from pipeline.metrics.inception import Inception
    from pipeline.nets.face.identity import IdentityNet
    from pipeline.nets.pose.dwpose import PoseEstimator
    from pipeline.nets.pose.yolox import Detector
    from pipeline.nets.session import Device
    from pipeline.nets.syncnet import SyncNet
    from stages.evaluate.cast import Cast, Subject

IDENTITY, SYNC, FID, FVD = NETS = ("identity", "syncnet", "inception", "i3d")
OF_FACES = ("csim", "sync_c", "sync_d")
OF_SKELETONS = (
    *("keypoint_error_px", "mouth_error_px", "hand_error_px", "jitter_px_s3"),
    *("beat_alignment", "mouth_correlation"),
)
NO_SKELETON = "no skeleton is known that the videos follow"
UNMEASURABLE = "too little is seen or heard to measure it"
NO_SOUND = "the voice's clip has no sound"
NO_FACE = "drawn skeletons have no face: --backend films people"


class Scores(Stage):
    """Measures a video of a pair, on the 25-fps grid and in pixels of the test set's pictures.

    Paired: against the true frames (drawn ones where the back-end draws), cut to what the video shows. Unpaired, and of the
    true videos (`real`): faces against the reference's, lips against the sound, features for FID and FVD.
    """

    name: ClassVar[str] = "scores"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "what each video is worth"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("renditions", ("film", "film_sha256", "frames", "box", "keypoints", "scores")),
        Reads("pairs", ("setting", "reference", "voice", "content")),
    )
    writes: ClassVar[str] = "scores"
    unit: ClassVar[str] = "pair_id"
    resources: ClassVar[Resources] = Resources(seconds=7200, memory_gb=16, gpu=True)

    drawn: bool = False
    nets: dict[str, str] = {}  # of NETS, those that are here: their sha256
    choices: dict[str, tuple[str, ...]] = Field({}, json_schema_extra=runtime())  # of NETS: names in the registry
    lacking: dict[str, str] = Field({}, json_schema_extra=runtime())  # of NETS: why it is not here
    annotate: bool = False  # look for the person in the video, not where its skeleton says
    footage: str = Field("", json_schema_extra=runtime())  # what nets that were made for one kind alone would see
    detector: tuple[str, ...] = ()
    pose: tuple[str, ...] = ()
    pose_backend: PoseBackend = "onnx"
    fvd_frames: int = 16
    min_score: float = 0.3
    cast: str = Field("", json_schema_extra=runtime())
    films: str = Field("", json_schema_extra=runtime())

    _context: Context = PrivateAttr()
    _cast: "Cast" = PrivateAttr()
    _identity: "IdentityNet | None" = PrivateAttr(default=None)
    _syncnet: "SyncNet | None" = PrivateAttr(default=None)
    _inception: "Inception | None" = PrivateAttr(default=None)
    _i3d: "I3D | None" = PrivateAttr(default=None)
    _poser: "tuple[Detector, PoseEstimator] | None" = PrivateAttr(default=None)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.detector, self.pose) if self.annotate else ()

    def result_settings(self) -> dict[str, Any]:
        """Without `pose_backend` where it changes nothing: fingerprints stay those of runs from before there was the setting."""
        unused = set() if self.annotate and self.pose_backend != "onnx" else {"pose_backend"}
        return {name: value for name, value in super().result_settings().items() if name not in unused}

    def setup(self, context: Context) -> None:
        from pipeline.tables.table import Store
        from stages.evaluate.cast import Cast

        self._context = context
        self._cast = Cast(Store(Path(self.cast)), Path(self.films))
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        for name in self.nets:
            assert context.models is not None, "the driver hands every worker a model registry"
            self._open(name, context.models.resolve(self.choices[name]).path, device, context.threads)
        if self.annotate:
            from stages.evaluate.annotation import annotator

            self._poser = annotator(self, context, self.footage or None)

    def _open(self, name: str, path: Path, device: "Device", threads: int) -> None:
        from pipeline.metrics.i3d import I3D
        from pipeline.metrics.inception import Inception
        from pipeline.nets.face.identity import IdentityNet
        from pipeline.nets.session import open_session
        from pipeline.nets.syncnet import SyncNet

        if name == IDENTITY:
            self._identity = IdentityNet(open_session(path, device, threads))
        elif name == SYNC:
            self._syncnet = SyncNet(open_session(path, device, threads))
        elif name == FID:
            self._inception = Inception(path, device, threads=threads)
        else:
            self._i3d = I3D(path, device, threads=threads)

    def process(self, unit: Unit) -> Iterator[Row]:
        from stages.evaluate.cast import held

        row, about = unit.row("renditions"), unit.row("pairs")
        pair = Pair(about["setting"], about["reference"], about["voice"])
        reference, voice = self._cast[pair.reference], self._cast[pair.voice]
        path, frames = self._context.run / row["film"], int(row["frames"])
        if not path.exists():
            raise Failure(Reason.SOURCE_MISSING, f"{path} is not there any more")
        # A true video is looked at as everywhere else: its own rate, whole in the middle of the square.
        pictures = reference.pictures if pair.setting == REAL else partial(held, path, frames)
        film = _Film(pictures, frames, tuple(row["box"]))
        found: Row = {"pair_id": pair.id, "setting": pair.setting}
        absent: dict[str, str] = {}
        points, scores = self._skeleton(row, film)
        if pair.setting == PAIRED:
            found |= self._against_truth(film, reference)
        else:
            found |= self._faces(film, points, scores, reference, voice, absent) | self._features(film, absent)
        if row["keypoints"] is None:
            absent |= dict.fromkeys(OF_SKELETONS, NO_SKELETON)
        else:
            found |= _of_skeletons(_skeleton_of(row), reference if pair.setting == PAIRED else None, voice, absent)
        yield {**found, "absent": json.dumps(absent, sort_keys=True)}

    def _skeleton(self, row: Row, film: "_Film") -> "tuple[Floats32 | None, Floats32 | None]":
        """Keypoints (F, 133, 2) px of the video as it is compared, and scores (F, 133): found in it, or those that it follows."""
        x, y = film.box[:2]
        if self._poser is not None:
            from stages.evaluate.annotation import annotate

            found = annotate(film.as_stored(), *self._poser)
            if found is None:
                return None, None
            points, scores, (width, height) = found
            scale = np.array([film.size[0] / width, film.size[1] / height])
            return ((points + 0.5) * scale - 0.5).astype(np.float32), scores
        if row["keypoints"] is None:
            return None, None
        points, scores = _skeleton_of(row)
        return points[: film.frames] - np.array([x, y], np.float32), scores[: film.frames]

    def _against_truth(self, film: "_Film", reference: "Subject") -> Row:
        from pipeline.metrics.pictures import psnr, ssim

        frames = min(film.frames, reference.frames)
        truth = _drawn(reference) if self.drawn else reference.pictures()
        values = [
            (ssim(made, true), psnr(made, true))
            for made, true in islice(zip(film.pictures(), (cut(t, film.box) for t in truth), strict=False), frames)
        ]
        likeness, noise = np.mean(values, axis=0)
        return {"compared_frames": len(values), "ssim": float(likeness), "psnr_db": float(noise)}

    def _faces(
        self,
        film: "_Film",
        points: "Floats32 | None",
        scores: "Floats32 | None",
        reference: "Subject",
        voice: "Subject",
        absent: dict[str, str],
    ) -> Row:
        if self.drawn:
            absent |= dict.fromkeys(OF_FACES, NO_FACE)
            return {}
        if points is None or scores is None:
            absent |= dict.fromkeys(OF_FACES, "nobody is found in the video")
            return {}
        return self._csim(film, points, scores, reference, absent) | self._sync(film, points, scores, voice, absent)

    def _csim(
        self, film: "_Film", points: "Floats32", scores: "Floats32", reference: "Subject", absent: dict[str, str]
    ) -> Row:
        from pipeline.metrics.identity import csim, face_vector

        if self._identity is None:
            absent["csim"] = self.lacking[IDENTITY]
            return {}
        at = reference.reference_frame
        whose = face_vector(
            self._identity, reference.picture(), reference.keypoints[at], reference.scores[at], self.min_score
        )
        if whose is None:
            absent["csim"] = "the reference shows no whole face"
            return {}
        likeness = csim(self._identity, whose, film.pictures(), points, scores, self.min_score)
        if likeness is None:
            absent["csim"] = "no frame shows a whole face"
            return {}
        return {"csim": likeness.value, "csim_frames": likeness.frames}

    def _sync(
        self, film: "_Film", points: "Floats32", scores: "Floats32", voice: "Subject", absent: dict[str, str]
    ) -> Row:
        from pipeline.metrics.sync import sync

        why = self.lacking[SYNC] if self._syncnet is None else NO_SOUND
        if self._syncnet is not None and voice.wave is not None:
            fit = sync(self._syncnet, film.pictures(), points, scores, voice.wave, self.min_score)
            if fit is not None:
                return {"sync_c": float(fit.confidence), "sync_d": float(fit.distance)}
            why = "the video shows no face that is large enough for as long as SyncNet needs"
        absent |= {"sync_c": why, "sync_d": why}
        return {}

    def _features(self, film: "_Film", absent: dict[str, str]) -> Row:
        from pipeline.metrics.i3d import clips_of

        found: Row = {}
        if self._inception is None:
            absent["fid"] = self.lacking[FID]
        else:
            found["fid_features"] = np.concatenate(list(self._inception(film.pictures())))
        if self._i3d is None:
            absent["fvd"] = self.lacking[FVD]
            return found
        parts = list(self._i3d(clips_of(film.pictures(), self.fvd_frames, self.fvd_frames)))
        if parts:
            found["fvd_features"] = np.concatenate(parts)
        else:
            absent["fvd"] = f"the video has fewer than {self.fvd_frames} frames"
        return found


class _Film:
    """A video as it is compared: its frames on the 25-fps grid, in the size of the box that it shows."""

    def __init__(self, as_stored: "Callable[[], Iterator[Picture]]", frames: int, box: "Box") -> None:
        self.as_stored, self.frames, self.box = as_stored, frames, box
        self.size = (box[2] - box[0], box[3] - box[1])

    def pictures(self) -> "Iterator[Picture]":
        for picture in self.as_stored():
            if (picture.shape[1], picture.shape[0]) != self.size:
                shrinks = picture.shape[1] > self.size[0]
                how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
                picture = np.asarray(cv2.resize(picture, self.size, interpolation=how), np.uint8)
            yield np.ascontiguousarray(picture)


def cut(picture: "Picture", box: "Box") -> "Picture":
    """What a box shows of a picture, black outside it."""
    x1, y1, x2, y2 = box
    height, width = picture.shape[:2]
    if (x1, y1, x2, y2) == (0, 0, width, height):
        return picture
    out = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
    inner = picture[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
    top, left = max(0, -y1), max(0, -x1)
    out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return out


def _drawn(subject: "Subject") -> "Iterator[Picture]":
    from pipeline.skeleton.draw import draw

    for points, scores in zip(subject.keypoints, subject.scores, strict=True):
        yield draw(points, scores, (subject.side, subject.side))


def _skeleton_of(row: Row) -> "tuple[Floats32, Floats32]":
    frames = row["frames"]
    return np.asarray(row["keypoints"], np.float32).reshape(frames, -1, 2), np.asarray(row["scores"], np.float32)


def _of_skeletons(
    motion: "tuple[Floats32, Floats32]", truth: "Subject | None", voice: "Subject", absent: dict[str, str]
) -> dict[str, Any]:
    """Measures of a skeleton that need no net, in pixels of 512."""
    from pipeline.metrics.beats import beat_alignment, motion_beats, sound_beats
    from pipeline.metrics.skeletons import jitter, joint_error, mouth_follows_sound
    from pipeline.skeleton.layout import visible
    from pipeline.skeleton.local import to_rooted

    scale = CLIP_SIDE_PX / voice.side
    points = visible(*motion) * scale
    found = {"jitter_px_s3": jitter(points)["all"]}
    if truth is not None:
        frames = min(len(points), truth.frames)
        true = visible(truth.keypoints, truth.scores)[:frames] * scale
        made = points[:frames]
        near = joint_error(to_rooted(made), to_rooted(true))
        found |= {
            "keypoint_error_px": joint_error(made, true)["all"],
            "mouth_error_px": near["mouth"],
            "hand_error_px": near["hands"],
        }
    if voice.wave is not None:
        found["beat_alignment"] = beat_alignment(motion_beats(points, motion[1]), sound_beats(voice.wave))
        found["mouth_correlation"] = mouth_follows_sound(points, voice.wave)
    absent |= dict.fromkeys(("beat_alignment", "mouth_correlation"), NO_SOUND) if voice.wave is None else {}
    absent |= {name: UNMEASURABLE for name, value in found.items() if not np.isfinite(value)}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}
