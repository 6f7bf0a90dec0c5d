"""A takedown: nothing of the works is found in any folder of the run, the ledger refuses them, and a kill leaves nobody behind."""

import errno
import hashlib
import os
import shlex
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.base import files
from pipeline.cli.main import main
from pipeline.engine.takedown import begin, finish
from pipeline.tables import people, run_folder, takedowns
from pipeline.tables.compaction import compact
from pipeline.tables.erased import Erased
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import of_run
from pipeline.tables.opt_out_seen import forgotten
from pipeline.tables.run_folder import Find
from pipeline.tables.store import SPEAK_OF_CHANNELS, Store
from tests.pipeline.engine import planted_works as planted
from tests.pipeline.engine.planted_works import FRAMES, MIRRORED, NEAR, OTHER, SAME_FACE, WORK, found_of, identity
from tests.pipeline.shards.release.published import VIDEOS, publish
from tests.pipeline.tables.power_cuts import laid_out, recorded
from tests.stages import fake_run

DAY = "2026-11-30"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_run, "video_id", identity)
        return planted.run_of(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fake_run, "video_id", identity)
    return Path(shutil.copytree(made, tmp_path / "run"))


def taken(run: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["takedown", *words, "--run", str(run), "--profile", "folder"])


def test_the_works_are_in_every_folder_before(run: Path) -> None:
    """What the search does not find, the tests below could not miss."""
    found = found_of(run, (WORK,))
    held = {place.name for path in found if (place := run_folder.place_of(path))}
    of_people = {place.name for place in run_folder.PLACES if place.find not in (Find.NOBODY, Find.LIST, Find.TELL)}
    assert of_people - held == {"evaluation/*/*/tables"}, "whose rows name people by what `subjects` calls them"
    kinds = {path.split("/")[1] for path in found if path.startswith("tables/")}
    assert kinds >= {kind.name for kind in KINDS.values() if "video_id" in kind.schema.names} - {"subjects"}
    assert {what for here in found.values() for what in here} >= {"id 0", "words 0", "face 0", "sound 0"}


def test_nothing_of_them_is_found_after(run: Path) -> None:
    before = found_of(run, (OTHER,))
    out = taken(run, identity(WORK), "--person", "--uncertain", "leave", "--yes")
    assert out.exit_code == 0, out.output
    assert found_of(run, (WORK, MIRRORED, SAME_FACE)) == {}
    assert not list(run_folder.unknown(run)) and not (run / takedowns.JOURNAL).exists()
    table = [line for line in out.output.splitlines() if line.startswith(("work ", "yt:")) and " near " not in line]
    assert len(table) == 4 and all(len(line) <= 80 for line in table)
    stays = {
        path for path in before if run_folder.place_of(path).find in (Find.NAME, Find.NOTE, Find.LINES, Find.SHARDS)
    }
    assert len(stays) > 10 and stays <= set(found_of(run, (OTHER,))), "nothing of the others goes"
    rows = Store(run).read("persons", ["video_id"])["video_id"].to_pylist()
    assert sorted(rows) == sorted([identity(OTHER), identity(NEAR)])
    again = taken(run, "--yes")
    assert again.exit_code == 0 and "nothing to do" in again.output


@pytest.mark.parametrize("number", planted.NAMED)
def test_a_work_that_texts_know_by_a_link_or_a_file_alone_is_found_by_it(run: Path, number: int) -> None:
    by_name = {path for path, held in found_of(run, (number,)).items() if f"name {number}" in held}
    assert len([path for path in by_name if not path.startswith("tables/")]) > 10
    begin(run, [identity(number)], DAY, None, {})
    done = finish(run)
    assert done is not None and done.undone == () and found_of(run, (number,)) == {}
    lines = (run / "logs/more.jsonl").read_text().splitlines()
    assert len(lines) == 5 + len(planted.NAMED) - 2 and found_of(run, (WORK,))["logs/more.jsonl"] == ["id 0", "words 0"]


