"""The reference for `segmentation`: pyannote.audio's own Model and Inference, on its own checkpoint."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base import install
from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.sound.segmentation import WINDOW_SECONDS, bits_of, checked_wave, to_multilabel, two_highest
from pipeline.nets.sound.torchaudio import mark_extension_absent
from pipeline.nets.sound.voices import Voices, frame_of


def import_pyannote() -> Any:
    """The module `pyannote.audio`, without telemetry; works beside a torch without CUDA. ImportError says what to install."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        mark_extension_absent()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that files cannot be decoded by torchcodec: waves come decoded
            import pyannote.audio
    except ImportError as error:
        raise ImportError(f"the backend pyannote needs {error.name}: {install.with_extra('speech')}") from error
    return pyannote.audio


class PyannoteSegmentation:
    """Voices of 16-kHz mono sound, by pyannote.audio.

    Args:
        checkpoint: a file whose hash was checked: pyannote reads it as a whole pickle. It cannot be read with weights only, since
            it holds objects that say what the net was trained for.
        device: "cpu" or "cuda".
        batch: windows a run.
        step_seconds: from the start of a window to the next.
        soft: average probabilities, not decisions.
        threads: of the CPU, for all of torch in this process; 0 leaves torch as it is.

    Raises:
        ImportError: pyannote.audio is not installed.
        ValueError: the checkpoint is of another kind of net.
    """

    def __init__(
        self,
        checkpoint: Path,
        device: str = "cpu",
        batch: int = 8,
        step_seconds: float = 1.0,
        *,
        soft: bool = False,
        threads: int = 0,
    ) -> None:
        audio = import_pyannote()
        import torch

        if threads:
            torch.set_num_threads(threads)
        model = audio.Model.from_pretrained(str(checkpoint))
        kind = model.specifications
        if not (getattr(kind, "powerset", False) and len(kind.classes) == 3 and kind.powerset_max_classes == 2):
            raise ValueError(f"{checkpoint.name} is not segmentation-3.0: it gives {kind}")
        self._torch = torch
        self._speaking: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
        self._soft = soft
        self._step = round(step_seconds * SAMPLE_RATE)
        self._inference = audio.Inference(
            model.eval(),
            duration=WINDOW_SECONDS,
            step=step_seconds,
            batch_size=batch,
            device=torch.device(device),
            skip_conversion=soft,  # its own gives decisions
            pre_aggregation_hook=self._hook,
        )

    def hear(self, wave: NDArray[np.float32]) -> Voices:
        """The voices of a wave (samples,) in -1..1 at 16 kHz; ValueError for another shape or none at all."""
        wave = checked_wave(wave)
        sound = {"waveform": self._torch.from_numpy(np.array(wave))[None], "sample_rate": SAMPLE_RATE}
        scores = np.asarray(self._inference(sound).data, np.float32)
        starts = frame_of(np.arange(len(self._speaking), dtype=np.int64) * self._step)
        return Voices(scores, self._speaking, starts, len(wave))

    def _hook(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Called by pyannote with every window's scores before it averages them."""
        activity = to_multilabel(scores, soft=True) if self._soft else scores
        self._speaking = bits_of(activity)
        return np.ascontiguousarray(two_highest(activity), np.float32)
