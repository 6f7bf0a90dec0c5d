"""Person detectors, whole-body pose nets, the decoders of their outputs, and tracking."""

from typing import Literal

PoseBackend = Literal["onnx", "rtmlib"]
"""The runtime of a pose net: our own batches over onnxruntime, or rtmlib, one person at a time, as a reference."""
