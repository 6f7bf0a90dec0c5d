"""Takedown: who was named is nowhere in the new version, the old one stays, and strangers' releases do no harm."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli.main import main
from pipeline.shards.format import ShardError
from pipeline.shards.release.reading import open_release
from pipeline.shards.release.scan import problems
from pipeline.shards.release.takedown import takedown
from pipeline.shards.release.wanted import wanted_of
from pipeline.tables import takedowns
from pipeline.tables.opt_out import OptOutError
from pipeline.tables.people import mark
from pipeline.tables.store import Store
from tests.pipeline.shards.release.published import VIDEOS, clip_of, person_of, publish, url_of
from tests.stages import fake_run


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("planted") / "release")


@pytest.fixture
def published(planted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planted, tmp_path / "release"))


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def everything(folder: Path) -> str:
    """All bytes, names of files and decoded cells of a release as one text."""
    words = [text.decode("latin-1") for text in content(folder).values()] + list(content(folder))
    words += [str(pq.read_table(path).to_pydict()) for path in folder.rglob("*.parquet")]
    words += [str(pq.read_metadata(path).metadata) for path in folder.rglob("*.parquet")]
    return "\n".join(words)


def persons(folder: Path, table: str = "links") -> list[str]:
    return [
        name for path in sorted((folder / table).iterdir()) for name in pq.read_table(path)["person_id"].to_pylist()
    ]


CASES = {
    "a person whose id begins another's": ([person_of(0)], [0], [person_of(0) + "'", person_of(0) + '"']),
    "a clip": ([clip_of(2)], [2], [clip_of(2)]),
    "a video by its link": ([f"https://youtu.be/{VIDEOS[0][3:]}?t=3"], [0, 1, 2], [VIDEOS[0][3:]]),
    "a video by its id": ([VIDEOS[1]], [3], [VIDEOS[1][3:]]),
    "a local file": ([VIDEOS[2], VIDEOS[1]], [3, 4], [VIDEOS[2][5:], VIDEOS[1][3:]]),
}


@pytest.mark.parametrize("case", CASES)
def test_who_was_named_is_nowhere(published: Path, tmp_path: Path, case: str) -> None:
    entries, gone, traces = CASES[case]
    before = content(published)
    done = takedown(published, wanted_of(entries), tmp_path / "new")
    assert content(published) == before
    left = {person_of(n) for n in range(5) if n not in gone}
    for table in ("links", "skeletons", "measures"):
        assert set(persons(tmp_path / "new", table)) == left, table
    text = everything(tmp_path / "new")
    assert all(trace in everything(published) or trace[-1] in "'\"" for trace in traces)
    assert not [trace for trace in traces if trace in text]
    assert done.gone.persons == {person_of(n) for n in gone}


def test_the_new_version_is_whole(published: Path, tmp_path: Path) -> None:
    done = takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")
    new = open_release(tmp_path / "new")
    assert (done.old, done.new, new.about.version) == ("1.0.0", "1.0.1", "1.0.1")
    assert new.about.changes == ("1.0.1: 1 speaker in 1 clip taken out on request.",)
    assert "1.0.1: 1 speaker" in (tmp_path / "new" / "README.md").read_text()
    assert set(new.listed) | {"index.json"} == set(content(tmp_path / "new"))
    for path in new.listed:
        new.check(path)
    assert not (tmp_path / "new" / "links" / "validation.parquet").exists()  # nobody is left in that split
    lines = (tmp_path / "new" / "links.jsonl").read_text().splitlines()
    assert [json.loads(line)["person"] for line in lines] == [1, 10, 0, 0]
    again = takedown(tmp_path / "new", wanted_of([VIDEOS[2]]), tmp_path / "newer")
    assert again.new == "1.0.2" and len(open_release(tmp_path / "newer").about.changes) == 2


def test_the_lists_say_what_has_to_go(published: Path, tmp_path: Path) -> None:
    takedown(published, wanted_of([person_of(1), "yt:nobodyhere1"]), tmp_path / "new")
    listed = json.loads((tmp_path / "new.takedown.json").read_text())
    assert listed["persons"] == [person_of(1)] and listed["clips"] == listed["videos"] == []
    rows = {one["path"]: one["rows"] for one in listed["files"] if one["rows"] is not None}
    files = ("links/train.parquet", "skeletons/train-00000.parquet", "measures/train.parquet")
    assert rows == {name: [1] for name in files}
    assert listed["named_nothing"] == ["yt:nobodyhere1"]
    assert person_of(1) in (tmp_path / "new.takedown.txt").read_text()


@pytest.mark.parametrize(
    ("entries", "problem"),
    [(["yt:nobodyhere1"], "holds nothing of what was named"), (list(VIDEOS), "nobody would be left")],
)
def test_nothing_is_written_for_nothing(published: Path, tmp_path: Path, entries: list[str], problem: str) -> None:
    with pytest.raises(ShardError, match=problem):
        takedown(published, wanted_of(entries), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_an_id_in_the_words_beside_the_rows_stops_it(tmp_path: Path) -> None:
    published = publish(tmp_path / "release", title=f"Best of {VIDEOS[1]}")
    with pytest.raises(ShardError, match="names who was taken out"):
        takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_the_decisions_that_an_older_release_published_go(tmp_path: Path) -> None:
    decided = [
        {"id": VIDEOS[1], "verdict": "drop", "who": "Ann Other", "why": "logo"},
        {"id": VIDEOS[2], "verdict": "keep", "who": "Ann Other", "why": ""},
        {"id": person_of(0), "verdict": ["keep"], "who": "", "why": ""},
    ]
    settings = {"judge": {"max_jitter": 0.03, "require_measured": ["jitter"], "overrides": decided}, "odd": 3}
    published = publish(tmp_path / "release", settings=settings)
    takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")
    judge = {"max_jitter": 0.03, "require_measured": ["jitter"], "overrides": {"drop": 1, "keep": 1}}
    assert open_release(tmp_path / "new").about.settings == {"judge": judge, "odd": 3}
    assert "Ann Other" in everything(published) and "Ann Other" not in everything(tmp_path / "new")


@pytest.mark.parametrize("name", ["12", "e", "train", "links", "Lecture", "1.0.1"])
def test_a_name_that_is_a_common_word_stops_nothing(tmp_path: Path, name: str) -> None:
    published = publish(tmp_path / "release", names={3: name}, settings={"split": {"pace": 12}})
    takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")
    assert person_of(3) not in persons(tmp_path / "new")
    lines = (tmp_path / "new" / "links.jsonl").read_text().splitlines()
    assert name not in [json.loads(line)["name"] for line in lines]


@pytest.mark.parametrize("where", ["a row", "the words beside the rows"])
def test_a_name_that_stays_as_a_whole_value_stops_it(tmp_path: Path, where: str) -> None:
    own = {3: "Ann 12"}
    if where == "a row":
        published = publish(tmp_path / "release", names=own)
        path = published / "availability" / "train.parquet"
        table = pq.read_table(path)
        at = table.schema.get_field_index("url")
        pq.write_table(table.set_column(at, table.schema.field(at), pa.array(["Ann 12"] * len(table))), path)
        relisted(published)
    else:
        published = publish(tmp_path / "release", names=own, contact="Ann 12")
    with pytest.raises(ShardError, match="names who was taken out"):
        takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")


def test_the_target_may_neither_be_there_nor_lie_in_the_release(published: Path, tmp_path: Path) -> None:
    for out in (published, published / "new", tmp_path):
        with pytest.raises(ShardError, match="name a folder that is not there yet"):
            takedown(published, wanted_of([VIDEOS[1]]), out)


@pytest.mark.parametrize("entry", ["http://[", "file:xyz", "https://user:word@example.org/a", "ftp://example.org/a"])
def test_words_that_name_nobody_are_refused(entry: str) -> None:
    if entry.startswith("ftp"):  # may be anybody's name
        assert not wanted_of([entry]).urls and wanted_of([entry]).channels
        return
    with pytest.raises(OptOutError):
        wanted_of([entry])
    assert list(wanted_of(["https://Example.org/a#b"]).urls) == ["https://example.org/a"]


def test_a_channel_is_looked_up_in_its_run(published: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    row = {"video_id": VIDEOS[1], "source": "s", "channel_id": "UCx", "channel_handle": "@Teacher"}
    fake_run.add(store, "videos", [row])
    call = ["takedown", "@teacher", "--release", str(published), "--out", str(tmp_path / "new")]
    alone = CliRunner().invoke(main, call)
    assert alone.exit_code == 2 and "add --run" in alone.output
    nowhere = CliRunner().invoke(main, [*call, "--run", str(published)])
    assert nowhere.exit_code == 2 and "is no run" in nowhere.output
    done = CliRunner().invoke(main, [*call, "--run", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "version 1.0.1" in done.output and "opt-out ENTRY --run" in done.output
    assert VIDEOS[1][3:] not in everything(tmp_path / "new")


def test_a_channel_that_cannot_be_looked_up_is_not_said_to_be_absent(published: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    fake_run.add(store, "videos", [{"video_id": VIDEOS[1], "source": "s", "channel_handle": "@Teacher"}])
    call = ["takedown", VIDEOS[0], "@teacher", "--release", str(published), "--out", str(tmp_path / "new")]
    alone = CliRunner().invoke(main, call)
    assert alone.exit_code == 2 and "@teacher is a channel" in alone.output and "add --run" in alone.output
    assert not (tmp_path / "new").exists()
    eleven = CliRunner().invoke(main, ["takedown", VIDEOS[0], "MissTeacher", *call[3:-1], str(tmp_path / "eleven")])
    assert eleven.exit_code == 0 and "could not be looked up as a channel: add --run: MissTeacher" in eleven.output
    done = CliRunner().invoke(main, [*call, "@nobody", "yt:nobodyhere1", "--run", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "could not be looked up" in done.output and "not in this release: yt:nobodyhere1" in done.output
    assert "not in this release: @nobody" not in done.output
    listed = json.loads((tmp_path / "new.takedown.json").read_text())
    assert (listed["named_nothing"], listed["not_looked_up"]) == (["yt:nobodyhere1"], ["@nobody"])
    assert "could not be looked up: @nobody" in (tmp_path / "new.takedown.txt").read_text()


def relisted(folder: Path, **more: Any) -> None:
    """Make the index fit what lies there: what a stranger would do."""
    index = json.loads((folder / "index.json").read_text())
    for entry in index["files"]:
        data = (folder / entry["path"]).read_bytes()
        entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "index.json").write_text(json.dumps(index | more))


def test_damage_and_other_files_are_refused(published: Path, tmp_path: Path) -> None:
    path = published / "measures" / "train.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ShardError, match="not the file that index"):
        takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")
    outside = tmp_path / "outside.parquet"
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside)
    relisted(published)
    with pytest.raises(ShardError, match="not the file that index"):
        takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")


@pytest.mark.parametrize(
    "name", ["../x.parquet", "links/../../x.parquet", "/etc/passwd", "links/a.sh", "shards/train.parquet", 7]
)
def test_an_index_names_files_of_a_release_alone(published: Path, name: Any) -> None:
    index = json.loads((published / "index.json").read_text())
    index["files"][0]["path"] = name
    (published / "index.json").write_text(json.dumps(index))
    with pytest.raises(ShardError, match="no file of a release"):
        open_release(published)


@pytest.mark.parametrize(
    "about",
    [
        None,
        {},
        {"title": 3},
        {"title": "x", "version": "1"},
        {"title": "x", "changes": "no"},
        {"title": "x", "nets": {"a": [{"version": "1", "units": "2", "nets": {}}]}},
        {"title": "x", "published": "\nevil: yes"},
        {"title": "x" * 5000},
    ],
)
def test_what_an_index_says_of_itself_is_checked(published: Path, about: Any) -> None:
    relisted(published, about=about)
    with pytest.raises(ShardError, match="release"):
        open_release(published)


def test_other_columns_and_bombs_are_refused(published: Path, tmp_path: Path) -> None:
    path = published / "links" / "validation.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("audio", pa.array([b"fLaC"])), path)
    relisted(published)
    with pytest.raises(ShardError, match="a column that links of a release has not"):
        takedown(published, wanted_of([VIDEOS[0]]), tmp_path / "new")
    rows = table.take(pa.array([0] * 4000))
    long = pa.array(["x" * 100_000] * 4000)
    rows = rows.set_column(table.schema.get_field_index("speech_type"), table.schema.field("speech_type"), long)
    pq.write_table(rows, path, compression="zstd")
    relisted(published)
    with pytest.raises(ShardError, match="more memory"):
        takedown(published, wanted_of([VIDEOS[0]]), tmp_path / "new")


def test_a_strangers_metadata_does_not_reach_the_new_version(published: Path, tmp_path: Path) -> None:
    path = published / "links" / "test.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"note": VIDEOS[0].encode()}), path)
    relisted(published)
    takedown(published, wanted_of([VIDEOS[0]]), tmp_path / "new")
    assert VIDEOS[0] in everything(published) and VIDEOS[0][3:] not in everything(tmp_path / "new")
    assert url_of(0) not in everything(tmp_path / "new")


def test_rows_without_an_id_are_refused(published: Path, tmp_path: Path) -> None:
    path = published / "links" / "test.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("person_id")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array([None], pa.string())), path)
    relisted(published)
    with pytest.raises(ShardError, match="rows without an id"):
        takedown(published, wanted_of([VIDEOS[0]]), tmp_path / "new")


def test_the_ledger_lies_at_the_same_address_in_the_new_version(published: Path, tmp_path: Path) -> None:
    takedowns.add(published / takedowns.LEDGER, [takedowns.Takedown(mark(VIDEOS[1]), "2026-11-30", ("1.0.0",))])
    takedown(published, wanted_of([VIDEOS[1]]), tmp_path / "new")
    new = tmp_path / "new"
    assert (new / takedowns.LEDGER).read_bytes() == (published / takedowns.LEDGER).read_bytes()
    assert takedowns.LEDGER not in open_release(new).listed and not list(problems(new))
    (new / takedowns.LEDGER).write_text("words\n")
    [said] = problems(new)
    assert "no line of a ledger" in said
