"""A video of every pair: generated, transferred from the true motion, or taken from another system."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.backends.settings import BackendSettings
from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.model.generation.sampling import SamplingSettings
from pipeline.skeleton.layout import visible
from pipeline.tables import people
from stages.evaluate.pairs import PAIRED, Pair

if TYPE_CHECKING:
    from pipeline.base.arrays import Floats32
    from pipeline.model.audio_to_skeleton import AudioToSkeleton
    from pipeline.model.generation.inputs import Person
    from pipeline.tables.store import Store
    from stages.evaluate.cast import Cast, Subject

Method = Literal["ours", "transfer", "folder", "true"]

VIDEOS, WORK = "videos", "work"
# The version of how skeletons are generated: bump it when that changes, and no other method's videos are filmed again for it.
_GENERATED = 2
_OURS = ("model_sha256", *SamplingSettings.model_fields)  # how a skeleton is generated


class Motion:
    """What a video follows: keypoints (F, 133, 2) px of the reference's picture, scores (F, 133)."""

    def __init__(self, keypoints: "Floats32", scores: "Floats32") -> None:
        self.keypoints, self.scores = keypoints, scores


class Renditions(SamplingSettings, BackendSettings, Stage):
    """Films pairs, one after the other; what is filmed already is not filmed again.

    - `ours`: a skeleton from the voice and the reference, by the trained model; then the back-end.
    - `transfer`: the true skeleton of the voice's clip, fitted to the reference; then the back-end.
    - `folder`: nothing is filmed, another system's videos are looked up.
    - `true`: the clip itself, for pairs of one subject.
    """

    name: ClassVar[str] = "renditions"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "a video of every pair"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("pairs", ("setting", "reference", "voice", "content", "given")),)
    writes: ClassVar[str] = "renditions"
    unit: ClassVar[str] = "pair_id"
    resources: ClassVar[Resources] = Resources(seconds=48 * 3600, memory_gb=64, gpu=True, one_worker=True)

    method: Method = "ours"
    model_sha256: str = ""  # of the weights
    fit: bool = True
    model: str = Field("", json_schema_extra=runtime())
    window_batch: int = Field(8, json_schema_extra=runtime())
    cast: str = Field("", json_schema_extra=runtime())  # folder of the table `subjects`
    films: str = Field("", json_schema_extra=runtime())  # folder that films of the run are relative to
    folder: str = Field("", json_schema_extra=runtime())  # of another system's videos

    _context: Context = PrivateAttr()
    _cast: "Cast" = PrivateAttr()
    _model: "AudioToSkeleton" = PrivateAttr()
    _device: str = PrivateAttr(default="cpu")

    @property
    def drawn(self) -> bool:
        """Whether its videos are drawn skeletons."""
        return self.backend == "skeleton" and self.method in ("ours", "transfer")

    def result_settings(self) -> dict[str, Any]:
        """Those that the method looks at: another seed changes no true motion, another back-end no given video."""
        unused = {"ours": {"fit"} if self.drawn else set(), "transfer": set(_OURS)}.get(self.method, set())
        found = {name: value for name, value in super().result_settings().items() if name not in unused}
        if self.method == "ours":
            found["generated"] = _GENERATED
        return found if self.method in ("ours", "transfer") else {"method": self.method}

    def setup(self, context: Context) -> None:
        from pipeline.tables.store import Store
        from stages.evaluate.cast import Cast

        self._context = context
        self._cast = Cast(Store(Path(self.cast)), Path(self.films))
        if self.method == "ours":
            import torch

            from pipeline.model.audio_to_skeleton import AudioToSkeleton

            self._device = "cuda" if context.device == "cuda" and torch.cuda.is_available() else "cpu"
            self._model = AudioToSkeleton.load(Path(self.model), self._device)

    def process(self, unit: Unit) -> Iterator[Row]:
        row = unit.row("pairs")
        pair = Pair(row["setting"], row["reference"], row["voice"])
        reference, voice = self._cast[pair.reference], self._cast[pair.voice]
        if self.method == "true":
            seen = {"keypoints": reference.keypoints.reshape(reference.frames, -1), "scores": reference.scores}
            sha256 = self._cast.light(pair.reference)["film_sha256"]
            yield {**self._given(pair, reference.film, sha256, reference.frames, reference), **seen}
        elif self.method == "folder":
            yield self._found(pair, reference)
        else:
            yield self._filmed(pair, row["content"], reference, voice)

    def finish(self, context: Context, store: "Store") -> None:
        """Videos that no row names are of other settings, or of pairs that are no more."""
        named = {context.run / name for name in store.read("renditions", ["film"])["film"].to_pylist()}
        named |= {people.note_of(path) for path in named}
        for path in (context.run / VIDEOS).glob("*/*"):
            if path.is_dir():
                shutil.rmtree(path)  # of a video that was being written when it was killed
            elif path not in named:
                path.unlink()
        for work in (context.run / WORK).glob("[!.]*"):
            _keep_log(work)

    def _found(self, pair: Pair, reference: "Subject") -> Row:
        from pipeline.media.probe import probe
        from stages.evaluate.pairs import film_given

        film = film_given(Path(self.folder), pair)
        if film is None:
            raise Failure(Reason.NOT_THERE, f"pairs.csv says how it has to be called; looked in {self.folder}")
        # What goes on after the voice is not looked at.
        frames = min(probe(film).grid_frames, self._cast[pair.voice].frames)
        return self._given(pair, film, sha256_of(film), frames, reference)

    def _given(self, pair: Pair, film: Path, sha256: str, frames: int, reference: "Subject") -> Row:
        """A video that is there already, of the whole picture."""
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
        film, run = film.resolve(), Path(self.films).resolve()
        here = self._context.run.resolve()
        return os.path.relpath(film, here) if film.is_relative_to(run) and here.is_relative_to(run) else str(film)

    def _filmed(self, pair: Pair, content: str, reference: "Subject", voice: "Subject") -> Row:
        from pipeline.backends import BackendError, Job, drive
        from pipeline.model.generation.inputs import to_whole_frames
        from pipeline.skeleton import align

        motion = self._motion(pair, reference, voice)
        person = reference.person()
        frames = len(motion.keypoints)
        wave = None if voice.wave is None else to_whole_frames(voice.wave, frames)
        job = Job(motion.keypoints, motion.scores, reference.picture(), person.keypoints, person.scores, wave)
        # Videos of other settings are not overwritten: until this one is committed, the table names those.
        settings = json.dumps(self.result_settings(), sort_keys=True)
        name = "-".join(hashlib.sha256(text.encode()).hexdigest()[:12] for text in (pair.id, settings + content))
        out = self._context.run / VIDEOS / pair.setting / f"{name}.mp4"
        work = self._context.run / WORK / name
        shutil.rmtree(work, ignore_errors=True)  # of an attempt that was cut short
        videos = [self._cast.light(subject.name)["video_id"] for subject in (reference, voice)]
        try:
            with people.noting(self._context.run, [out, work], videos):
                film = drive(self.backend, job, self.options(), out, work)
        except BackendError as error:
            raise failure(error) from error
        _keep_log(work)
        near = align.compare(visible(motion.keypoints, motion.scores), visible(person.keypoints, person.scores))
        return {
            "pair_id": pair.id,
            "film": out.relative_to(self._context.run).as_posix(),
            "film_sha256": sha256_of(out),
            "frames": frames,
            "box": list(film.box),
            "keypoints": motion.keypoints.reshape(frames, -1),
            "scores": motion.scores,
            "scale_to_reference": near.scale,
            "away_from_reference": near.distance,
        }

    def _motion(self, pair: Pair, reference: "Subject", voice: "Subject") -> Motion:
        if self.method == "transfer":
            return self._transferred(reference, voice)
        made = self._generated(pair, reference.person(), voice)
        return made if self.drawn or not self.fit else self._brought_onto(made, reference)

    def _brought_onto(self, made: Motion, reference: "Subject") -> Motion:
        """A generated motion as a back-end gets it: mended where it does not lie on the reference."""
        from pipeline.skeleton import align

        person = reference.person()
        motion, still = visible(made.keypoints, made.scores), visible(person.keypoints, person.scores)
        _, fitted = align.align_if_off(motion, still)
        return made if fitted is None else Motion(fitted.apply(made.keypoints).astype(np.float32), made.scores)

    def _transferred(self, reference: "Subject", voice: "Subject") -> Motion:
        from pipeline.skeleton import align

        if not self.fit:
            return Motion(voice.keypoints, voice.scores)
        person = reference.person()
        _, fitted = align.align_motion(visible(voice.keypoints, voice.scores), visible(person.keypoints, person.scores))
        if fitted is None:
            raise Reject(Reason.NOT_GENERATED, "head, shoulders and hips are not seen well enough to fit the motion")
        return Motion(fitted.apply(voice.keypoints).astype(np.float32), voice.scores)

    def _generated(self, pair: Pair, person: "Person", voice: "Subject") -> Motion:
        from pipeline.model.audio_to_skeleton import GUIDANCE_PAIRED, GUIDANCE_UNPAIRED
        from pipeline.model.generation.inputs import BadInput, voice_with_features
        from pipeline.model.generation.placement import place
        from pipeline.skeleton.local import from_local

        assert self._context.models is not None, "the driver hands every worker a model registry"
        if voice.wave is None:
            raise Reject(Reason.NOT_GENERATED, f"{voice.name} has no sound")
        try:
            placed = place(person, self._model.space, sure_score=self._model.sure_score)
        except BadInput as error:
            raise Reject(Reason.NOT_GENERATED, str(error)) from error
        heard = voice_with_features(voice.name, voice.wave, self._model.audio_of, self._context.models, self._device)
        usual = GUIDANCE_PAIRED if pair.setting == PAIRED else GUIDANCE_UNPAIRED
        made = self._model.generate(
            heard.features,
            placed.reference,
            **self.sampling(usual),
            batch=self.window_batch,
        )
        points = placed.into.inverse().apply(from_local(made.local, made.neck)).astype(np.float32)
        return Motion(points, np.broadcast_to(made.scores, points.shape[:2]).astype(np.float32))


def failure(error: "Exception") -> Failure:
    """A back-end's error as an outcome: what every other pair would meet too stops the stage."""
    from pipeline.backends import BackendError, Trouble

    assert isinstance(error, BackendError)
    everywhere = (
        *(Trouble.NO_CHECKOUT, Trouble.NO_PYTHON, Trouble.NO_PACKAGE, Trouble.NO_GPU, Trouble.NO_WEIGHTS),
        Trouble.BAD_JOB,
    )
    reason = Reason.BACKEND_UNUSABLE if error.trouble in everywhere else Reason.BACKEND_FAILED
    return Failure(reason, " ".join(str(error).split()))


def _keep_log(work: Path) -> None:
    """Of a back-end's inputs and outputs keep what it said: drawn pictures of a test set fill a disk."""
    for path in sorted(work.glob("*")) if work.is_dir() else []:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "log.txt":
            path.unlink()
    if work.is_dir() and not any(work.iterdir()):
        people.delete(work)