def test_after_a_kill_behind_the_tables_the_names_are_known_still(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = planted.NAMED[0]
    begin(run, [identity(number)], DAY, None, {})
    with monkeypatch.context() as patch:
        patch.setattr(takedowns, "end", lambda _: None)
        finish(run)
    planted.plant(run, next(place for place in run_folder.PLACES if place.name == "logs"), number)
    assert set(found_of(run, (number,))) == {takedowns.JOURNAL, "logs/more.jsonl"}
    finish(run)
    assert found_of(run, (number,)) == {}


def test_a_work_that_opted_out_before_is_on_no_list_after_and_its_file_is_told(run: Path, tmp_path: Path) -> None:
    lying = tmp_path / "talk.mp4"
    lying.write_bytes(b"film")
    fake_run.add(Store(run), "videos", [{"video_id": identity(WORK), "path": str(lying)}], attempt=2)
    asked = CliRunner().invoke(
        main, ["opt-out", identity(WORK), identity(OTHER), "--run", str(run), "--profile", "folder"]
    )
    assert asked.exit_code == 0 and identity(WORK) in (run / "opt_out.txt").read_text()
    out = taken(run, identity(WORK), "--uncertain", "leave", "--yes")
    assert out.exit_code == 0 and found_of(run, (WORK, MIRRORED)) == {}, out.output
    assert (run / "opt_out.txt").read_text() == f"{identity(OTHER)}\n"
    assert f"still to do: {lying} was crawled where it lies" in out.output and lying.is_file()
    again = CliRunner().invoke(main, ["check", "--run", str(run)])
    assert "opt_out.txt" not in again.output and forgotten(run, of_run(run, "")) is None


def test_the_ledger_says_what_is_promised_and_no_id(run: Path, tmp_path: Path) -> None:
    releases = tmp_path / "published"
    about = publish(releases / "first", title="Talks")
    assert about.is_dir()
    shown = taken(
        run, identity(WORK), "--uncertain", "take", "--yes", "--keep-fingerprint", "--published", str(releases)
    )
    assert shown.exit_code == 0, shown.output
    text = (run / takedowns.LEDGER).read_text()
    assert (releases / takedowns.LEDGER).read_text() == text
    assert not any(identity(number)[3:] in text or planted.words(number) in text for number in range(5))
    found = takedowns.read(run / takedowns.LEDGER)
    assert set(found) == {people.mark(identity(number)) for number in (WORK, MIRRORED, NEAR)}
    line = found[people.mark(identity(WORK))]
    assert line.releases == (takedowns.UNKNOWN_VERSION,), "the note of a release knows them, no version does"
    weights = run / "training/one/checkpoints/step-1/model.safetensors"
    [model] = [model for model in line.models if model.name == "training/one"]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in model.sha256
    assert line.sound == planted.prints()[WORK].astype("<u4").tobytes() and line.sound_of == "chromaprint-1"
    assert "training/one/checkpoints was made with them" in shown.output


def test_each_folder_of_a_version_that_held_them_is_named(run: Path, tmp_path: Path) -> None:
    places = [tmp_path / "pub lished" / name for name in ("a", "b")]
    for place in places:
        publish(place)
    _, told = begin(run, [VIDEOS[1]], DAY, tmp_path / "pub lished", {})
    assert finish(run) is not None
    assert takedowns.read(run / takedowns.LEDGER)[people.mark(VIDEOS[1])].releases == ("1.0.0",)
    for place in places:
        [line] = [line for line in told if f"version 1.0.0 in {place} holds them" in line]
        assert shlex.split(line.split("`")[1])[4] == str(place), "the command is one that a shell reads"


def test_each_work_is_said_to_be_in_the_weights_that_saw_it(run: Path) -> None:
    """The first of two works was in one folder of weights of a training, the second in both."""
    for name in ("checkpoints", "milestones"):
        folder = run / "training/two" / name
        planted.write(folder / "step-1/model.safetensors", f"two's {name}")
        planted.write(folder / "step-1/optimizer.safetensors", "no weights")
        people.note(run, folder, [identity(OTHER), *([identity(WORK)] if name == "checkpoints" else [])])
    journal, _ = begin(run, [identity(WORK), identity(OTHER)], DAY, None, {})
    said = [{model.name: set(model.sha256) for model in line.models}["training/two"] for line in journal.lines]
    first, second = (hashlib.sha256(f"two's {name}".encode()).hexdigest() for name in ("checkpoints", "milestones"))
    assert said == [{first}, {first, second}]


def test_near_twins_are_asked_for_and_nothing_is_decided_in_silence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(run)
    for words in (("--yes",), ("--uncertain", "take")):
        refused = taken(run, identity(WORK), *words)
        assert refused.exit_code == 2 and "nothing was done" in refused.output and content(run) == before
    monkeypatch.setattr("pipeline.cli.takedown.is_terminal", lambda: True)
    call = ["takedown", identity(WORK), "--run", str(run), "--profile", "folder"]
    asked = CliRunner().invoke(main, call, input="n\nn\n")
    assert asked.exit_code == 1 and content(run) == before
    question = next(line for line in asked.output.splitlines() if "Take it out too?" in line)
    assert identity(NEAR) in question and "of the bits differ" in question
    done = CliRunner().invoke(main, call, input="y\ny\n")
    assert done.exit_code == 0 and found_of(run, (WORK, MIRRORED, NEAR)) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("@nobody",), "knows no video of such a channel"),
        (("https://example.org/x",), "knows no video of"),
        (("yt:short",), "names no"),
        (("yt:aaaaaaaaaaa", "--person"), "no face of them was compared"),
        (("yt:aaaaaaaaaaa", "--release", "."), "--release and --out go together"),
        (("yt:aaaaaaaaaaa", "--release", ".", "--out", "x", "--person"), "--person is for a takedown in a run"),
    ],
)
def test_what_names_nobody_is_refused_and_changes_nothing(run: Path, words: tuple[str, ...], said: str) -> None:
    before = content(run)
    out = taken(run, *words, "--yes")
    assert out.exit_code != 0 and said in out.output and "Traceback" not in out.output
    assert content(run) == before


