"""Person detectors and whole-body pose nets: how they are opened, and how what they put out becomes keypoints."""

from typing import Literal

PoseBackend = Literal["onnx", "rtmlib"]
"""What runs a pose net: our own batches over onnxruntime, or rtmlib one person at a time, to compare with."""
