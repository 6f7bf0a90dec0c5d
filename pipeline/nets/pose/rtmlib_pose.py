"""The same pose models through rtmlib (Apache-2.0), one person at a time: a reference, not the fast path."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.base import install
from pipeline.base.arrays import Picture
from pipeline.nets.pose.dwpose import Crop, Pose
from pipeline.nets.session import Device, check_model
from pipeline.skeleton.layout import K


class RtmlibPose:
    """Runs a model of DWPose's signature through `rtmlib.RTMPose`.

    Where rtmlib and DWPose disagree, this follows DWPose: no box gives no skeleton (rtmlib would annotate the whole
    picture), the input is 384 x 288 (rtmlib's default is 256 x 192), a score is the lower of both rows' maxima (rtmlib
    0.0.16 takes their mean), and a point that is not found is NaN (rtmlib puts it at -1). Keypoints are rtmlib's own, in
    steps of half a pixel of the input.

    Args:
        model: path of the .onnx file.
        device: "cpu" or "cuda".
        size: (height, width) of the model's input.
        footage: the only footage that the model can see; "" when it sees any.

    Raises:
        RuntimeError: rtmlib is not installed.
        pipeline.nets.session.ModelRefused: see there.
    """

    batch = 1
    lanes = 1

    def __init__(
        self, model: str | Path, device: Device = "cpu", size: tuple[int, int] = (384, 288), footage: str = ""
    ) -> None:
        try:
            from rtmlib import RTMPose
        except ImportError as error:
            raise RuntimeError(f"rtmlib is not installed: {install.pip('--no-deps rtmlib==0.0.16 tqdm')}") from error
        check_model(Path(model).read_bytes(), str(model))
        self.footage = footage
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
            self._pose = RTMPose(str(model), model_input_size=(size[1], size[0]), backend="onnxruntime", device=device)

    def prepare_crop(self, picture: Picture, box: ArrayLike) -> Crop:
        """As `PoseNet.prepare_crop`. The picture stays RGB: the net's constants are in that order."""
        crop, centre, extent = self._pose.preprocess(picture, np.asarray(box, np.float64)[:4])
        width, height = self._pose.model_input_size
        scale = np.asarray(extent) / [width, height]
        corner = np.asarray(centre) - np.asarray(extent) / 2
        back = np.array([[scale[0], 0, corner[0]], [0, scale[1], corner[1]]])
        return np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32), back

    def run(self, crops: Sequence[Crop]) -> Pose:
        """As `PoseNet.run`."""
        poses = [self._run(crop, back) for crop, back in crops]
        points = np.concatenate([np.empty((0, K, 2), np.float32), *(p for p, _ in poses)])
        return points, np.concatenate([np.empty((0, K), np.float32), *(s for _, s in poses)])

    def _run(self, crop: NDArray[np.generic], back: NDArray[np.float64]) -> Pose:
        outputs = self._pose.inference(crop.transpose(1, 2, 0))
        extent = back[[0, 1], [0, 1]] * np.asarray(self._pose.model_input_size)
        points, _ = self._pose.postprocess(outputs, back[:, 2] + extent / 2, extent)
        scores = np.minimum(outputs[0].max(-1), outputs[1].max(-1))
        points = np.where((scores > 0)[..., None], points, np.nan)
        return points.astype(np.float32), np.clip(scores, 0, 1).astype(np.float32)

    def estimate(self, pictures: Sequence[Picture], boxes_per_picture: Sequence[ArrayLike]) -> list[Pose]:
        """As `PoseNet.estimate`."""
        return [
            self.run([self.prepare_crop(picture, box) for box in np.asarray(boxes)])
            for picture, boxes in zip(pictures, boxes_per_picture, strict=True)
        ]
