"""What the profile says of annotate's pose nets holds for everybody who looks at people."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.engine.session import Session
from pipeline.engine.stage import Context
from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.session import open_session
from stages.annotate import Annotate
from stages.evaluate import Evaluate
from stages.evaluate.renditions import Renditions
from stages.evaluate.scores import Scores
from stages.evaluate.stages import Stages
from stages.evaluate.subjects import Subjects
from stages.import_poses.comparer import Comparer

pytest.importorskip("onnx")

BACKENDS = ("onnx", "rtmlib")


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipeline.theatre import build_nets

    folder = tmp_path_factory.mktemp("nets")
    build_nets(folder)
    return folder


@pytest.fixture
def by_rtmlib(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the nets that rtmlib was asked to run, which need not be installed."""
    asked: list[str] = []

    def stand_in(model: Path, device: Any, size: tuple[int, int], footage: str) -> PoseNet:
        asked.append(f"{Path(model).stem} {size[0]}x{size[1]} {footage}")
        return PoseNet(open_session(model, device))

    monkeypatch.setattr("pipeline.nets.pose.factory.RtmlibPose", stand_in)
    return asked


def session(run: Path, nets: Path, backend: str) -> Session:
    sets = ["machine.device=cpu", *([] if backend == "onnx" else [f"annotate.backend={backend}"])]
    return Session("demo", str(run), "", "", "", str(nets), sets, ["evaluate"])


def context(given: Session) -> Context:
    return Context(given.run, threads=1, models=given.models)


def annotating(given: Session) -> None:
    given.profile.stage("annotate").worker(context(given))


def subjects(given: Session) -> Subjects:
    return Stages(Evaluate(protocol="pats", source=str(given.run)), given).subjects()


def scores(given: Session) -> Scores:
    made = Renditions(method="transfer", backend="mimicmotion")
    evaluate = Evaluate(inception=(), i3d=(), protocol="pats", source=str(given.run))
    return Stages(evaluate, given).scores(given.run, made)


def generating(given: Session) -> None:
    from pipeline.model.generation.given import BadInput
    from stages.generate.inputs import _of_picture

    picture = given.run / "grey.png"
    cv2.imwrite(str(picture), np.full((96, 96, 3), 128, np.uint8))
    with pytest.raises(BadInput, match="see nobody"):
        _of_picture(picture, given)


def looking(stage: Subjects | Scores, given: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.evaluate.annotation.check_footage", lambda *_: None)
    stage.worker(context(given))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("user", ["annotate", "subjects", "scores", "generate"])
def test_everybody_runs_the_net_that_the_profile_says(
    user: str, backend: str, nets: Path, by_rtmlib: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = session(tmp_path, nets, backend)
    if user == "annotate":
        annotating(given)
    elif user == "generate":
        generating(given)
    else:
        looking(subjects(given) if user == "subjects" else scores(given), given, monkeypatch)
    assert by_rtmlib == (["theatre_pose 384x288 theatre"] if backend == "rtmlib" else [])


def test_released_poses_are_compared_with_our_own_net(nets: Path, by_rtmlib: list[str], tmp_path: Path) -> None:
    Comparer(context(session(tmp_path, nets, "rtmlib")), ("theatre_detector",), ("theatre_pose",))
    assert by_rtmlib == []  # `import_poses` has nets of its own, and no such setting


def test_fingerprints_stay_where_the_setting_does() -> None:
    of_files = {"protocol": "pats", "detector": ("d",), "pose": ("p",)}
    usual, other = Subjects(**of_files), Subjects(**of_files, pose_backend="rtmlib")
    assert "pose_backend" not in usual.result_settings() and other.result_settings()["pose_backend"] == "rtmlib"
    assert "pose_backend" not in Subjects(pose_backend="rtmlib").result_settings()  # shards have their keypoints
    assert "pose_backend" not in Scores(annotate=True).result_settings()
    assert "pose_backend" not in Scores(pose_backend="rtmlib").result_settings()  # follows the skeletons
    assert Scores(annotate=True, pose_backend="rtmlib").result_settings()["pose_backend"] == "rtmlib"
    assert Annotate().result_settings()["backend"] == "onnx"


def test_nobody_else_opens_such_nets() -> None:
    root = Path(__file__).parents[2]
    sources = [path for room in ("pipeline", "stages") for path in (root / room).rglob("*.py")]
    opening = {
        path.relative_to(root).as_posix()
        for path in sources
        if any(call in path.read_text("utf-8") for call in (" Detector(", "(Detector(", " PoseNet(", " RtmlibPose("))
    }
    assert opening == {"pipeline/nets/pose/factory.py"}
