"""The whole pipeline of syncnet-python, with its own face detector (S3FD), tracks and crops: a reference, and slow."""

import contextlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.media.writer import ffmpeg_exe
from pipeline.nets.environ import variables
from pipeline.nets.syncnet.package import import_syncnet, quiet


@dataclass(frozen=True)
class FaceFound:
    """A face that the pipeline tracked, and how well its lips fit the sound.

    Attributes:
        frames: (n,) of the film.
        boxes: (n, 4) x1, y1, x2, y2 in px.
        offset, confidence, distance: as in `Score`.
    """

    frames: NDArray[np.int64]
    boxes: Floats64
    offset: int
    confidence: float
    distance: float


class WholePipeline:
    """`SyncNetPipeline` with its own settings: faces of at least 100 px in at least 51 frames.

    Args:
        syncnet, s3fd: weights as their authors publish them, whose hashes were checked.
        device: "cpu" or "cuda".
        threads: of the CPU, for all of torch in this process; 0 leaves torch as it is.

    Raises:
        ImportError: syncnet-python is not installed. RuntimeError: the weights are of other nets.
    """

    def __init__(self, syncnet: Path, s3fd: Path, device: str = "cpu", threads: int = 0) -> None:
        package, self._torch = import_syncnet(threads)
        weights = {"syncnet_weights": str(syncnet), "s3fd_weights": str(s3fd)}
        self._pipeline: Any = package.SyncNetPipeline(weights, device=device)

    def faces(self, film: Path, sound: Path, work: Path) -> list[FaceFound]:
        """The faces of a film, in the pipeline's order; none where it finds none.

        Args:
            film: with a sound track, 25 pictures a second.
            sound: a .wav file at 16 kHz.
            work: an empty folder, in which it leaves its pictures and crops.

        Raises:
            RuntimeError: ffmpeg failed.
        """
        tracks: list[dict[str, Any]] = []
        crop = self._pipeline._crop

        def remembered(track: dict[str, Any], *rest: Any) -> Any:
            tracks.append(track)
            return crop(track, *rest)

        self._pipeline._crop = remembered  # `inference` tells scores, and not of which face
        try:
            with _ffmpeg_in(work) as self._pipeline.cfg.ffmpeg_bin, self._torch.no_grad(), quiet():
                offsets, confidences, distances, *_ = self._pipeline.inference(
                    str(film), str(sound), cache_dir=str(work)
                )
        finally:
            self._pipeline._crop = crop
        scores = zip(offsets, confidences, distances, strict=True)
        return [
            FaceFound(np.asarray(track["frame"], np.int64), np.asarray(track["bbox"], float), *score)
            for track, score in zip(tracks, scores, strict=True)
        ]


@contextlib.contextmanager
def _ffmpeg_in(folder: Path) -> Iterator[str]:
    """Our ffmpeg under the name that the package calls, first in the path, and silent but for errors."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(ffmpeg_exe())} -nostdin -loglevel error "$@"\n', encoding="utf-8")
    program.chmod(0o700)
    with variables(PATH=os.pathsep.join([str(program.parent), os.environ.get("PATH", os.defpath)])):
        yield str(program)
