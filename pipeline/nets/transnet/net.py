"""TransNet V2 under onnxruntime, over a film of any length, picture by picture."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32
from pipeline.nets.transnet.graph import CUT, HEIGHT, MIXED, PICTURES, WIDTH, WINDOW

if TYPE_CHECKING:
    import onnxruntime

CONTEXT = 25  # pictures at either end of a window of which nothing is said
_STEP = WINDOW - 2 * CONTEXT

Pictures = NDArray[np.uint8]
_NOTHING = (np.empty(0, np.float32), np.empty(0, np.float32))


class TransNet:
    """Takes the pictures of one film in order; the first and last are repeated, so that there is something around each.

    Args:
        session: of `graph.to_onnx`'s model, or any of its signature.

    Raises:
        ValueError: the session is of another model.
    """

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        names = {item.name for item in session.get_inputs()}, {item.name for item in session.get_outputs()}
        if names != ({PICTURES}, {CUT, MIXED}):
            raise ValueError(f"this net takes and gives {names}, not {PICTURES} for {CUT} and {MIXED}")
        self._session = session
        self._waiting: list[Pictures] = []
        self._found: list[tuple[Floats32, Floats32]] = []
        self._seen = 0

    def see(self, rgb: Pictures) -> None:
        """Look at the next picture (height, width, 3), of any size: it is made 48 x 27, whatever its shape."""
        if rgb.shape[:2] != (HEIGHT, WIDTH):
            rgb = np.asarray(cv2.resize(rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
        self._seen += 1
        self._take(rgb, 1 if self._waiting else 1 + CONTEXT)

    def finish(self) -> tuple[Floats32, Floats32]:
        """Probabilities (pictures,) that a shot ends with this picture, and that it is of a transition; ready for another film."""
        seen = self._seen
        if seen:
            self._take(self._waiting[-1], CONTEXT + -seen % _STEP)
        cut, mixed = (np.concatenate(parts)[:seen] for parts in zip(_NOTHING, *self._found, strict=True))
        self._waiting, self._found, self._seen = [], [], 0
        return cut, mixed

    def _take(self, picture: Pictures, times: int) -> None:
        self._waiting += [picture] * times
        while len(self._waiting) >= WINDOW:
            cut, mixed = self._session.run([CUT, MIXED], {PICTURES: np.stack(self._waiting[:WINDOW])})
            self._found.append((cut[CONTEXT:-CONTEXT], mixed[CONTEXT:-CONTEXT]))
            del self._waiting[:_STEP]
