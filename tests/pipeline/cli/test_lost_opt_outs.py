"""A list of opt-outs that is lost, cut short or overwritten: commands tell it, and those that build on the run stop."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli.main import main
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out_seen import SEEN
from pipeline.tables.outcome import OK, Outcome
from pipeline.tables.store import Store

ONE, TWO = "file:0123456789abcdef", "file:fedcba9876543210"


def ask(run: Path, *words: str) -> Result:
    """A command on the run."""
    return CliRunner().invoke(main, [*words, "--run", str(run), "--profile", "folder", "--input", str(run.parent)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two videos of two channels; one video and the other's channel opted out."""
    run = tmp_path / "run"
    for number, video in enumerate((ONE, TWO)):
        row = {"video_id": video, "duration_seconds": 3.0, "channel": f"Talks {number}", "path": ""}
        outcome = Outcome(f"{video}.mp4", "crawl", 1, OK, rows=1, at=datetime(2026, 1, 1, tzinfo=UTC))
        Store(run).table("videos").append([pack_rows(KINDS["videos"], f"{video}.mp4", [row])], [outcome])
    assert ask(run, "opt-out", ONE, "Talks 1").exit_code == 0
    return run


def emptied(path: Path) -> None:
    path.write_text("")


def shortened(path: Path) -> None:
    path.write_text(path.read_text()[: len(ONE) + 1])


def flipped(path: Path) -> None:
    path.write_text(path.read_text().replace("file:0", "file:1"))


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


LOSSES: list[Callable[[Path], None]] = [Path.unlink, emptied, shortened, flipped, zeroed]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_list_that_is_lost_lets_nobody_in(run: Path, lose: Callable[[Path], None]) -> None:
    listed = run / "opt_out.txt"
    whole = listed.read_text()
    lose(listed)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "locks" not in path.parts}
    for words in (("run", "split"), ("compact",), ("gc",), ("retry", "--all-failed"), ("check",)):
        said = ask(run, *words)
        assert said.exit_code == 1 and "opt_out.txt" in said.output and "opt-out --let-in" in said.output, said.output
        assert "Traceback" not in said.output
    for words in (("status",), ("failed",), ("table", "videos", "--out", str(run.parent / "out.csv"))):
        said = ask(run, *words)
        assert "who opted out may be in these figures: opt_out.txt" in said.stderr
        assert said.exit_code == (1 if words[0] == "table" else 0)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "locks" not in path.parts}
    assert after == before
    listed.write_text(whole)
    assert ask(run, "check").exit_code == 0 and "opt_out" not in ask(run, "status").output


def test_who_is_taken_off_on_purpose_comes_back_when_it_is_said(run: Path) -> None:
    (run / "opt_out.txt").write_text("Talks 1\n")
    assert ask(run, "gc").exit_code == 1
    said = ask(run, "opt-out", "--let-in")
    assert said.exit_code == 0 and "1 names are on no list any more" in said.output
    assert ask(run, "gc").exit_code == 0 and ask(run, "check").exit_code == 0


def test_a_new_opt_out_is_honoured_beside_a_lost_list_and_the_loss_is_told(run: Path) -> None:
    (run / "opt_out.txt").unlink()
    said = ask(run, "opt-out", "Talks 0")
    assert said.exit_code == 1 and "still to do: opt_out.txt is not what it was (it held 2 " in said.output
    assert (run / "opt_out.txt").read_text() == "Talks 0\n"
    assert ask(run, "gc").exit_code == 1, "the other two are still missed"
    assert ask(run, "opt-out", ONE, "Talks 1").exit_code == 0 and ask(run, "gc").exit_code == 0


def test_an_entry_by_hand_is_missed_once_a_run_has_seen_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "opt_out.txt").write_text("Talks 0\n")
    (tmp_path / "talk.mp4").write_bytes(b"no film")
    ask(run, "run", "crawl", "--workers", "0")
    assert not any("talks" in (run / note).read_text() for note in SEEN), "hashes, not names"
    (run / "opt_out.txt").unlink()
    assert "opt_out.txt is missing" in ask(run, "run", "crawl").output


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b'{"names": 3}', b"\xff\xfe", b'{"names": [], "sha256": ""}']
)
def test_a_memory_that_is_damaged_is_made_anew_from_the_list_and_missed_without_it(run: Path, damage: bytes) -> None:
    whole = [(run / note).read_bytes() for note in SEEN]
    for note in SEEN:
        (run / note).write_bytes(damage)
    assert ask(run, "check").exit_code == 0
    assert ask(run, "opt-out").exit_code == 0 and [(run / note).read_bytes() for note in SEEN] == whole
    for note in SEEN:
        (run / note).write_bytes(damage)
    (run / "opt_out.txt").unlink()
    assert "opt_out.txt is missing (it held the names of those who opted out)" in ask(run, "gc").output


@pytest.mark.parametrize("note", SEEN)
@pytest.mark.parametrize("lose", LOSSES[:3])
def test_a_list_and_one_of_its_notes_are_not_lost_in_silence(
    run: Path, note: str, lose: Callable[[Path], None]
) -> None:
    lose(run / note)
    (run / "opt_out.txt").unlink()
    for words in (("run", "split"), ("gc",), ("check",)):
        said = ask(run, *words)
        assert said.exit_code == 1 and "opt_out.txt is missing (it held 2 videos or channels" in said.output
    assert ask(run, "opt-out", ONE, "Talks 1").exit_code == 0 and ask(run, "check").exit_code == 0
    assert len({(run / each).read_bytes() for each in SEEN}) == 1, "both notes are whole again"
