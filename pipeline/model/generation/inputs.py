"""The inputs of a generation: a reference person and a voice."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.base.errors import BadUse
from pipeline.base.reasons import Failure, Reject
from pipeline.base.units import FPS, SAMPLE_RATE
from pipeline.media.audio import cut
from pipeline.media.video import GridReader
from pipeline.nets.sound.wav2vec import features_of
from pipeline.storage import storage_of

if TYPE_CHECKING:
    from pipeline.registry.models import Registry

MIN_SCORE = 0.3


class BadInput(BadUse, ValueError):
    """Raised for a reference or voice that cannot be used; the message says why, and what to do."""


@dataclass(frozen=True)
class Person:
    """A reference person.

    Attributes:
        name: used in file names.
        keypoints: (133, 2) px of the picture.
        scores: (133,).
        size: the picture's width and height, px.
        clip: clip_id, or "".
        picture: loads the picture, (H, W, 3) RGB; None where only the skeleton is known.
    """

    name: str
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    size: tuple[int, int]
    clip: str = ""
    picture: Callable[[], Picture] | None = None


@dataclass(frozen=True)
class Voice:
    """A voice, with its audio features.

    Attributes:
        name: used in file names.
        wave: (F x 640,) at 16 kHz.
        features: (F, 768) on the 25-fps grid; (F, 0) where none were requested.
        clip: clip_id, or "".
        skeleton: keypoints (F, 133, 2) px of the clip's picture, NaN where unseen, and scores (F, 133); None for sound alone.
    """

    name: str
    wave: NDArray[np.float32]
    features: NDArray[np.floating]
    clip: str = ""
    skeleton: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


def picture_of_clip(run: Path, video: str, frame: int = 0) -> Picture:
    """Read one frame of a clip, (H, W, 3) RGB.

    Args:
        run: folder that the path is relative to; nothing outside it is opened.
        video: path of the clip, as in a row of the shards.
        frame: on the 25-fps grid.

    Raises:
        BadInput: there is no such clip, or it does not decode.
    """
    path = storage_of(run).contained(video)
    if path is None or not path.is_file():
        raise BadInput(f"the clip {video or 'of this row'} is not in {run}: give a picture with --image")
    try:
        with GridReader(path, frame, 1) as reader:
            for picture in reader:
                return np.ascontiguousarray(picture.pixels)
    except (Reject, Failure) as error:
        raise BadInput(f"{path}: {error.detail or error}") from error
    raise BadInput(f"{path} has no frame {frame}")


def to_whole_frames(wave: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Cut a wave, or pad it with silence, to (frames x 640,) samples."""
    return np.asarray(cut(wave, 0, frames), np.float32)


def voice_with_features(
    name: str, wave: NDArray[np.float32], audio_of: str, models: "Registry", device: str, clip: str = ""
) -> Voice:
    """A voice with the audio features that a model takes.

    Args:
        name: used in file names.
        wave: (samples,) at 16 kHz.
        audio_of: the extractor of the features, such as `logmel768`; "" for none.
        models: the registry that holds wav2vec 2.0.
        device: "cpu" or "cuda".
        clip: clip_id, or "".
    """
    frames = len(wave) * FPS // SAMPLE_RATE
    wave = to_whole_frames(wave, frames)
    if not audio_of:
        return Voice(name, wave, np.zeros((frames, 0), np.float32), clip)
    weights = None if audio_of == "logmel768" else models.resolve(("wav2vec2",)).path
    return Voice(name, wave, features_of(audio_of, wave, frames, weights, device), clip)
