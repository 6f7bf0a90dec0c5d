"""A theatre of puppets: short videos whose every keypoint is known, and the nets that see them.

The demo crawls them, and the tests measure against them. Everything follows from a seed.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.theatre.film import Film, Truth, render_take
    from pipeline.theatre.programme import PROGRAMMES, take_named
    from pipeline.theatre.render import build, truth
    from pipeline.theatre.server import serve
    from pipeline.theatre.takes import TAKES, Actor, Shot, Take

__all__ = [
    "PROGRAMMES", "TAKES", "Actor", "Film", "Shot", "Take", "Truth", "build", "build_nets", "render_take", "serve",
    "take_named", "truth",
]  # fmt: skip

_HOMES = {
    "film": ("Film", "Truth", "render_take"),
    "programme": ("PROGRAMMES", "take_named"),
    "render": ("build", "truth"),
    "server": ("serve",),
    "takes": ("TAKES", "Actor", "Shot", "Take"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: to know the names of the takes nobody needs a painter."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pipeline.theatre.{module}"), name)
    raise AttributeError(f"pipeline.theatre has no {name}")


def build_nets(folder: Path) -> dict[str, Path]:
    """Write the nets into a folder as ONNX files, each with the signature of a real one.

    `detector`: YOLOX's, `pose`: DWPose's, `segmentation`: pyannote segmentation-3.0's, `syncnet`: SyncNet's, of faces: DeepFace's.
    """
    from pipeline.theatre.detector import build_detector  # onnx takes 0.1 s to import
    from pipeline.theatre.facenets import build_face_nets
    from pipeline.theatre.lipnet import build_lip_net
    from pipeline.theatre.posenet import build_pose_net
    from pipeline.theatre.segnet import build_segmentation_net

    folder.mkdir(parents=True, exist_ok=True)
    return {
        "detector": build_detector(folder / "theatre_detector.onnx"),
        "pose": build_pose_net(folder / "theatre_pose.onnx"),
        "segmentation": build_segmentation_net(folder / "theatre_segmentation.onnx"),
        "syncnet": build_lip_net(folder / "theatre_syncnet.onnx"),
        **build_face_nets(folder),
    }
