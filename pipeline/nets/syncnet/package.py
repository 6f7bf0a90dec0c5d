"""SyncNet by syncnet-python itself, on face crops of ours: `SyncNetInstance.evaluate`, a reference to compare `SyncNet` with."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from pipeline.base import install
from pipeline.base.arrays import Floats32
from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.syncnet.net import samples_of
from pipeline.nets.syncnet.score import MAX_SHIFT, Score, distances, score

INSTALL = f"{install.with_extra('sync')}, then {install.pip('--no-deps syncnet-python==0.2.3')}"


def import_syncnet(threads: int) -> tuple[Any, Any]:
    """The modules `syncnet_python` and `torch`; ImportError says what to install.

    Args:
        threads: of the CPU, for all of torch in this process; 0 leaves torch as it is.
    """
    try:
        import syncnet_python
        import torch
    except ImportError as error:
        raise ImportError(f"the backend syncnet needs syncnet-python ({error}): {INSTALL}") from error
    if threads:
        torch.set_num_threads(threads)
    return syncnet_python, torch


@dataclass(frozen=True)
class Evaluation:
    """What `SyncNetInstance.evaluate` says of a face and a sound.

    Attributes:
        offset, confidence, distance: as in `Score`, by its own arithmetic.
        lips, sound: (W, 1024) embeddings that its net made on the way.
    """

    offset: int
    confidence: float
    distance: float
    lips: Floats32
    sound: Floats32

    def score(self, used: NDArray[np.bool_]) -> Score:
        """The score over the windows (W,) that count, of which there is at least one.

        The package knows no gaps: where windows do not count, its embeddings are compared as ours are.
        """
        ours = score(distances(self.lips, self.sound), used)
        if not used.all():
            return ours
        return replace(ours, offset=self.offset, confidence=self.confidence, distance=self.distance)


class SyncNetReference:
    """SyncNet by syncnet-python.

    Args:
        weights: `syncnet_v2.model` as its authors publish it, whose hash was checked; read with weights only.
        device: "cpu" or "cuda".
        batch: windows a run.
        threads: of the CPU, for all of torch in this process; 0 leaves torch as it is.

    Raises:
        ImportError: syncnet-python is not installed.
        ValueError: the file is not SyncNet's.
    """

    def __init__(self, weights: Path, device: str = "cpu", batch: int = 20, threads: int = 0) -> None:
        package, torch = import_syncnet(threads)
        self._torch = torch
        self._batch = batch
        self._net = package.SyncNetModel()
        try:
            self._net.load_state_dict(torch.load(weights, map_location=device, weights_only=True))
        except (RuntimeError, TypeError, UnpicklingError) as error:
            raise ValueError(f"{weights.name} is not SyncNet v2: {error}") from error
        self._instance = package.SyncNetInstance(self._net, device=device)

    def evaluate(self, crops: Path, wave: Floats32) -> Evaluation:
        """Compare a face with a sound.

        Args:
            crops: a folder with at least six pictures written by `write_crop`; `audio.wav` is put beside them.
            wave: (samples,) at 16 kHz, -1..1.
        """
        wavfile.write(crops / "audio.wav", SAMPLE_RATE, samples_of(wave))
        lips: list[Floats32] = []
        sound: list[Floats32] = []
        hooks = [
            layer.register_forward_hook(lambda module, given, made, kept=kept: kept.append(made.cpu().numpy()))
            for layer, kept in ((self._net.netfclip, lips), (self._net.netfcaud, sound))
        ]
        options = SimpleNamespace(tmp_dir=str(crops), batch_size=self._batch, vshift=MAX_SHIFT)
        try:
            with self._torch.no_grad(), quiet():
                offset, confidence, distance = self._instance.evaluate(options)
        finally:
            for hook in hooks:
                hook.remove()
        return Evaluation(offset, confidence, distance, np.concatenate(lips), np.concatenate(sound))


def write_crop(folder: Path, number: int, crop: NDArray[np.uint8]) -> None:
    """Write one picture (224, 224, 3) BGR as the package looks for it.

    It reads files called .jpg and leaves it to OpenCV what is in them: a bitmap, so that not a bit is lost.
    """
    done, content = cv2.imencode(".bmp", np.ascontiguousarray(crop))
    assert done, "a bitmap holds any picture"
    (folder / f"{number:06d}.jpg").write_bytes(content.tobytes())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the package prints, and with numpy's own way of printing afterwards, which it changes."""
    with contextlib.redirect_stdout(io.StringIO()), np.printoptions():
        yield
