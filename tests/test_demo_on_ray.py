"""The demo's chain through a Ray cluster of a head and two nodes: tables and shards as the local executor's."""

import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline import theatre
from pipeline.cli.main import main
from pipeline.tables.store import Store
from tests.compare_runs import differences
from tests.pipeline.engine.executors.loopback import loopback

TAKES = ("talk-1", "side")  # one that is kept, and one that a filter drops
QUICK = ("--profile", "demo", "--set", "export.preset=ultrafast")


def run(*arguments: object) -> None:
    try:
        main([str(argument) for argument in ("run", *arguments)])
    except SystemExit as ended:
        assert not ended.code


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_through_a_cluster_all_tables_and_shards_are_those_of_the_local_executor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(theatre.PROGRAMMES, "demo", tuple(map(theatre.take_named, TAKES)))
    here, there = tmp_path / "here", tmp_path / "there"
    run("crawl", "--run", here, *QUICK, "--workers", "0")
    shutil.copytree(here, there)
    shutil.rmtree(there / "tables" / "clips")
    run("annotate", "filter", "--run", here, *QUICK)
    with loopback(tmp_path, cpus=1) as cluster:
        settings = ("--set", "machine.executor=ray", "--set", f"machine.address={cluster.address}")
        run("crawl", "annotate", "filter", "--run", there, *QUICK, *settings)
    assert {kind: what for kind, what in differences(here, there).items() if what} == {}
    assert shards(here) == shards(there) and shards(here)
    kept = Store(there).outcomes("samples").num_rows
    assert kept and Store(there).read("persons", ["person_id"]).num_rows > kept


def shards(run: Path) -> dict[str, str]:
    """{name: sha256} of the shards."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in (run / "shards").glob("*.parquet")}
