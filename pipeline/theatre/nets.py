"""The theatre's nets: they see puppets, with the inputs and outputs of real ones."""

from pathlib import Path

from pipeline.theatre.detector import build_detector
from pipeline.theatre.facenets import build_face_nets
from pipeline.theatre.lipnet import build_lip_net
from pipeline.theatre.posenet import build_pose_net
from pipeline.theatre.segnet import build_segmentation_net


def build_nets(folder: Path) -> dict[str, Path]:
    """Write the nets into a folder as ONNX files, each with the signature of a real one.

    `detector`: YOLOX's, `pose`: DWPose's, `segmentation`: pyannote segmentation-3.0's, `syncnet`: SyncNet's, of faces: DeepFace's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "detector": build_detector(folder / "theatre_detector.onnx"),
        "pose": build_pose_net(folder / "theatre_pose.onnx"),
        "segmentation": build_segmentation_net(folder / "theatre_segmentation.onnx"),
        "syncnet": build_lip_net(folder / "theatre_syncnet.onnx"),
        **build_face_nets(folder),
    }
