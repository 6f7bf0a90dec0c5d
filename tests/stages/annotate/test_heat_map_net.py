"""A pose net of another signature, heat maps in place of SimCC, goes through annotate as it is."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_video
from stages.annotate import Annotate
from tests.pipeline.nets.heat_map_net import with_heat_maps
from tests.stages.stage_assets import AssetModels

ROOT = Path(__file__).parents[3]
TOUCHED = {
    "pipeline/nets/pose/heat_maps.py",
    "pipeline/nets/pose/decoders.py",
}  # its decoder, and the line that chooses it


def test_keypoints_lie_on_the_planted_truth(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from pipeline.theatre import build_nets, render_take, take_named

    nets = build_nets(tmp_path / "nets")
    pictures, truth = render_take(take_named("duo"), seconds=0.4)
    write_video(tmp_path / "duo.mp4", iter(pictures), None, size=(1280, 720), options={"crf": 16})
    heat = with_heat_maps(nets["pose"], tmp_path / "nets/heat.onnx")
    stage = Annotate(detector=("theatre_detector",), pose=("heat",), detect_every_frames=5)
    models = AssetModels(theatre_detector=nets["detector"], heat=heat)
    worker = stage.worker(Context(run=tmp_path, models=models, threads=1))  # type: ignore[arg-type]
    clip = {"clip_id": "v/0+10", "video_id": "v", "first_frame": 0, "frames": 10}
    video = {"path": "duo.mp4", "sha256": "", "width": 1280, "height": 720, "footage": "theatre"}
    rows = list(worker.process(Unit("v/0+10", {"clips": [clip], "videos": [video]})))
    assert [row["person"] for row in rows] == [0, 1]
    for row, where, seen in zip(rows, truth.keypoints, truth.visible, strict=True):
        found = (row["scores"] >= 0.3) & seen & np.isfinite(where).all(-1)
        error = np.linalg.norm(row["keypoints"].reshape(10, 133, 2) - where, axis=-1)[found]
        print(
            f"{found.mean():.0%} found, {np.median(error):.2f} px off in the median, {np.percentile(error, 95):.2f} at 95 %"
        )
        assert found.mean() > 0.5 and np.median(error) < 1 and np.percentile(error, 95) < 3


def test_how_many_files_know_of_heat_maps() -> None:
    sources = [path for room in ("pipeline", "stages") for path in (ROOT / room).rglob("*.py")]
    knowing = {str(path.relative_to(ROOT)) for path in sources if "heat_maps" in path.stem + path.read_text("utf-8")}
    print(f"{len(knowing)} files: {', '.join(sorted(knowing))}")
    assert knowing == TOUCHED