def test_of_a_work_of_several_people_one_has_to_be_named(run: Path) -> None:
    own = fake_run.ids(WORK, 0, FRAMES, 1)
    fake_run.add(Store(run), "attributes", [{**own, "identity": planted.vector(OTHER)}])
    fake_run.add(Store(run), "speakers", [{**own, "speaker": f"p{OTHER}", "speaker_samples": 1}])
    out = taken(run, identity(WORK), "--person", "--yes")
    assert out.exit_code == 2 and "2 people are in what was named" in out.output and own["person_id"] in out.output
    named = taken(run, own["person_id"], "--person", "--uncertain", "leave", "--yes")
    assert named.exit_code == 0 and found_of(run, (WORK, OTHER)) == {} and found_of(run, (SAME_FACE,))


def test_works_that_a_ledger_from_elsewhere_names_go_without_an_entry(run: Path) -> None:
    kept = planted.prints()[WORK].astype("<u4").tobytes()
    lines = [takedowns.Takedown(people.mark(identity(OTHER)), DAY)]
    lines += [takedowns.Takedown(people.mark("yt:bbbbbbbbbbb"), DAY, sound_of="chromaprint-1", sound=kept)]
    takedowns.add(run / takedowns.LEDGER, lines)
    assert identity(OTHER) not in Store(run, of_run(run, "")).read("videos", ["video_id"])["video_id"].to_pylist()
    out = taken(run, "--uncertain", "leave", "--yes")
    assert out.exit_code == 0 and set(found_of(run, (OTHER, WORK, MIRRORED))) == {takedowns.LEDGER}, out.output
    assert out.output.count(f"{identity(NEAR)} comes near to") == 1, "asked once"
    assert set(takedowns.read(run / takedowns.LEDGER)) >= {people.mark(identity(WORK)), people.mark(identity(OTHER))}


def test_a_work_whose_video_was_refused_since_is_found_by_what_is_left_of_it(run: Path) -> None:
    """A ledger from elsewhere named it, a crawl looked at it again and refused it, and a compaction took its row out."""
    takedowns.add(run / takedowns.LEDGER, [takedowns.Takedown(people.mark(identity(NEAR)), DAY)])
    for kind in SPEAK_OF_CHANNELS:
        rows = Store(run).table(kind).rows(["video_id"]).select(["unit", "video_id"]).to_pylist()
        for unit in (row["unit"] for row in rows if row["video_id"] == identity(NEAR)):
            fake_run.refuse(Store(run), kind, unit, "opted_out", "it was taken down", attempt=2)
        compact(Store(run), kind)
        assert identity(NEAR) not in Store(run).table(kind).every(["video_id"])["video_id"].to_pylist()
    assert "tables/persons" in {path.rsplit("/", 2)[0] for path in found_of(run, (NEAR,))}
    out = taken(run, "--uncertain", "leave", "--yes")
    assert out.exit_code == 0 and "nothing to do" not in out.output and found_of(run, (NEAR,)) == {}, out.output


