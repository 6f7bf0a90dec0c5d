"""Makes the videos of pairs, or looks them up."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Job
from pipeline.backends.kept import Kept
from pipeline.backends.run import drive
from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.probe import probe
from pipeline.model.generation.inputs import to_whole_frames
from pipeline.skeleton import align
from pipeline.skeleton.layout import visible
from pipeline.tables import people
from pipeline.tables.store import Store
from stages.evaluate.cast import Cast, Subject
from stages.evaluate.pairs import Pair, film_given
from stages.evaluate.renditions.folders import VIDEOS, WORK, keep_log
from stages.evaluate.renditions.motion import Motion, brought_onto, transferred
from stages.evaluate.renditions.settings import RenditionsSettings

if TYPE_CHECKING:
    from stages.evaluate.renditions.generating import Generator


class Filmer:
    """Makes one video after the other.

    Args:
        settings: of the stage.
        context: of the worker.
        gpu: which it has for itself, as CUDA_VISIBLE_DEVICES names it; "" where it may use any.
        generator: of motions; None where they are not generated.
    """

    def __init__(
        self, settings: RenditionsSettings, context: Context, gpu: str = "", generator: "Generator | None" = None
    ) -> None:
        self._settings, self._run, self._generator = settings, context.run, generator
        options = settings.options()
        self._options = replace(options, gpu=gpu) if gpu else options
        self._kept = Kept() if settings.keep_open else None
        self._cast = Cast(Store(Path(settings.cast)), Path(settings.films))

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the video of a pair. Raises Reject, Failure where there is none."""
        row = unit.row("pairs")
        pair = Pair(row["setting"], row["reference"], row["voice"])
        reference, voice = self._cast[pair.reference], self._cast[pair.voice]
        if self._settings.method == "true":
            seen = {"keypoints": reference.keypoints.reshape(reference.frames, -1), "scores": reference.scores}
            sha256 = self._cast.light(pair.reference)["film_sha256"]
            yield {**self._as_it_is(pair, reference.film, sha256, reference.frames, reference), **seen}
        elif self._settings.method == "folder":
            yield self._looked_up(pair, reference)
        else:
            yield self._filmed(pair, row["content"], reference, voice)

    def _looked_up(self, pair: Pair, reference: Subject) -> Row:
        film = film_given(Path(self._settings.folder), pair)
        if film is None:
            folder = self._settings.folder
            raise Failure(Reason.NOT_THERE, f"pairs.csv says how it has to be called; looked in {folder}")
        # What goes on after the voice is not looked at.
        frames = min(probe(film).grid_frames, self._cast[pair.voice].frames)
        return self._as_it_is(pair, film, sha256_of(film), frames, reference)

    def _as_it_is(self, pair: Pair, film: Path, sha256: str, frames: int, reference: Subject) -> Row:
        """A video that is there already, of the to_whole_frames picture."""
        if frames < 1:
            raise Reject(Reason.CORRUPT, f"no picture of {film} can be shown")
        return {
            "pair_id": pair.id,
            "film": self._path_of(film),
            "film_sha256": sha256,
            "frames": frames,
            "box": [0, 0, reference.side, reference.side],
        }

    def _path_of(self, film: Path) -> str:
        """Relative to the evaluation's folder what lies in the run, so that a run can be moved; else absolute."""
        film, run = film.resolve(), Path(self._settings.films).resolve()
        here = self._run.resolve()
        return os.path.relpath(film, here) if film.is_relative_to(run) and here.is_relative_to(run) else str(film)

    def _filmed(self, pair: Pair, content: str, reference: Subject, voice: Subject) -> Row:
        motion = self._motion(pair, reference, voice)
        person = reference.person()
        frames = len(motion.keypoints)
        wave = None if voice.wave is None else to_whole_frames(voice.wave, frames)
        job = Job(motion.keypoints, motion.scores, reference.picture(), person.keypoints, person.scores, wave)
        # Videos of other settings are not overwritten: until this one is committed, the table names those.
        settings = json.dumps(self._settings.result_settings(), sort_keys=True)
        name = "-".join(hashlib.sha256(text.encode()).hexdigest()[:12] for text in (pair.id, settings + content))
        out = self._run / VIDEOS / pair.setting / f"{name}.mp4"
        work = self._run / WORK / name
        shutil.rmtree(work, ignore_errors=True)  # of an attempt that was cut short
        videos = [self._cast.light(subject.name)["video_id"] for subject in (reference, voice)]
        try:
            with people.noting(self._run, [out, work], videos):
                film = drive(self._settings.backend, job, self._options, out, work, self._kept)
        except BackendError as error:
            raise failure(error) from error
        keep_log(work)
        near = align.compare(visible(motion.keypoints, motion.scores), visible(person.keypoints, person.scores))
        return {
            "pair_id": pair.id,
            "film": out.relative_to(self._run).as_posix(),
            "film_sha256": sha256_of(out),
            "frames": frames,
            "box": list(film.box),
            "keypoints": motion.keypoints.reshape(frames, -1),
            "scores": motion.scores,
            "scale_to_reference": near.scale,
            "away_from_reference": near.distance,
        }

    def _motion(self, pair: Pair, reference: Subject, voice: Subject) -> Motion:
        if self._settings.method == "transfer":
            return transferred(reference, voice, fit=self._settings.fit)
        assert self._generator is not None, "the method is ours"
        made = self._generator.motion(pair, reference.person(), voice)
        return made if self._settings.drawn or not self._settings.fit else brought_onto(made, reference)


def failure(error: BackendError) -> Failure:
    """A back-end's error as an outcome: what every other pair would meet too stops the stage."""
    everywhere = (
        *(Trouble.NO_CHECKOUT, Trouble.NO_PYTHON, Trouble.NO_PACKAGE, Trouble.NO_GPU, Trouble.NO_WEIGHTS),
        Trouble.BAD_JOB,
    )
    reason = Reason.BACKEND_UNUSABLE if error.trouble in everywhere else Reason.BACKEND_FAILED
    return Failure(reason, " ".join(str(error).split()))
