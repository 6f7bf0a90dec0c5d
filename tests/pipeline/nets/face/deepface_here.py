"""DeepFace itself, as the reference: imported with its ONNX engine, on nets that were made here."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

FILES = {
    "gender": "gender_model_weights.onnx",
    "age": "age_model_weights.onnx",
    "ethnicity": "race_model_single_batch.onnx",
    "emotion": "facial_expression_model_weights.onnx",
    "identity": "arcface_weights.onnx",
}
SIGNATURES = {  # side and channels of the input, width of the output
    "gender": (224, 3, 2),
    "age": (224, 3, 101),
    "ethnicity": (224, 3, 6),
    "emotion": (48, 1, 7),
    "identity": (112, 3, 512),
}


def write_nets(folder: Path, seed: int = 405) -> dict[str, Path]:
    """Small nets of random weights with the signatures of DeepFace's, under its file names."""
    graph = pytest.importorskip("pipeline.theatre.graph", reason="the nets of this test are made with onnx")
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, (side, channels, width) in SIGNATURES.items():
        g = graph.Graph(name)
        stride = side // 14 if side % 14 == 0 else 4
        cells = (side // stride) ** 2
        first = g.op("Transpose", "input", perm=[0, 3, 1, 2])
        kernel = rng.normal(0, 1 / stride, (6, channels, stride, stride))
        seen = g.op("Tanh", g.op("Conv", first, kernel, strides=[stride, stride]))
        scores = g.op("MatMul", g.reshape(seen, 0, 6 * cells), rng.normal(0, 0.15, (6 * cells, width)))
        result = scores if name == "identity" else g.op("Softmax", scores, axis=1)
        shape = {"input": ["N", side, side, channels]}
        found[name] = g.save(folder / FILES[name], shape, {"output": (result, ["N", width])})
    return found


@contextmanager
def deepface(home: Path) -> Iterator[Any]:
    """The module `deepface.DeepFace`, whose weights lie under a folder of ours; the test is skipped where it is not installed."""
    pytest.importorskip("deepface", reason="the extra `attributes` is not installed")
    environment = {"DEEPFACE_HOME": str(home), "DEEPFACE_BACKEND_ENGINE": "onnx"}
    with mock.patch.dict(os.environ, environment):
        try:
            yield importlib.import_module("deepface.DeepFace")
        except ImportError as error:
            pytest.skip(f"deepface cannot be imported here: {error}")
