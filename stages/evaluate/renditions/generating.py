"""Skeletons from voices, by the trained model."""

from pathlib import Path

import numpy as np
import torch

from pipeline.base.reasons import Reason, Reject
from pipeline.engine.stage import Context
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.generation.inputs import BadInput, Person, voice_with_features
from pipeline.model.generation.placement import place
from pipeline.skeleton.local import from_local
from stages.evaluate.cast import Subject
from stages.evaluate.pairs import PAIRED, Pair
from stages.evaluate.renditions.motion import Motion
from stages.evaluate.renditions.settings import RenditionsSettings


class Generator:
    """Holds the model."""

    def __init__(self, settings: RenditionsSettings, context: Context) -> None:
        assert context.models is not None, "the driver hands every worker a model registry"
        self._settings, self._models = settings, context.models
        self._device = "cuda" if context.device == "cuda" and torch.cuda.is_available() else "cpu"
        self._model = AudioToSkeleton.load(Path(settings.model), self._device)

    def motion(self, pair: Pair, person: Person, voice: Subject) -> Motion:
        """Generate what the person of the reference does with a voice. Raises Reject where that cannot be."""
        if voice.wave is None:
            raise Reject(Reason.NOT_GENERATED, f"{voice.name} has no sound")
        try:
            placed = place(person, self._model.space, sure_score=self._model.sure_score)
        except BadInput as error:
            raise Reject(Reason.NOT_GENERATED, str(error)) from error
        voiced = voice_with_features(voice.name, voice.wave, self._model.audio_of, self._models, self._device)
        made = self._model.generate(
            voiced.features,
            placed.reference,
            **self._settings.sampling(paired=pair.setting == PAIRED, published=self._model.published),
            batch=self._settings.window_batch,
        )
        points = placed.into.inverse().apply(from_local(made.local, made.neck)).astype(np.float32)
        return Motion(points, np.broadcast_to(made.scores, points.shape[:2]).astype(np.float32))