@pytest.mark.parametrize("where", ["outcomes", "files"])
def test_a_work_that_only_a_unit_or_a_line_of_known_files_names_is_found(run: Path, where: str) -> None:
    assert taken(run, identity(OTHER), "--uncertain", "leave", "--yes").exit_code == 0
    assert found_of(run, (OTHER,)) == {}
    link = f"https://youtu.be/{identity(OTHER)[3:]}"
    if where == "outcomes":
        fake_run.refuse(Store(run), "videos", link, "opted_out", "it was taken down")
    else:
        planted.write(
            run / "input/files.jsonl", f'{{"unit": "talk.mp4", "video_id": "{identity(OTHER)}"}}\n', more=True
        )
    assert len(found_of(run, (OTHER,))) == 1
    out = taken(run, "--yes")
    assert out.exit_code == 0 and "nothing to do" not in out.output and found_of(run, (OTHER,)) == {}, out.output


def test_what_a_row_that_counts_no_more_was_called_by_is_a_name_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, name in ((1, "talk.mp4"), (2, "shared.mp4"), (3, "shared.mp4")):
        fake_run.add_video(store, number, source=name)
    fake_run.refuse(store, "videos", fake_run.video_id(1), "opted_out", attempt=2)
    assert len(store.read("videos", ["video_id"])) == 2
    names = Erased.of(store, frozenset({fake_run.video_id(1), fake_run.video_id(2)})).names
    assert "talk.mp4" in names and "shared.mp4" not in names, "another work is called by it as well"


