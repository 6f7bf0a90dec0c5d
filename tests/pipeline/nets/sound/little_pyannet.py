"""A random net of segmentation-3.0's kind, so small that it answers at once: as pyannote's checkpoint and as ONNX."""

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest


def pyannote() -> Any:
    """The module `pyannote.audio`; the test is skipped where it cannot be imported."""
    from pipeline.nets.sound.pyannote_segmentation import import_pyannote

    try:
        return import_pyannote()
    except ImportError as error:
        pytest.skip(str(error))


SMALL = {"hidden_size": 8, "num_layers": 1}


def random_net(
    seed: int = 405, powerset: int | None = 2, lstm: dict[str, Any] = SMALL, linear: dict[str, Any] = SMALL
) -> Any:
    """A PyanNet with random weights, loud enough that it says each of its classes now and then."""
    pyannote()
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet

    torch.set_num_threads(1)  # threads that wait for each other in turns are slow on a busy machine
    torch.manual_seed(seed)
    net = PyanNet(lstm=dict(lstm), linear=dict(linear))
    net.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION, resolution=Resolution.FRAME, duration=10.0, warm_up=(0.0, 0.0),
        classes=["1", "2", "3"], powerset_max_classes=powerset, permutation_invariant=True,
    )  # fmt: skip
    net.build()
    with torch.no_grad():
        net.classifier.weight.mul_(40)
        for weight in net.lstm.parameters():
            weight.mul_(4)
    return net.eval()


def save_checkpoint(net: Any, path: Path) -> Path:
    """The net as pyannote's own training writes it."""
    from lightning.pytorch import Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it tells everybody of every trainer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(logger=False, enable_checkpointing=False, barebones=True, accelerator="cpu")
        trainer.strategy.connect(net)
        trainer.save_checkpoint(path, weights_only=True)
    return path


def export(net: Any, path: Path) -> Path:
    """The net as ONNX, with the names and free sizes of sherpa-onnx's export."""
    import torch

    free = {"x": {0: "N", 2: "T"}, "y": {0: "N", 1: "F"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(1, 1, 160_000),), str(path), input_names=["x"], output_names=["y"], dynamic_axes=free, dynamo=False
        )  # fmt: skip
    return path
