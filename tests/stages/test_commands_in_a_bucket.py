"""Commands on a run whose files lie in a bucket, as a user gives them; `tests/test_bucket_run.py` has the whole chain."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.reasons import Failure
from pipeline.cli.main import main
from pipeline.engine.discard import Freed, Source
from pipeline.storage import storage_of, where_of
from pipeline.storage.chosen import choose
from pipeline.storage.objects import ObjectStorage
from pipeline.tables.store import Store
from pipeline.views.server import file_of
from tests.bucket import BUCKET, Server, keys, serving_here
from tests.stages import fake_run

GOING = fake_run.video_id(1)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving_here(tmp_path / "cache", monkeypatch) as found:
        yield found


@pytest.fixture
def run(tmp_path: Path, server: Server) -> Path:
    """Three videos with a preview of each in the bucket, where a preview lies that no row names, too."""
    run = tmp_path / "run"
    store = Store(run)
    with fake_run.together(store):
        for video in range(3):
            fake_run.kept(store, video, 0, channel=f"Channel {video}")
            person = fake_run.person_id(video)
            row = {"preview_id": person, "video_id": fake_run.video_id(video), "path": f"previews/{video}.webp"}
            fake_run.add(store, "previews", [row])
    choose(run, f"s3://{BUCKET}/lab/run", "", 1.0)
    for name in ("0", "1", "2", "old"):
        with storage_of(run).writing(f"previews/{name}.webp") as path:
            path.write_bytes(b"picture " + name.encode())
    return run


def csg405(*arguments: object) -> str:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.output


def previews(server: Server) -> list[str]:
    return sorted(key.rpartition("/")[2] for key in keys(server) if "/previews/" in key)


def test_gc_says_where_in_the_bucket_waste_lies(run: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engine.upkeep.YOUNG_SECONDS", -60)
    assert f"s3://{BUCKET}/lab/run/previews/old.webp  no row names it" in csg405("gc", "--dry-run", "--run", run)
    csg405("gc", "--run", run)
    assert previews(server) == ["0.webp", "1.webp", "2.webp"]


def test_discard_says_where_in_the_bucket_a_source_lies(
    run: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(GOING, "raw/ab/one.mp4", 5, "")
    monkeypatch.setattr("pipeline.cli.discard.free", lambda *_, **__: Freed(sources=[source]))
    assert f"5 B  s3://{BUCKET}/lab/run/raw/ab/one.mp4" in csg405("discard", "raw", "--dry-run", "--run", run)


def test_the_report_is_served_with_pictures_from_the_bucket(run: Path, server: Server) -> None:
    path = file_of(run, "/previews/2.webp")
    assert path is not None and path.read_bytes() == b"picture 2"
    assert file_of(run, "/previews/none.webp") is None


@pytest.mark.parametrize("entry", [GOING, "@a-channel-of-which-no-row-tells"])
def test_who_opts_out_leaves_other_machines_at_their_next_command(
    run: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    where = where_of(run)
    assert where is not None
    with monkeypatch.context() as patch:
        patch.setenv("CSG405_CACHE", str(tmp_path / "of-another-machine"))
        there = ObjectStorage(where)
    (there.scratch("source") / "film.part").write_bytes(b"half a film")
    copies = [there.local(f"previews/{name}.webp") for name in ("0", "1")]
    there.release()

    said = csg405("opt-out", entry, "--run", run)
    assert f"storage/{where.id}" in said and "other machines" in said
    assert previews(server) == [f"{name}.webp" for name in ("0", "1", "2", "old") if name != "1" or entry != GOING]
    assert copies[1].is_file() and len(list(there.scratches())) == 1
    later = ObjectStorage(where)
    later.cache = there.cache
    later.forget_here()
    assert list(later.scratches()) == []
    assert copies[0].is_file() and copies[1].is_file() == (entry != GOING)


def test_a_command_that_runs_stages_looks_for_removals(run: Path, server: Server, tmp_path: Path) -> None:
    where = where_of(run)
    assert where is not None
    (storage_of(run).scratch("source") / "film.part").write_bytes(b"half a film")
    storage_of(run).forget_elsewhere()
    (tmp_path / "talks").mkdir()
    csg405(
        "run",
        "judge",
        "--profile",
        "folder",
        "--run",
        run,
        "--input",
        tmp_path / "talks",
        "--set",
        f"machine.storage={where.url}",
    )
    assert not list(where.cache_folder.glob("scratch/*/*"))


def test_a_bucket_without_credentials_is_told_as_that(
    run: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = where_of(run)
    assert where is not None
    storage = ObjectStorage(where)
    monkeypatch.setattr("pipeline.storage.bucket._TRIES", 1)

    def asked() -> None:
        raise ConnectionError("Error performing PUT http://169.254.169.254/latest/api/token")

    with pytest.raises(Failure, match=r"without credentials.*in the environment"):
        storage.bucket.ask(asked, "previews/0.webp")
