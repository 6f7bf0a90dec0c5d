"""Nets as everybody opens them: theirs, ours, and the one that rtmlib cannot decode."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.nets.pose.batches import CPU_PEOPLE
from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.pose.factory import open_detector, open_pose
from pipeline.nets.pose.rtmlib_pose import RtmlibPose
from tests.pipeline.nets.heat_map_net import with_heat_maps

pytest.importorskip("onnx")

from pipeline.theatre import build_nets


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_nets(tmp_path_factory.mktemp("nets"))


def test_a_detector_as_it_was_asked_for(nets: dict[str, Path]) -> None:
    detector = open_detector(nets["detector"], threads=1, score=0.6, nms_iou=0.2, batch=3)
    assert (detector.score, detector.nms, detector.footage) == (0.6, 0.2, "theatre")
    usual = open_detector(nets["detector"], threads=1)
    assert (usual.score, usual.nms) == (0.3, 0.45)


def test_ours_by_default(nets: dict[str, Path]) -> None:
    net = open_pose(nets["pose"], threads=1, batch=5, workers=3)
    assert isinstance(net, PoseNet) and (net.batch, net.workers, net.footage) == (5, 3, "theatre")


def test_people_a_run_suit_the_device_and_change_nobody(nets: dict[str, Path]) -> None:
    rng = np.random.default_rng(405)
    pictures = rng.integers(0, 256, (9, 120, 100, 3), np.uint8)
    fitting, many = open_pose(nets["pose"], threads=1), open_pose(nets["pose"], threads=1, batch=9)
    assert isinstance(fitting, PoseNet) and fitting.batch == CPU_PEOPLE < 9
    crops = [fitting.prepare_crop(picture, (10, 5, 90, 118)) for picture in pictures]
    for few, all_at_once in zip(fitting.run(crops), many.run(crops), strict=True):
        np.testing.assert_array_equal(few, all_at_once)


def test_rtmlib_sees_the_same_person_in_the_same_place(nets: dict[str, Path]) -> None:
    pytest.importorskip("rtmlib")
    from pipeline.theatre import render_take, take_named

    net = open_pose(nets["pose"], threads=1, backend="rtmlib")
    assert isinstance(net, RtmlibPose) and net.footage == "theatre"
    pictures, _ = render_take(take_named("talk-1"), seconds=0.04)
    boxes = open_detector(nets["detector"], threads=1).detect(list(pictures[:1]))
    ours = open_pose(nets["pose"], threads=1)
    box = boxes[0][0]
    (a, seen), (b, _) = (one.run([one.prepare_crop(pictures[0], box)]) for one in (ours, net))
    assert np.abs(a - b)[seen > 0.3].max() < 2


def test_rtmlib_refuses_heat_maps(nets: dict[str, Path], tmp_path: Path) -> None:
    heat = with_heat_maps(nets["pose"], tmp_path / "heat.onnx")
    assert isinstance(open_pose(heat, threads=1), PoseNet)
    with pytest.raises(ValueError, match="rtmlib decodes SimCC outputs only"):
        open_pose(heat, threads=1, backend="rtmlib")
