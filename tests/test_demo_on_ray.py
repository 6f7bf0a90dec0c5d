"""The demo's chain through a Ray cluster of a head and two nodes: what comes of it is what the local executor makes.

Two takes of it here; `python -m tests.trials.demo_on_ray` tries them all.
"""

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline import theatre
from pipeline.cli.main import main
from pipeline.storage import FOLDERS
from pipeline.tables.store import Store
from tests.bucket import BUCKET, environment, keys, serving
from tests.compare_runs import differences
from tests.pipeline.engine.executors.loopback import OWN_CACHE, Loopback, blind_nodes, loopback
from tests.trials.demo_on_ray import files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TAKES = ("talk-1", "side")  # one that is kept, and one that a filter drops
QUICK = ("--profile", "demo", "--set", "export.preset=ultrafast")


def run(*arguments: object) -> None:
    try:
        main([str(argument) for argument in ("run", *arguments)])
    except SystemExit as ended:
        assert not ended.code


def through(cluster: Loopback) -> tuple[str, ...]:
    return "--set", "machine.executor=ray", "--set", f"machine.address={cluster.address}"


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of which the footage is there, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(theatre.PROGRAMMES, "demo", tuple(map(theatre.take_named, TAKES)))
        found = tmp_path_factory.mktemp("driver") / "crawled"
        run("crawl", "--run", found, *QUICK, "--workers", "0")
        shutil.rmtree(found / "tables" / "clips")
        yield found


@pytest.fixture(scope="module")
def here(crawled: Path) -> Path:
    """The run of the local executor."""
    found = crawled.with_name("here")
    shutil.copytree(crawled, found)
    run("crawl", "annotate", "filter", "--run", found, *QUICK)
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with loopback(tmp_path_factory.mktemp("ray"), cpus=1) as found:
        yield found


def test_on_a_shared_disk_all_tables_and_shards_are_those_of_the_local_executor(
    crawled: Path, here: Path, cluster: Loopback
) -> None:
    there = crawled.with_name("there")
    shutil.copytree(crawled, there)
    run("crawl", "annotate", "filter", "--run", there, *QUICK, *through(cluster))
    assert {kind: what for kind, what in differences(here, there).items() if what} == {}
    assert shards(here) == shards(there) and shards(here)
    kept = Store(there).outcomes("samples").num_rows
    assert kept and Store(there).read("persons", ["person_id"]).num_rows > kept


def test_nodes_that_see_nothing_of_the_drivers_disk_come_to_the_same_in_a_bucket(
    crawled: Path, here: Path, cluster: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.retire()
    apart, disk = crawled.with_name("apart"), crawled.parent
    shutil.copytree(crawled / "theatre", apart / "theatre")  # which is not drawn again
    with serving() as server:
        for name, value in environment(server, disk / "cache").items():
            monkeypatch.setenv(name, value)
        with blind_nodes(cluster, disk) as seen:
            storage = ("--set", f"machine.storage=s3://{BUCKET}/lab/run")
            run("crawl", "annotate", "filter", "--run", apart, *QUICK, *through(cluster), *storage)
            assert [[path.name for path in place.iterdir()] for place in seen] == [[OWN_CACHE]] * 2
        stored = {key.removeprefix("lab/run/"): sha256(data).hexdigest() for key, data in keys(server).items()}
    assert {kind: what for kind, what in differences(here, apart).items() if what} == {}
    assert {key: of for key, of in stored.items() if "/" in key} == files(here)
    assert shards(here).items() <= stored.items() and shards(here)
    assert not any((apart / folder).exists() for folder in FOLDERS)


def shards(run: Path) -> dict[str, str]:
    """{key: sha256} of the shards."""
    return {key: of for key, of in files(run).items() if key.startswith("shards/") and key.endswith(".parquet")}