def test_a_damaged_table_keeps_the_takedown_open_and_is_told(run: Path) -> None:
    [part] = (run / "tables/persons/rows").glob("*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    out = taken(run, identity(WORK), "--uncertain", "leave", "--yes")
    assert out.exit_code == 1 and "what tables hold of them is not erased" in out.output
    ask = CliRunner().invoke(main, ["check", "--run", str(run)])
    assert f"{takedowns.JOURNAL} is of a takedown that was cut short" in ask.output
    part.write_bytes(whole)
    assert taken(run).exit_code == 0 and found_of(run, (WORK, MIRRORED)) == {}


def test_a_published_ledger_that_does_not_read_is_told_before_anything_counts(run: Path, tmp_path: Path) -> None:
    (tmp_path / takedowns.LEDGER).write_text("{\n")
    before = content(run)
    out = taken(run, identity(WORK), "--uncertain", "leave", "--yes", "--published", str(tmp_path))
    assert out.exit_code != 0 and "line 1: no line of a ledger" in out.output and content(run) == before


@pytest.mark.parametrize("trouble", ["damaged", "gone", "full"])
def test_where_the_ledger_cannot_be_published_the_works_go_all_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    published = tmp_path / "published"
    published.mkdir()
    begin(run, [identity(WORK), identity(MIRRORED)], DAY, published, {})
    if trouble == "damaged":
        (published / takedowns.LEDGER).write_text("{\n")
    elif trouble == "gone":
        published.rmdir()
    write_text = files.write_text

    def full(path: Path, text: str) -> None:
        if trouble == "full" and Path(path).parent == published:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_text", full)
        done = finish(run)
    assert done is not None and len(done.undone) == 1 and "did not get takedowns.jsonl" in done.undone[0]
    assert set(found_of(run, (WORK, MIRRORED))) == {takedowns.JOURNAL}, "which tells what is still to do"
    (published / takedowns.LEDGER).unlink(missing_ok=True)
    published.mkdir(exist_ok=True)
    done = finish(run)
    assert done is not None and done.undone == () and found_of(run, (WORK, MIRRORED)) == {}
    assert (published / takedowns.LEDGER).read_bytes() == (run / takedowns.LEDGER).read_bytes()


def test_a_full_disk_keeps_the_takedown_open_and_the_room_that_it_takes_is_told(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(run, [identity(WORK), identity(MIRRORED)], DAY, None, {})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.engine.takedown.compact", full)
        done = finish(run)
    assert done is not None and "make room for a second copy of the largest folder" in done.undone[0]
    assert (run / takedowns.JOURNAL).exists() and people.mark(identity(WORK)) in takedowns.marks_of(run)
    done = finish(run)
    assert done is not None and done.undone == () and found_of(run, (WORK, MIRRORED)) == {}


# kills


def content(run: Path) -> dict[str, bytes]:
    """Every file but locks, and what nobody reads."""
    found = [path for path in run.rglob("*") if path.is_file() and "locks" not in path.parts]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in found}


class Killed(BaseException):
    """Nothing catches it, and nothing after it happens."""


def die_at(step: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Let the step-th change on disk, and all after it, not happen. Returns: how many there were, as a list of one.

    What is being written has no name that anybody reads before it is renamed, and a flush changes nothing for other processes.
    """
    count = [0]

    def guarded(change: Any) -> Any:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            if "locks" not in str(path) and os.path.lexists(path):
                count[0] += 1
                if count[0] >= step:
                    raise Killed
            return change(path, *args, **options)

        return call

    for owner, name in ((Path, "replace"), (Path, "unlink"), (Path, "rename"), (shutil, "rmtree"), (os, "replace")):
        patch.setattr(owner, name, guarded(getattr(owner, name)))
    return count


def take(run: Path) -> None:
    if finish(run) is None and people.mark(identity(WORK)) not in takedowns.read(run / takedowns.LEDGER):
        begin(run, [identity(WORK), identity(MIRRORED)], DAY, None, {})
        finish(run)


def whole(run: Path) -> None:
    """Whoever reads the run in this state meets nobody who was taken down; or nothing has begun."""
    begun = (run / takedowns.JOURNAL).exists() or (run / takedowns.LEDGER).exists()
    store = Store(run, of_run(run, ""))
    left = set(store.read("videos", ["video_id"])["video_id"].to_pylist())
    gone = {identity(WORK), identity(MIRRORED)}
    assert (left.isdisjoint(gone) and left) if begun else gone < left
    assert store.read("samples", ["person_id"]).num_rows == len(left)


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1], ids=["odd", "even"])
def test_killed_at_each_file_operation_it_is_whole(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_run, "video_id", identity)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    for module in ("pipeline.shards.removal", "pipeline.engine.upkeep"):  # their heartbeats take most of the time
        monkeypatch.setattr(f"{module}.driving", lambda *_: nullcontext())
    made = planted.run_of(tmp_path / "made", (WORK, MIRRORED, OTHER), small=True)
    undisturbed = Path(shutil.copytree(made, tmp_path / "run"))
    with monkeypatch.context() as patch:
        steps = die_at(1_000_000, patch)
        take(undisturbed)
    assert found_of(undisturbed, (WORK, MIRRORED)) == {} and steps[0] > 60
    ledger = (undisturbed / takedowns.LEDGER).read_bytes()
    stays = names_of(undisturbed)
    for step in range(1 + part, steps[0] + 1, 2):
        shutil.rmtree(undisturbed)
        run = Path(shutil.copytree(made, undisturbed))
        with monkeypatch.context() as patch:
            die_at(step, patch)
            with pytest.raises(Killed):
                take(run)
        whole(run)
        take(run)
        assert found_of(run, (WORK, MIRRORED)) == {}, step
        assert (run / takedowns.LEDGER).read_bytes() == ledger and names_of(run) == stays, step


def names_of(run: Path) -> set[str]:
    """Names of files outside of the tables, whose parts have other names each time."""
    return {name for name in content(run) if "tables" not in name.split("/") and files.TEMPORARY not in name}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux which file a handle is of")
def test_after_a_power_cut_the_ledger_and_the_journal_are_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "disk" / "run"
    run.mkdir(parents=True)
    takedowns.add(run / takedowns.LEDGER, [takedowns.Takedown(people.mark("yt:ccccccccccc"), DAY)])

    def work() -> None:
        journal, _ = begin(run, [identity(WORK)], DAY, None, {})
        takedowns.add(run / takedowns.LEDGER, journal.lines)
        takedowns.end(run)

    disk = recorded(monkeypatch, run.parent, work, ("run",))
    seen = set()
    for laid in laid_out(disk, tmp_path / "states"):
        state = laid / "run"
        marks = takedowns.marks_of(state)
        assert people.mark("yt:ccccccccccc") in marks
        begun = (state / takedowns.JOURNAL).exists() or len(takedowns.read(state / takedowns.LEDGER)) == 2
        assert (people.mark(identity(WORK)) in marks) is begun
        seen.add(begun)
        shutil.rmtree(laid)
    assert seen == {True, False}
