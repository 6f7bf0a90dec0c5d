"""Released nets in half precision, on drawn pictures."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.nets.pose.half import pictures, trial
from pipeline.nets.pose.half.graph import halved, share_of
from pipeline.nets.pose.prepare import detectors, poses
from pipeline.nets.pose.yolox import Detector
from pipeline.nets.session import open_session
from tests.bench.rounded import rounded
from tests.pipeline.nets.fakes import asset


@pytest.mark.slow
def test_a_detector_finds_everybody_and_stays(tmp_path: Path) -> None:
    assert detectors.write(asset("models/yolox_nano_416.onnx"), tmp_path / "net.onnx") == ""
    content = (tmp_path / "net.onnx").read_bytes()
    model = halved(content)
    assert share_of(model) == {"half": 104, "single": 9}, "three last convolutions for each of three strides"
    seen, boxes = pictures.pictures()
    found = Detector(open_session(content), batch=8).detect(seen)
    assert [len(one) for one in found] == [1] * pictures.COUNT
    for one, drawn in zip(found, boxes, strict=True):
        assert np.abs((one[0, :2] + one[0, 2:4] - drawn[0, :2] - drawn[0, 2:]) / 2).max() < 40, "it is the one drawn"
    check_figures("detector", content, model)


@pytest.mark.slow
def test_a_pose_net_is_sure_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "COUNT", 6)
    assert poses.write(asset("models/lite133.onnx"), tmp_path / "net.onnx") == ""
    content = (tmp_path / "net.onnx").read_bytes()
    model = halved(content)
    assert share_of(model)["half"] > 10 * share_of(model)["single"]
    assert check_figures("pose", content, model) > 100 * 6, "most points of a person"


def check_figures(kind: trial.Kind, content: bytes, model: onnx.ModelProto) -> int:
    """A processor rounds weights alone, which these nets stand; rounded as by a GPU more points move. Returns how many."""
    weights, values = (
        trial.judged(kind, trial._tried(kind, content, net.SerializeToString(), "cpu"))
        for net in (model, rounded(model))
    )
    assert weights.near >= trial.SHARE > 0.8 < values.near < weights.near
    return values.points
