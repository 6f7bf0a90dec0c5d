"""Face identity: unit vectors that are similar for pictures of one person.

Two forms of ArcFace's signature (Deng et al., CVPR 2019), told apart by their input. Channels last, N x 112 x 112 x 3, is
DeepFace's: blue first, 0..1, as `DeepFace.represent` puts pictures in with `detector_backend="skip"` (read in 0.0.103).
Channels first, N x 3 x 112 x 112, is the papers' own: red first, (value - 127.5) / 127.5.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32, Picture
from pipeline.nets.face.attributes import Runner, bordered

if TYPE_CHECKING:
    import onnxruntime

SIDE = 112


class IdentityNet:
    """A face embedding net.

    Args:
        session: of the model.
        batch: faces a run, where the model takes any number.

    Raises:
        ValueError: the model has another signature.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", batch: int = 16) -> None:
        source, out = session.get_inputs()[0], session.get_outputs()[0]
        self._channels_first = list(source.shape[1:]) == [3, SIDE, SIDE]
        if not (self._channels_first or list(source.shape[1:]) == [SIDE, SIDE, 3]) or len(out.shape) != 2:
            raise ValueError(
                f"an identity net takes N x {SIDE} x {SIDE} x 3 or N x 3 x {SIDE} x {SIDE} and gives N x width; "
                f"this model takes {source.shape} and gives {out.shape}"
            )
        self.width = int(out.shape[1])
        self._runner = Runner(session, batch)

    def __call__(self, faces: Sequence[Picture]) -> Floats32:
        """(N, width) unit vectors of faces: RGB pictures (H, W, 3), uint8, best (112, 112, 3) as `faces.aligned` cuts them."""
        vectors = self.raw(faces)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)

    def raw(self, faces: Sequence[Picture]) -> Floats32:
        """(N, width) what the net gives, of whatever length."""
        prepared = [self._prepared(face) for face in faces]
        return self._runner(prepared, self.width)

    def _prepared(self, face: Picture) -> Floats32:
        if self._channels_first:
            return np.ascontiguousarray((bordered(face, SIDE) - 127.5).transpose(2, 0, 1) / 127.5, np.float32)
        # Scaled before it is divided, as there: what is scaled is rounded.
        return np.asarray(bordered(face[:, :, ::-1], SIDE) / np.float32(255), np.float32)


def mean_identity(vectors: NDArray[np.floating]) -> tuple[Floats32, float]:
    """The mean (width,) of unit vectors (N, width), N >= 1, as a unit vector, and their mean cosine to it, 0..1."""
    mean = vectors.mean(0)
    mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return mean.astype(np.float32), float((vectors @ mean).mean())
