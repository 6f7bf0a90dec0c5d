"""What was taken down leaves the lists of opt-outs, nobody else does, and nothing misses it there."""

from pathlib import Path

import pytest

from pipeline.base import files
from pipeline.tables.opt_out import RUN_LIST, of_run
from pipeline.tables.opt_out_seen import SEEN, forgotten, remember
from pipeline.tables.unlisted import unlist

WORK, OTHER = "yt:aaaaaaaaaaa", "yt:bbbbbbbbbbb"
LIST = f"# who asked\n{WORK}  # by letter\n{OTHER}\nhttps://youtu.be/aaaaaaaaaaa\n@channel\n"


def run_with(run: Path, text: str) -> Path:
    run.mkdir()
    (run / RUN_LIST).write_text(text)
    remember(run, of_run(run, ""))
    return run


def test_lines_and_hashes_of_the_work_go_and_those_of_others_stay(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", LIST)
    before = [(run / name).read_text() for name in SEEN]
    assert unlist(run, "", frozenset({WORK})) == []
    assert (run / RUN_LIST).read_text() == f"# who asked\n{OTHER}\n@channel\n"
    assert forgotten(run, of_run(run, "")) is None and [(run / name).read_text() for name in SEEN] != before
    (run / RUN_LIST).write_text("@channel\n")
    assert forgotten(run, of_run(run, "")) is not None, "others are missed as before"


def test_a_kill_between_note_and_list_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with(tmp_path / "run", LIST)

    def write_text(path: Path, text: str) -> None:
        if path.name == RUN_LIST:
            raise KeyboardInterrupt
        Path(path).write_text(text)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_text", write_text)
        with pytest.raises(KeyboardInterrupt):
            unlist(run, "", frozenset({WORK}))
    assert forgotten(run, of_run(run, "")) is None and WORK in (run / RUN_LIST).read_text()
    assert unlist(run, "", frozenset({WORK})) == [] and WORK not in (run / RUN_LIST).read_text()


def test_what_may_be_a_channel_stays_and_is_told_with_the_profiles_list_and_comments(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", f"aaaaaaaaaaa\n# see {WORK}\n")
    listed = tmp_path / "list.txt"
    listed.write_text(f"{OTHER}\n{WORK}\n")
    told = unlist(run, str(listed), frozenset({WORK}))
    assert [line.partition(" names")[0] for line in told] == [
        f"{run / RUN_LIST}, line 1",
        f"{run / RUN_LIST}, line 2",
        f"{listed}, line 2",
    ]
    assert "aaaaaaaaaaa" in of_run(run, "").channels and listed.read_text() == f"{OTHER}\n{WORK}\n"
