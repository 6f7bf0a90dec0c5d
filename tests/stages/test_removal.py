"""Removal from finished shards: whole at any moment, the same as if the stage had never seen them, and never a second time."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.base import files
from pipeline.base.damage import Damage
from pipeline.base.hashes import sha256_of
from pipeline.base.ids import disk_name
from pipeline.cli.main import main
from pipeline.engine.upkeep import collect
from pipeline.shards import removal
from pipeline.shards.format import VERSION_KEY, ShardError, file_version
from pipeline.shards.index import read_index
from pipeline.shards.read import open_shards
from pipeline.shards.removal import remove, remove_from_run
from pipeline.tables import check
from pipeline.tables.compaction import compact
from pipeline.tables.opt_out import OptOut, OptOutError
from pipeline.tables.store import Store
from stages.crawl import notes
from stages.shards import Shards
from tests.stages import fake_run

BUCKETS = 4
ONE = OptOut(frozenset({fake_run.video_id(3)}))
CHANNEL = OptOut(channels=frozenset({"channel 1"}))  # videos 2 and 3
LONELY = OptOut(channels=frozenset({"channel 4"}))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with shards of 10 videos with 2 to 18 samples each, two videos a channel, and an mp4 for every sample."""
    run = tmp_path_factory.mktemp("run")
    store = Store(run)
    with fake_run.together(store):
        for video in range(10):
            starts = range(0, 200 * (18 if video == 0 else 2), 200)
            more = {"channel": f"Channel {video // 2}", "channel_id": f"UC{video // 2}", "upload_date": "2024-02-29"}
            fake_run.kept(store, video, *starts, **more, licence="CC BY")
            for start in starts:
                (run / "clips").mkdir(exist_ok=True)
                (run / f"clips/{video}-{start}.mp4").write_bytes(b"mp4")
    fake_run.run(Shards(buckets=BUCKETS, test_share=0, validation_share=0), run)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def state(run: Path) -> dict[str, str]:
    """Every file of the shards and clips, hidden ones too, by content; but for what gc removes after any kill."""
    found = sorted(path for name in ("shards", "clips") for path in (run / name).rglob("*"))
    found = [path for path in found if not path.name.startswith(files.TEMPORARY)]
    return {str(path.relative_to(run)): sha256(path.read_bytes()).hexdigest() for path in found}


def videos_in(run: Path) -> list[str]:
    return sorted(row["video_id"] for row in open_shards(run / "shards").rows(["video_id"]))


def expected(*gone: int) -> list[str]:
    return sorted(fake_run.video_id(v) for v in range(10) if v not in gone for _ in range(18 if v == 0 else 2))


@pytest.mark.parametrize(("who", "gone"), [(ONE, {3}), (CHANNEL, {2, 3}), (LONELY, {8, 9})])
def test_rows_go_files_go_and_the_index_says_so(run: Path, who: OptOut, gone: set[int]) -> None:
    before = state(run)
    removed = remove(run / "shards", who)
    assert (removed.clips, removed.files, removed.bytes) == (2 * len(gone), 2 * len(gone), 6 * len(gone))
    assert videos_in(run) == expected(*gone)
    index = open_shards(run / "shards").index
    assert index["clips"] == index["splits"]["train"]["clips"] == len(expected(*gone))
    assert index["hours"] == pytest.approx(len(expected(*gone)) * fake_run.FRAMES / 25 / 3600)
    for entry in index["files"]:
        path = run / "shards" / entry["path"]
        assert (entry["bytes"], entry["sha256"]) == (path.stat().st_size, sha256(path.read_bytes()).hexdigest())
        assert entry["rows"] == pq.read_metadata(path).num_rows
    assert {entry["path"] for entry in index["files"]} == {p.name for p in (run / "shards").glob("*.parquet")}
    changed = {name for name in before if state(run).get(name) != before[name]}
    assert {name for name in changed if name.startswith("clips")} == {
        f"clips/{video}-{start}.mp4" for video in gone for start in (0, 200)
    }
    after = state(run)
    assert remove(run / "shards", who) == removal.Removed()
    assert state(run) == after


def test_what_is_left_is_what_the_stage_would_have_written(run: Path) -> None:
    remove(run / "shards", ONE)
    removed = state(run)
    again = Shards(buckets=BUCKETS, test_share=0, validation_share=0)
    store = Store(run, ONE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_run, "Store", lambda folder: store)
        assert fake_run.run(again, run), "the stage makes the bucket again, since its rows changed"
    assert state(run) == removed


