"""`csg405 check`: what it says, what it moves, and the code with which it ends."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from pipeline.cli.main import main
from pipeline.tables import seal
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import OK, Outcome
from pipeline.tables.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    for unit in ("a.mp4", "b.mp4"):
        packed = pack_rows(KINDS["videos"], unit, [{"video_id": f"file:{unit}", "duration_seconds": 3.0, "width": 640}])
        Store(run).table("videos").append([packed], [Outcome(unit, "crawl", 1, OK, rows=1, wall_seconds=1800, at=NOW)])
    return run


def ask(run: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--profile", "folder", "--input", str(run.parent), "--run", str(run)])


def test_a_run_that_is_whole_takes_a_line(run: Path) -> None:
    for words in (("check",), ("check", "--deep"), ("check", "--set-aside")):
        result = ask(run, *words)
        assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1, result.output
    assert json.loads(ask(run, "check", "--json").stdout) == {"damages": []}


def test_what_is_lost_is_listed_priced_and_set_aside(run: Path) -> None:
    part = sorted((run / "tables" / "videos" / "rows").iterdir())[0]
    part.write_bytes(part.read_bytes()[:100])
    name = part.relative_to(run).as_posix()
    told = ask(run, "check")
    assert told.exit_code == 1
    assert all(words in told.stdout for words in (name, "does not read", "1 row of 1 unit", f"--set-aside --run {run}"))
    [damage] = json.loads(ask(run, "check", "--json").stdout)["damages"]
    assert damage["path"] == name and len(damage["units"]) == 1
    dry = ask(run, "check", "--set-aside", "--dry-run")
    assert dry.exit_code == 1 and "1 units to do again, 0.5 hours" in dry.stdout and part.exists()
    done = ask(run, "check", "--set-aside")
    assert done.exit_code == 0 and f"csg405 run crawl --run {run}" in done.stdout
    assert not part.exists() and (run / "tables" / "videos" / "set-aside" / "rows" / part.name).is_file()
    again = ask(run, "check")
    assert again.exit_code == 1 and "not made anew yet" in again.stdout
    stopped = ask(run, "run", "split")
    assert (
        stopped.exit_code == 1
        and f"csg405 run crawl --run {run}" in stopped.output
        and "Traceback" not in stopped.output
    )


def test_what_only_a_reader_notices_is_found_by_the_command_that_it_names(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "SMALL_BYTES", 0)  # as if the part were too large to be read whole
    part = sorted((run / "tables" / "videos" / "rows").iterdir())[0]
    group = pq.read_metadata(part).row_group(0)
    [column] = [i for i in range(group.num_columns) if group.column(i).path_in_schema == "width"]
    data = bytearray(part.read_bytes())
    data[group.column(column).data_page_offset + group.column(column).total_compressed_size - 1] ^= 1
    part.write_bytes(data)
    assert ask(run, "check").exit_code == 0  # reads what rows are counted by, and no measure
    read = ask(run, "table", "videos", "--out", str(run.parent / "out.csv"))
    assert read.exit_code == 1 and f"csg405 check --set-aside --run {run}" in read.stderr
    done = ask(run, "check", "--set-aside")
    assert done.exit_code == 0 and part.name in done.stdout and not part.exists(), done.output


@pytest.mark.parametrize("words", [("status",), ("failed",), ("show", "a.mp4"), ("table", "videos", "--out")])
def test_who_looks_sees_the_rest_and_is_told(run: Path, words: tuple[str, ...]) -> None:
    part = sorted((run / "tables" / "videos" / "rows").iterdir())[0]
    part.unlink()
    given = (*words, str(run.parent / "out.csv")) if words[0] == "table" else words
    result = ask(run, *given)
    assert f"{part.name} is missing" in result.stderr and "check --set-aside" in result.stderr
    assert "Traceback" not in result.output
    assert result.exit_code == (1 if words[0] == "table" else 0) or words[0] == "show"
    if words[0] == "table":
        assert len((run.parent / "out.csv").read_text().splitlines()) == 2


def test_status_for_programs_names_what_is_missing(run: Path) -> None:
    next((run / "tables" / "videos" / "rows").iterdir()).unlink()
    assert len(json.loads(ask(run, "status", "--json").stdout)["damages"]) == 1
