"""Gender, age, ethnicity and emotion of faces with DeepFace's nets, in batches, with DeepFace's own preparation of pictures.

The nets take N x 224 x 224 x 3 (emotion: N x 48 x 48 x 1) and give N x classes. Pictures go in as `DeepFace.analyze` puts them in
with `detector_backend="skip"`: values 0..1, fitted into 224 x 224 with black borders, blue first; emotion sees that picture in
grey, at 48 x 48. Results equal DeepFace's (Serengil and Ozpinar, LightFace, 2020; read in deepface 0.0.103).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32, Picture

if TYPE_CHECKING:
    import onnxruntime

Attribute = Literal["gender", "age", "ethnicity", "emotion"]

SIDE = 224
EMOTION_SIDE = 48
AGES = np.arange(101)  # the classes of the age net, in years
# In the order of the nets' outputs; the words are the paper's (figure 2b).
LABELS: dict[Attribute, tuple[str, ...]] = {
    "gender": ("female", "male"),
    "age": tuple(map(str, AGES)),
    "ethnicity": ("Asian", "Indian", "Black", "White", "Middle Eastern", "Latino Hispanic"),
    "emotion": ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral"),
}


class AttributeNet:
    """One of DeepFace's nets, or any of its signature.

    Args:
        session: of the model.
        attribute: what it tells.
        batch: faces a run, where the model takes any number.

    Raises:
        ValueError: the model has another signature.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", attribute: Attribute, batch: int = 16) -> None:
        source, out = session.get_inputs()[0], session.get_outputs()[0]
        side, channels = (EMOTION_SIDE, 1) if attribute == "emotion" else (SIDE, 3)
        classes = len(LABELS[attribute])
        inputs, result = list(source.shape), list(out.shape)
        if not _fits(inputs[1:], [side, side, channels]) or not _fits(result[1:], [classes]):
            raise ValueError(
                f"the {attribute} net takes N x {side} x {side} x {channels} and gives N x {classes}; "
                f"this model takes {inputs} and gives {result}"
            )
        self.attribute = attribute
        self._runner = Runner(session, batch)

    def __call__(self, faces: Sequence[Picture]) -> Floats32:
        """Scores of faces.

        Args:
            faces: RGB pictures (H, W, 3) of any size, uint8.

        Returns:
            (N, classes) in the order of `LABELS`, 0..1. Ethnicity and emotion sum to 1; gender and age are as the net gives them.
        """
        prepared = [fitted(face) for face in faces]
        if self.attribute == "emotion":
            prepared = [_small_grey(face) for face in prepared]
        scores = self._runner(prepared, len(LABELS[self.attribute]))
        if self.attribute in ("ethnicity", "emotion"):
            scores = scores / scores.sum(1, keepdims=True)
        return scores


@dataclass(frozen=True)
class Consensus:
    """The consensus over several frames of a face: the label, and the share of frames, 0..1, that agree with it."""

    label: str
    agreement: float


def consensus(scores: Floats32, attribute: Attribute) -> Consensus:
    """The label with the greatest mean score over frames (N, classes), N >= 1."""
    best = int(scores.mean(0).argmax())
    return Consensus(LABELS[attribute][best], float((scores.argmax(1) == best).mean()))


def ages(scores: Floats32) -> NDArray[np.float64]:
    """Apparent age in years, (N,): the mean of the classes, weighted by the age net's scores (N, 101)."""
    return np.asarray((scores * AGES).sum(1), np.float64)


def fitted(face: Picture, side: int = SIDE) -> Floats32:
    """A picture as DeepFace's attribute nets see it: (H, W, 3) RGB -> (side, side, 3) float32 BGR, 0..1, black borders."""
    return bordered(face[:, :, ::-1] / 255, side)


def bordered(picture: NDArray[Any], side: int) -> Floats32:
    """A picture (H, W, 3) scaled to fit a square, in the middle of it, black around; same values, float32."""
    scale = min(side / picture.shape[0], side / picture.shape[1])
    small = cv2.resize(picture, (int(picture.shape[1] * scale), int(picture.shape[0] * scale)))
    square = np.zeros((side, side, 3), np.float32)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def _small_grey(picture: Floats32) -> Floats32:
    """(224, 224, 3) BGR -> (48, 48, 1)."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, (EMOTION_SIDE, EMOTION_SIDE)), np.float32)[..., None]


class Runner:
    """Runs a model with one input and one output of interest, in batches of the size that it takes."""

    def __init__(self, session: "onnxruntime.InferenceSession", batch: int) -> None:
        source = session.get_inputs()[0]
        self._session, self._input = session, source.name
        self._output = session.get_outputs()[0].name
        self._fixed = isinstance(source.shape[0], int)
        self._batch = source.shape[0] if self._fixed else batch

    def __call__(self, inputs: Sequence[Floats32], width: int) -> Floats32:
        """(N, width) float32 outputs of N inputs."""
        parts = [np.zeros((0, width), np.float32)]
        for at in range(0, len(inputs), self._batch):
            block = np.stack(inputs[at : at + self._batch])
            count = len(block)
            if self._fixed and count < self._batch:
                block = np.concatenate([block, np.zeros((self._batch - count, *block.shape[1:]), np.float32)])
            parts.append(self._session.run([self._output], {self._input: block})[0][:count])
        return np.concatenate(parts)


def _fits(shape: Sequence[int | str | None], wanted: Sequence[int]) -> bool:
    """Whether a model's shape is the wanted one where it says numbers."""
    return len(shape) == len(wanted) and all(
        not isinstance(dimension, int) or dimension == size for dimension, size in zip(shape, wanted, strict=True)
    )
