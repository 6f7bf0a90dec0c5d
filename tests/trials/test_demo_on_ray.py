"""The comparison of the demo by two executors tells what differs; with Ray, `tests/test_demo_on_ray.py` runs two of its takes."""

from pathlib import Path

from pipeline.engine.runner import Options, run_stage
from pipeline.registry.models import Registry
from tests.pipeline.engine.toys import ToyCrawl
from tests.trials.demo_on_ray import files_told, tables_told, workers_of


def made(run: Path, salt: int = 0) -> Path:
    run_stage(ToyCrawl(units=("a", "b"), salt=salt), run, Registry(cache=run / "nets"), Options(workers=0))
    for name in ("train-00000-of-00001.parquet", "index.json"):
        (run / "shards").mkdir(exist_ok=True)
        (run / "shards" / name).write_text(f"bytes of {name}")
    return run


def test_equal_runs_are_equal_and_others_are_told(tmp_path: Path) -> None:
    here, there, other = made(tmp_path / "here"), made(tmp_path / "there"), made(tmp_path / "other", salt=1)
    assert [(line.split()[1:], well) for line, well in tables_told(here, there)] == [
        (["videos", "2", "rows", "equal"], True)
    ]
    assert [well for _, well in files_told(here, there)] == [True]
    assert [(line.partition("rows")[2].strip(), well) for line, well in tables_told(here, other)] == [
        ("other values in width", False)
    ]
    shard = there / "shards" / "train-00000-of-00001.parquet"
    shard.write_text("other bytes")
    (there / "shards" / "index.json").unlink()
    ((line, well),) = files_told(here, there)
    assert not well and "2 differ" in line and shard.name in line and "index.json" in line


def test_workers_of_a_cluster_are_counted_by_the_logs(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    lines = [
        f'{{"message": "a worker of {stage} answered on node-{n}"}}\n'
        for stage, n in (("split", 1), ("split", 2), ("export", 1))
    ]
    (tmp_path / "logs" / "split.jsonl").write_text("".join(lines))
    assert workers_of(tmp_path) == {"split": 2, "export": 1}
