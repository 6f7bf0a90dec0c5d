"""Factories of detectors and pose nets: every stage opens them here, so that all honour the same settings."""

from pathlib import Path

from pipeline.nets.pose import PoseBackend, simcc
from pipeline.nets.pose.batches import CPU_PEOPLE, GPU_PEOPLE
from pipeline.nets.pose.dwpose import PoseEstimator, PoseNet
from pipeline.nets.pose.rtmlib_pose import RtmlibPose
from pipeline.nets.pose.yolox import Detector
from pipeline.nets.server.client import open_net
from pipeline.nets.server.wire import Address
from pipeline.nets.session import Device


def open_detector(
    model: str | Path,
    device: Device = "cpu",
    threads: int = 0,
    *,
    score: float = 0.3,
    nms_iou: float = 0.45,
    batch: int = 8,
    server: Address | None = None,
) -> Detector:
    """A person detector.

    Args:
        model: path of the .onnx file.
        device: "cpu" or "cuda".
        threads: CPU threads within an operator; 0 takes one a core.
        score: least score of a detected box, 0..1.
        nms_iou: overlap (IoU) from which the weaker of two boxes is dropped.
        batch: pictures a run, where the model takes any number.
        server: that holds the net; None for a session of our own.

    Raises:
        ValueError: the model is no detector. What `open_net` raises.
    """
    return Detector(open_net(model, device, threads, server, together=True), score, nms_iou, batch)


def open_pose(
    model: str | Path,
    device: Device = "cpu",
    threads: int = 0,
    *,
    backend: PoseBackend = "onnx",
    batch: int = 0,
    workers: int = 2,
    released: Path | None = None,
    server: Address | None = None,
) -> PoseEstimator:
    """A whole-body pose net.

    Args:
        model: path of the .onnx file.
        device: "cpu" or "cuda".
        threads: CPU threads within an operator; 0 takes one a core.
        backend: "onnx", or "rtmlib": slower, a reference to compare with.
        batch: people a run, where the model takes any number; 0 takes as many as suit the device. rtmlib takes one.
        workers: threads that prepare crops while the net runs.
        released: the file that a prepared model was made of: rtmlib takes no other.
        server: that holds the net; None for a session of our own, which rtmlib has in any case.

    Raises:
        ValueError: the model is no pose net, or rtmlib does not know how to decode it. RuntimeError: rtmlib is not installed.
        What `open_net` raises.
    """
    if backend == "rtmlib":
        model, server = released or model, None
    batch = batch or (GPU_PEOPLE if device == "cuda" else CPU_PEOPLE)
    net = PoseNet(open_net(model, device, threads, server, together=True), batch, workers)
    if backend == "onnx":
        return net
    if net.decode is not simcc.decode_outputs:
        raise ValueError(f"{model}: rtmlib decodes SimCC outputs only: set backend to onnx")
    # rtmlib does not ask the model for its input's size.
    return RtmlibPose(model, device, (net.height, net.width), net.footage)
