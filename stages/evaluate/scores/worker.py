"""Scores the videos of pairs."""

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats32
from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.metrics.i3d import I3D, clips_of
from pipeline.metrics.identity import csim, face_vector
from pipeline.metrics.inception import Inception
from pipeline.metrics.pictures import psnr, ssim
from pipeline.metrics.sync import sync
from pipeline.nets.face.identity import IdentityNet
from pipeline.nets.session import Device, open_session
from pipeline.nets.syncnet import SyncNet
from pipeline.tables.store import Store
from stages.evaluate.annotation import annotate, annotator
from stages.evaluate.cast import Cast, Subject, held
from stages.evaluate.pairs import PAIRED, REAL, Pair
from stages.evaluate.scores.film import Film, cut, drawn
from stages.evaluate.scores.names import (
    FID,
    FVD,
    IDENTITY,
    NO_FACE,
    NO_SKELETON,
    NO_SOUND,
    OF_FACES,
    OF_SKELETONS,
    SYNC,
)
from stages.evaluate.scores.settings import ScoresSettings
from stages.evaluate.scores.skeletons import scores_of, skeleton_of


class Scorer:
    """Knows the subjects, and holds the nets that are here."""

    def __init__(self, settings: ScoresSettings, context: Context) -> None:
        self._settings, self._run = settings, context.run
        self._cast = Cast(Store(Path(settings.cast)), Path(settings.films))
        self._identity: IdentityNet | None = None
        self._syncnet: SyncNet | None = None
        self._inception: Inception | None = None
        self._i3d: I3D | None = None
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        for name in settings.nets:
            assert context.models is not None, "the driver hands every worker a model registry"
            self._open(name, context.models.resolve(settings.choices[name]).path, device, context.threads)
        self._poser = annotator(settings, context, settings.footage or None) if settings.annotate else None

    def _open(self, name: str, path: Path, device: Device, threads: int) -> None:
        if name == IDENTITY:
            self._identity = IdentityNet(open_session(path, device, threads))
        elif name == SYNC:
            self._syncnet = SyncNet(open_session(path, device, threads))
        elif name == FID:
            self._inception = Inception(path, device, threads=threads)
        else:
            self._i3d = I3D(path, device, threads=threads)

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the scores of a pair's video. Raises Failure where it is not there."""
        row, about = unit.row("renditions"), unit.row("pairs")
        pair = Pair(about["setting"], about["reference"], about["voice"])
        reference, voice = self._cast[pair.reference], self._cast[pair.voice]
        path, frames = self._run / row["film"], int(row["frames"])
        if not path.exists():
            raise Failure(Reason.SOURCE_MISSING, f"{path} is not there any more")
        # A true video is looked at as everywhere else: its own rate, whole in the middle of the square.
        pictures = reference.pictures if pair.setting == REAL else partial(held, path, frames)
        film = Film(pictures, frames, tuple(row["box"]))
        values: Row = {"pair_id": pair.id, "setting": pair.setting}
        absent: dict[str, str] = {}
        points, scores = self._skeleton(row, film)
        if pair.setting == PAIRED:
            values |= self._against_truth(film, reference)
        else:
            values |= self._faces(film, points, scores, reference, voice, absent) | self._features(film, absent)
        if row["keypoints"] is None:
            absent |= dict.fromkeys(OF_SKELETONS, NO_SKELETON)
        else:
            values |= scores_of(skeleton_of(row), reference if pair.setting == PAIRED else None, voice, absent)
        yield {**values, "absent": json.dumps(absent, sort_keys=True)}

    def _skeleton(self, row: Row, film: Film) -> tuple[Floats32 | None, Floats32 | None]:
        """Keypoints (F, 133, 2) px of the video as it is compared, and scores (F, 133): found in it, or those that it follows."""
        x, y = film.box[:2]
        if self._poser is not None:
            person = annotate(film.as_stored(), *self._poser)
            if person is None:
                return None, None
            points, scores, (width, height) = person
            scale = np.array([film.size[0] / width, film.size[1] / height])
            return ((points + 0.5) * scale - 0.5).astype(np.float32), scores
        if row["keypoints"] is None:
            return None, None
        points, scores = skeleton_of(row)
        return points[: film.frames] - np.array([x, y], np.float32), scores[: film.frames]

    def _against_truth(self, film: Film, reference: Subject) -> Row:
        frames = min(film.frames, reference.frames)
        truth = drawn(reference) if self._settings.drawn else reference.pictures()
        values = [
            (ssim(made, true), psnr(made, true))
            for made, true in islice(zip(film.pictures(), (cut(t, film.box) for t in truth), strict=False), frames)
        ]
        likeness, noise = np.mean(values, axis=0)
        return {"compared_frames": len(values), "ssim": float(likeness), "psnr_db": float(noise)}

    def _faces(
        self,
        film: Film,
        points: Floats32 | None,
        scores: Floats32 | None,
        reference: Subject,
        voice: Subject,
        absent: dict[str, str],
    ) -> Row:
        if self._settings.drawn:
            absent |= dict.fromkeys(OF_FACES, NO_FACE)
            return {}
        if points is None or scores is None:
            absent |= dict.fromkeys(OF_FACES, "nobody is found in the video")
            return {}
        return self._csim(film, points, scores, reference, absent) | self._sync(film, points, scores, voice, absent)

    def _csim(self, film: Film, points: Floats32, scores: Floats32, reference: Subject, absent: dict[str, str]) -> Row:
        if self._identity is None:
            absent["csim"] = self._settings.lacking[IDENTITY]
            return {}
        at = reference.reference_frame
        whose = face_vector(
            self._identity, reference.picture(), reference.keypoints[at], reference.scores[at], self._settings.min_score
        )
        if whose is None:
            absent["csim"] = "the reference shows no whole face"
            return {}
        likeness = csim(self._identity, whose, film.pictures(), points, scores, self._settings.min_score)
        if likeness is None:
            absent["csim"] = "no frame shows a whole face"
            return {}
        return {"csim": likeness.value, "csim_frames": likeness.frames}

    def _sync(self, film: Film, points: Floats32, scores: Floats32, voice: Subject, absent: dict[str, str]) -> Row:
        why = self._settings.lacking[SYNC] if self._syncnet is None else NO_SOUND
        if self._syncnet is not None and voice.wave is not None:
            fit = sync(self._syncnet, film.pictures(), points, scores, voice.wave, self._settings.min_score)
            if fit is not None:
                return {"sync_c": float(fit.confidence), "sync_d": float(fit.distance)}
            why = "the video shows no face that is large enough for as long as SyncNet needs"
        absent |= {"sync_c": why, "sync_d": why}
        return {}

    def _features(self, film: Film, absent: dict[str, str]) -> Row:
        values: Row = {}
        if self._inception is None:
            absent["fid"] = self._settings.lacking[FID]
        else:
            values["fid_features"] = np.concatenate(list(self._inception(film.pictures())))
        if self._i3d is None:
            absent["fvd"] = self._settings.lacking[FVD]
            return values
        parts = list(self._i3d(clips_of(film.pictures(), self._settings.fvd_frames, self._settings.fvd_frames)))
        if parts:
            values["fvd_features"] = np.concatenate(parts)
        else:
            absent["fvd"] = f"the video has fewer than {self._settings.fvd_frames} frames"
        return values


open_worker = Scorer