def test_a_shard_without_rows_goes(run: Path) -> None:
    everybody = OptOut(frozenset(fake_run.video_id(video) for video in range(10)))
    removed = remove(run / "shards", everybody)
    assert (removed.clips, removed.rewritten) == (36, 0)
    assert removed.emptied > 1
    assert [p.name for p in (run / "shards").iterdir()] == ["_index.json"]
    found = open_shards(run / "shards")
    assert (len(found), list(found.rows()), found.index["clips"], found.index["files"]) == (0, [], 0, [])


class Killed(BaseException):
    """Nothing catches it, and nothing after it happens: what a kill leaves."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Let the step-th change on disk, and all that follow, not happen. Yields: how many there were."""
    count = 0

    def guarded(change: Callable) -> Callable:
        def call(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count >= step:
                raise Killed
            return change(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for owner, name in (
            (Path, "replace"),
            (Path, "unlink"),
            (Path, "write_text"),
            (files, "sync"),
            (removal, "shard_writer"),
        ):
            patch.setattr(owner, name, guarded(getattr(owner, name)))
        yield lambda: count


def steps_of(run: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with killed_at(10_000, monkeypatch) as count:
        remove(run / "shards", CHANNEL)
    return count()


@pytest.mark.slow
@pytest.mark.parametrize("who_goes_on", ["the same command", "a reader"])
def test_killed_between_every_two_steps(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who_goes_on: str
) -> None:
    whole = Path(shutil.copytree(made, tmp_path / "whole"))
    steps = steps_of(whole, monkeypatch)
    assert steps > 12
    seen = set()
    for step in range(1, steps + 1):
        run = Path(shutil.copytree(made, tmp_path / f"killed-{step}"))
        with killed_at(step, monkeypatch), pytest.raises(Killed):
            remove(run / "shards", CHANNEL)
        listed = sorted(p for p in (run / "shards").glob("*.parquet") if not p.name.startswith("."))
        for path in listed:  # readers that know nothing of us find whole files, at every moment
            assert pq.read_table(path, columns=["video_id"]).num_rows > 0
        committed = (run / "shards" / removal.JOURNAL).exists()
        if who_goes_on == "a reader":
            before = state(run)
            seen.add(committed)
            if committed:
                with pytest.raises(ShardError, match=f"`csg405 opt-out --run {run}` brings it to its end"):
                    videos_in(run)
            else:
                assert videos_in(run) in (expected(), expected(2, 3)), step
            assert state(run) == before, "reading changes nothing"
        remove(run / "shards", CHANNEL)
        assert state(run) == state(whole), step
        shutil.rmtree(run)
    assert who_goes_on == "the same command" or seen == {True, False}


def test_pandas_and_pyarrow_read_a_folder_in_which_a_removal_was_killed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    with monkeypatch.context() as patch:
        patch.setattr(removal, "_replay", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            remove(run / "shards", CHANNEL)
    assert list((run / "shards").glob(".removing-*")), "temporary files lie beside the shards"
    paths = [p for p in (run / "shards").glob("*.parquet") if not p.name.startswith(".")]
    assert len(pandas.concat(pandas.read_parquet(path, columns=["clip_id"]) for path in paths)) == 36
    assert pq.read_table(run / "shards", columns=["clip_id"]).num_rows == 36


def test_a_stage_that_runs_after_a_kill_is_not_undone_later(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(removal, "_replay", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            remove(run / "shards", CHANNEL)
    store = Store(run, CHANNEL)
    stage = Shards(buckets=BUCKETS, test_share=0, validation_share=0)
    fake_run.judge(Store(run), 5, 200, keep=False, attempt=2)
    with monkeypatch.context() as patch, stage.driver(removal_context(run)):
        patch.setattr(fake_run, "Store", lambda folder: store)
        fake_run.run(stage, run)
    assert len(videos_in(run)) == len(expected(2, 3)) - 1
    assert not (run / "shards" / removal.JOURNAL).exists()


def removal_context(run: Path):
    from pipeline.engine.stage import Context

    return Context(run)


def list_anew(folder: Path, **head: str) -> None:
    """The index of shards that were changed, as their author would have written it."""
    index = read_index(folder)
    for entry in index["files"]:
        path = folder / entry["path"]
        entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (folder / "_index.json").write_text(json.dumps({**index, **head}))


def test_an_older_copy_without_channel_ids_works_too(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run / "shards"
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path).drop_columns(["channel_id", "channel_handle", "upload_date"])
        metadata = {**table.schema.metadata, VERSION_KEY: b"1.0"}
        pq.write_table(table.replace_schema_metadata(metadata), path)
    list_anew(folder, version="1.0")
    remove(folder, CHANNEL)
    assert videos_in(run) == expected(2, 3)
    assert {file_version(path) for path in folder.glob("*.parquet")} == {"1.0"}
    assert all("channel_id" not in pq.read_schema(path).names for path in folder.glob("*.parquet"))


@pytest.mark.parametrize(
    "name", ["../outside.mp4", "/etc/outside.mp4", "clips/../../outside.mp4", "raw/x.mp4", "clips/x.txt"]
)
def test_a_hostile_copy_deletes_nothing_outside_its_clips(run: Path, tmp_path: Path, name: str) -> None:
    folder = run / "shards"
    (tmp_path / "outside.mp4").write_bytes(b"mine")
    (run / "raw").mkdir()
    for other in ("raw/x.mp4", "clips/x.txt"):
        (run / other).write_bytes(b"mine")
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        column = [name] * len(table)
        at = table.schema.get_field_index("video")
        pq.write_table(table.set_column(at, table.schema.field(at), [column]), path)
    list_anew(folder)
    assert remove(folder, ONE).files == 0
    journal = {"files": [], "companions": [name], "index": read_index(folder)}
    (folder / removal.JOURNAL).write_text(json.dumps(journal))
    with pytest.raises(ShardError, match="not the journal"):
        remove(folder, ONE)
    assert (tmp_path / "outside.mp4").exists() and (run / "raw/x.mp4").exists() and (run / "clips/x.txt").exists()


def test_a_journal_that_is_too_large_to_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_MOST_BYTES", 1 << 20)
    (tmp_path / removal.JOURNAL).write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(ShardError, match=r"has more than 1 MiB: delete it, and run the stage `shards` again"):
        removal.complete(tmp_path)


def test_a_journal_with_a_nul_in_a_name_is_told(tmp_path: Path) -> None:
    journal = {"files": [], "companions": ["clips/\0.mp4"], "index": {"version": "1.2"}}
    (tmp_path / removal.JOURNAL).write_text(json.dumps(journal))
    with pytest.raises(ShardError, match="not the journal"):
        removal.complete(tmp_path)


def test_a_folder_that_may_not_be_written_says_what_to_do(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(removal, "_replay", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            remove(run / "shards", ONE)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    with pytest.raises(ShardError, match="run this once as somebody who may"):
        removal.complete(run / "shards")


def test_a_full_disk_changes_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(run)
    monkeypatch.setattr(removal, "_commit", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        remove(run / "shards", CHANNEL)
    kept = {name: digest for name, digest in state(run).items() if "/.removing-" not in name}
    assert kept == before


def test_no_shards_says_so(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="has not finished"):
        remove(tmp_path, ONE)


# a run


def planted(run: Path) -> dict[int, list[Path]]:
    """Files of videos 2 and 3 as stages name them: the download, who owns it, a part of it, previews of a dropped person."""
    found = {}
    for video in (2, 3):
        identity, dropped = fake_run.video_id(video), fake_run.person_id(video, 400)
        names = [f"raw/ab/{disk_name(identity)}{suffix}" for suffix in (".mp4", ".owner")]
        names += [f"previews/cd/{disk_name(dropped)}{suffix}" for suffix in (".webp", ".loop.webp", ".pose.js", ".mp4")]
        names += [f"clips/ef/{disk_name(dropped)}.mp4"]
        found[video] = [run / name for name in names]
        for path in found[video]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"1234")
    return found


def test_a_run_loses_all_it_has_of_a_video(run: Path) -> None:
    files_of = planted(run)
    removed = remove_from_run(run, [fake_run.video_id(3)])
    assert not any(path.exists() for path in files_of[3])
    assert all(path.exists() for path in files_of[2])
    assert (removed.clips, removed.files, removed.bytes) == (2, 2 + 7, 2 * 3 + 7 * 4)
    assert str(removed).startswith("2 clips out of 1 shards (0 emptied); 9 files")
    assert (run / "opt_out.txt").read_text() == f"{fake_run.video_id(3)}\n"
    assert videos_in(run) == expected(3)
    assert remove_from_run(run, [fake_run.video_id(3)]) == removal.Removed()
    assert (run / "opt_out.txt").read_text() == f"{fake_run.video_id(3)}\n"


def test_what_crawl_noted_of_a_video_goes_with_it(run: Path) -> None:
    for number in (2, 3):
        notes.write(run, f"link {number}", "", {"video_id": fake_run.video_id(number), "title": "A name"}, {})
    (run / "fetched" / "half.json").write_text('{"unit": ')
    remove_from_run(run, [fake_run.video_id(3)])
    left = [path.read_text() for path in sorted((run / "fetched").rglob("*.json"))]
    assert sum(fake_run.video_id(3) in text for text in left) == 0
    assert sum(fake_run.video_id(2) in text for text in left) == 1 and len(left) == 2


def test_a_channel_that_only_the_search_knew_goes_from_the_shards_too(run: Path) -> None:
    store = Store(run)
    fake_run.add(store, "sources", [{"source": "l", "video_id": fake_run.video_id(6), "channel_id": "UCsearch"}])
    remove_from_run(run, ["https://www.youtube.com/channel/UCsearch"])
    assert videos_in(run) == expected(6)


def test_files_that_were_used_where_they_lay_stay(tmp_path: Path) -> None:
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(b"mine")
    store = Store(tmp_path / "run")
    fake_run.add_video(store, 1, path=str(mine))
    fake_run.add_video(store, 2, path="../mine.mp4")
    assert remove_from_run(store.run, [fake_run.video_id(1), fake_run.video_id(2)]) == removal.Removed()
    assert mine.exists()


def test_the_list_grows_without_doubles_and_takes_no_nonsense(run: Path) -> None:
    path = run / "opt_out.txt"
    path.write_text("# asked by mail\n@one")
    remove_from_run(run, ["@ONE", "@two", "https://youtube.com/@Two", "yt:aaaaaaaaaaa", "https://youtu.be/aaaaaaaaaaa"])
    assert path.read_text() == "# asked by mail\n@one\n@two\nyt:aaaaaaaaaaa\n"
    for bad in ("yt:short", "Talk #1", "https://example.org/"):
        with pytest.raises(OptOutError):
            remove_from_run(run, ["@three", bad])
    assert "@three" not in path.read_text(), "nothing was done"


def test_a_run_that_is_at_work_keeps_the_list_and_says_to_wait(run: Path) -> None:
    from pipeline.tables.lock import Occupied, driving

    with driving(run, "samples"), pytest.raises(Occupied):
        remove_from_run(run, [fake_run.video_id(3)])
    assert videos_in(run) == expected()
    remove_from_run(run)
    assert videos_in(run) == expected(3)


# a run in which something is damaged


def part_of(folder: Path, kind: str, side: str = "rows") -> Path:
    (part,) = (folder / "tables" / kind / side).glob("*.parquet")
    return part


@pytest.mark.parametrize("how", ["lost", "cut short"])
@pytest.mark.parametrize("kind", ["videos", "persons"])
def test_a_damaged_table_keeps_nobody_in_the_run(run: Path, kind: str, how: str) -> None:
    files_of, part = planted(run), part_of(run, kind)
    whole = part.read_bytes()
    part.unlink() if how == "lost" else part.write_bytes(whole[: len(whole) // 2])
    removed = remove_from_run(run, [fake_run.video_id(3)])
    assert not any(path.exists() for path in files_of[3]) and all(path.exists() for path in files_of[2])
    assert videos_in(run) == expected(3)
    if kind == "persons":  # names no file of a video: nothing is left to do
        assert removed.undone == ()
        return
    [line] = removed.undone
    assert part.name in line and f"csg405 check --set-aside --run {run}" in line and "csg405 opt-out --run" in line
    part.write_bytes(whole)
    assert remove_from_run(run) == removal.Removed()


def test_of_a_channel_it_is_said_that_not_all_videos_are_known(run: Path) -> None:
    files_of, part = planted(run), part_of(run, "videos")
    notes.write(run, "link 3", "", {"video_id": fake_run.video_id(3), "channel": "Channel 1"}, {})
    whole = part.read_bytes()
    part.unlink()
    removed = remove_from_run(run, ["Channel 1"])
    assert videos_in(run) == expected(2, 3), "shards say whose they are"
    assert [any(path.exists() for path in files_of[video]) for video in (2, 3)] == [True, False], "so do crawl's notes"
    assert "which videos the channels on the list have is not all known" in " ".join(removed.undone)
    part.write_bytes(whole)
    assert remove_from_run(run).undone == ()
    assert not any(path.exists() for paths in files_of.values() for path in paths)


@pytest.mark.parametrize("how", ["a shard lost", "a shard cut short", "the index lost"])
def test_damaged_shards_keep_no_other_file_of_them(run: Path, how: str) -> None:
    files_of = planted(run)
    victim = run / "shards/_index.json" if "index" in how else sorted((run / "shards").glob("*.parquet"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2]) if "cut" in how else victim.unlink()
    [line] = remove_from_run(run, [fake_run.video_id(3)]).undone
    assert "the shards were not cleaned" in line and f"csg405 opt-out --run {run}" in line
    assert not any(path.exists() for path in files_of[3])
    victim.write_bytes(whole)
    assert remove_from_run(run).undone == ()
    assert videos_in(run) == expected(3)


def test_the_command_ends_with_1_while_something_is_left_to_do(run: Path) -> None:
    part_of(run, "videos").unlink()
    ended = CliRunner().invoke(main, ["opt-out", fake_run.video_id(3), "--run", str(run), "--profile", "demo"])
    assert ended.exit_code == 1 and "still to do: tables/videos/rows/part-" in ended.output


@pytest.mark.parametrize("name", ["release/skeletons.parquet", "release/more.parquet"])
def test_a_release_that_does_not_read_goes_whole(run: Path, name: str) -> None:
    (run / "release").mkdir()
    shutil.copy(part_of(run, "videos"), run / name)
    (run / name).write_bytes((run / name).read_bytes()[:300])
    [line] = remove_from_run(run, [fake_run.video_id(3)]).told
    assert "does not read" in line and "`csg405 run release` writes it without them" in line
    assert not (run / "release").exists()


# an evaluation


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    """A run with an evaluation of two people; each table is two parts."""
    run = tmp_path / "run"
    fake_run.add(Store(run), "sources", [{"source": "l", "video_id": fake_run.video_id(1)}])
    for number in (1, 2):
        place, subject = run / "evaluation/csg405", f"s{number}"
        row = {"subject": subject, "video_id": fake_run.video_id(number), "speaker": f"who{number}"}
        fake_run.add(Store(place), "subjects", [row])
        film = {"pair_id": f"paired/{subject}/{subject}", "film": f"videos/{subject}.mp4"}
        fake_run.add(Store(place / "true"), "renditions", [film])
        (path := place / "true" / film["film"]).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"film")
    return run


@pytest.mark.parametrize("how", ["lost", "cut short"])
@pytest.mark.parametrize("kind", ["csg405/subjects", "csg405/true/renditions"])
def test_an_evaluation_of_which_a_part_is_damaged_is_cleaned_as_far_as_it_reads(
    evaluated: Path, kind: str, how: str
) -> None:
    folder, _, name = kind.rpartition("/")
    of_two = [
        path
        for path in (evaluated / "evaluation" / folder / "tables" / name / "rows").glob("*.parquet")
        if any("s2" in unit for unit in pq.read_table(path, partitioning=None)["unit"].to_pylist())
    ]
    whole = of_two[0].read_bytes()
    of_two[0].unlink() if how == "lost" else of_two[0].write_bytes(whole[:300])
    undone = remove_from_run(evaluated, [fake_run.video_id(1)]).undone
    said = [line for line in undone if line.startswith(of_two[0].relative_to(evaluated).as_posix())]
    assert len(said) == (name == "subjects" or how == "cut short")
    assert all(f"csg405 check --set-aside --run {evaluated}`" in line for line in said)
    films = evaluated / "evaluation/csg405/true/videos"
    assert not (films / "s1.mp4").exists() and (films / "s2.mp4").exists()
    of_two[0].write_bytes(whole)
    assert remove_from_run(evaluated).undone == ()
    rows = Store(evaluated / "evaluation/csg405").read("subjects", ["subject"])["subject"].to_pylist()
    assert rows == ["s2"]


def test_merged_parts_without_somebody_are_no_damage(evaluated: Path) -> None:
    place = evaluated / "evaluation/csg405"
    compact(Store(place), "subjects")
    collect(Store(evaluated))
    remove_from_run(evaluated, [fake_run.video_id(1)])
    assert Store(place).read("subjects", ["subject"])["subject"].to_pylist() == ["s2"]
    assert [one for one in check.damages(Store(evaluated), deep=True) if "/subjects/" in one.path] == []
    (place / "tables/subjects/generation.json").unlink()
    found: dict[str, Damage] = {}
    assert len(Store(place, damages=found).read("subjects", ["subject"])) == 1
    assert list(found) == ["evaluation/csg405/tables/subjects/generation.json"], "as if it never counted"
