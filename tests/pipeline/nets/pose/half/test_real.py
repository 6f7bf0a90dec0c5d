"""Released nets in half precision, on drawn pictures."""

from pathlib import Path

import onnx
import pytest

from pipeline.nets.pose.half import pictures, trial
from pipeline.nets.pose.half.graph import halved, share_of
from pipeline.nets.pose.prepare import detectors, poses
from pipeline.nets.pose.yolox import Detector, iou
from pipeline.nets.session import open_session
from tests.bench.half_precision import CLIPS, clips
from tests.bench.rounded import rounded
from tests.pipeline.nets.fakes import asset


@pytest.mark.slow
def test_a_detector_finds_who_is_in_front_and_mostly_stays(tmp_path: Path) -> None:
    for name in CLIPS:
        asset(f"clips/{name}.mp4")
    assert detectors.write(asset("models/yolox_nano_416.onnx"), tmp_path / "net.onnx") == ""
    content = (tmp_path / "net.onnx").read_bytes()
    model = halved(content)
    assert share_of(model) == {"half": 104, "single": 9}, "three last convolutions for each of three strides"
    seen, boxes = pictures.pictures()
    found = Detector(open_session(content), batch=8).detect(seen)
    for one, drawn in zip(found, boxes, strict=True):
        assert iou(drawn, one).max() > 0.5, "whoever is in front"
    assert sum(map(len, found)) > 2 * pictures.COUNT, "and many of those behind"
    near = near_when_rounded(content, model)
    check_figures("detector", content, model)
    assert near["drawn"] <= near["clips"] + 0.02, "what is drawn is as hard as footage"


def near_when_rounded(content: bytes, model: onnx.ModelProto) -> dict[str, float]:
    """Share of a detector's corners that stay when every value is rounded, by pictures."""
    half = rounded(model).SerializeToString()
    seen = {"drawn": pictures.pictures()[0], "clips": clips(pictures.COUNT)}
    assert len(seen["clips"]) > 0.8 * pictures.COUNT, "some clips are short"
    return {
        where: float((trial.corners(content, half, "cpu", some) <= trial.NEAR_PX).mean())
        for where, some in seen.items()
    }


@pytest.mark.slow
def test_a_pose_net_is_sure_and_mostly_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "COUNT", 6)
    assert poses.write(asset("models/lite133.onnx"), tmp_path / "net.onnx") == ""
    content = (tmp_path / "net.onnx").read_bytes()
    model = halved(content)
    assert share_of(model)["half"] > 10 * share_of(model)["single"]
    assert check_figures("pose", content, model) > 60 * 6, "most points of who is cut by the border"


def check_figures(kind: trial.Kind, content: bytes, model: onnx.ModelProto) -> int:
    """A processor rounds weights alone, which these nets nearly stand; rounded as by a GPU more points move. Returns how many."""
    weights, values = (
        trial.judged(kind, trial._tried(kind, content, net.SerializeToString(), "cpu"))
        for net in (model, rounded(model))
    )
    assert weights.near > 0.92 and weights.near > values.near > 0.75
    return values.points
