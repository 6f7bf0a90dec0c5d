"""What evaluations keep in stores of their own is seen by status, table and gc."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli.main import main
from pipeline.engine.upkeep import collect, waste
from pipeline.tables import calls
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.lock import Occupied, driving
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from pipeline.tables.stores import stores_of
from tests.stages import fake_run

METHODS = ("ours-skeleton", "true-drawn")


def put(store: Store, kind: str, rows: Sequence[dict[str, Any]], crashed: Sequence[str] = ()) -> None:
    """Rows as one unit each, and units that crashed, as a driver leaves them."""
    spec, now = KINDS[kind], datetime.now(UTC)
    packed = [pack_rows(spec, row[spec.key], [row]) for row in rows]
    done = [Outcome(row[spec.key], kind, 0, "ok", rows=1, at=now) for row in rows]
    store.table(kind).append(packed, done + [Outcome(unit, kind, 0, "failed", "crashed", at=now) for unit in crashed])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two subjects, whose videos two methods made; one video is named by no row, one pair failed."""
    folder = tmp_path / "run"
    place = folder / "evaluation/csg405"
    people = [{"subject": f"s{n}", "video_id": fake_run.video_id(n), "speaker": f"who{n}"} for n in (1, 2)]
    put(Store(place), "subjects", people)
    for method in METHODS:
        store = Store(place / method)
        put(store, "pairs", [{"pair_id": f"paired/s{n}/s{n}", "setting": "paired"} for n in (1, 2)])
        films = {n: f"videos/paired/s{n}.mp4" for n in (1, 2)}
        put(store, "renditions", [{"pair_id": f"paired/s{n}/s{n}", "film": films[n]} for n in films])
        put(store, "scores", [{"pair_id": "paired/s1/s1", "ssim": 0.5}], crashed=["paired/s2/s2"])
        for name in ("s1", "s2", "left"):
            (film := store.run / f"videos/paired/{name}.mp4").parent.mkdir(parents=True, exist_ok=True)
            film.write_bytes(b"film")
    return folder


def command(run: Path, *words: str) -> str:
    found = CliRunner().invoke(main, [*words, "--run", str(run), "--profile", "demo"])
    assert found.exit_code == 0, found.output
    return found.output


def test_every_store_is_listed_once(run: Path, tmp_path: Path) -> None:
    (run / "evaluation/ted/inputs").mkdir(parents=True)  # begun, and nothing in it yet
    names = [one.name for one in stores_of(Store(run))]
    assert names == ["", "evaluation/csg405", *(f"evaluation/csg405/{method}" for method in METHODS)]
    assert [one.name for one in stores_of(Store(tmp_path / "nowhere"))] == [""]


def test_status_lists_their_stages(run: Path) -> None:
    told = json.loads(command(run, "status", "--json"))
    seen = {(s["store"], s["stage"]): (s["ok"], s["failed"], s["reasons"]) for s in told["evaluations"]}
    assert seen[("evaluation/csg405", "subjects")] == (2, 0, {})
    for method in METHODS:
        assert seen[(f"evaluation/csg405/{method}", "scores")] == (1, 1, {"crashed": 1})
        assert seen[(f"evaluation/csg405/{method}", "renditions")] == (2, 0, {})
    assert len(seen) == 1 + 3 * len(METHODS) and all(s["bytes"] > 0 for s in told["evaluations"])
    assert not {s["stage"] for s in told["stages"]} & {"subjects", "pairs", "renditions", "scores"}
    lines = [line.split() for line in command(run, "status").splitlines()]
    at = lines.index(["evaluation/csg405/ours-skeleton"])
    assert [line[0] for line in lines[at + 1 : at + 4]] == ["pairs", "renditions", "scores"]


def test_table_brings_their_rows_and_says_whose_they_are(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "subjects.parquet"
    assert f"2 rows of subjects in {out}, from evaluation/csg405" in command(
        run, "table", "subjects", "--out", str(out)
    )
    rows: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    assert [(row["store"], row["subject"]) for row in rows] == [
        ("evaluation/csg405", "s1"),
        ("evaluation/csg405", "s2"),
    ]
    command(run, "table", "scores", "--out", str(tmp_path / "scores.csv"))
    scores = pyarrow.csv.read_csv(tmp_path / "scores.csv").to_pylist()
    assert [(row["store"], row["ssim"]) for row in scores] == [(f"evaluation/csg405/{m}", 0.5) for m in METHODS]
    command(run, "table", "videos", "--out", str(tmp_path / "videos.parquet"))
    assert "store" not in pq.read_schema(tmp_path / "videos.parquet").names


def test_subjects_who_opted_out_are_in_no_table(run: Path, tmp_path: Path) -> None:
    (run / "opt_out.txt").write_text(f"{fake_run.video_id(1)}\n")
    command(run, "table", "subjects", "--out", str(tmp_path / "s.parquet"))
    assert pq.read_table(tmp_path / "s.parquet")["subject"].to_pylist() == ["s2"]


def test_gc_collects_what_no_row_of_theirs_needs(run: Path) -> None:
    assert list(waste(Store(run))) == []  # all of it is young
    before = [Store(run / f"evaluation/csg405/{method}").read("scores") for method in METHODS]
    orphan = run / "evaluation/csg405/true-drawn/tables/scores/rows/part-0-of-a-kill.parquet"
    orphan.write_bytes(b"rows without an outcome")
    for path in run.rglob("*"):
        os.utime(path, (1, 1))
    wanted = {orphan, *(run / f"evaluation/csg405/{method}/videos/paired/left.mp4" for method in METHODS)}
    assert {item.path for item in waste(Store(run))} == wanted
    said = command(run, "gc", "--dry-run")
    assert "3 files" in said and all(str(path) in said.replace("\n", "") for path in wanted)
    assert collect(Store(run))[0] == 3 and not any(path.exists() for path in wanted)
    assert [Store(run / f"evaluation/csg405/{method}").read("scores") for method in METHODS] == before
    assert len(list(run.rglob("*.mp4"))) == 4


def test_gc_waits_for_an_evaluation_that_runs(run: Path) -> None:
    with driving(run / "evaluation/csg405/true-drawn", "renditions"), pytest.raises(Occupied):
        collect(Store(run))


def test_what_a_method_lost_is_made_again_by_the_call_that_made_it(run: Path) -> None:
    place = run / "evaluation/csg405"
    (run / "tables").mkdir()
    calls.keep(place, ["--set", "evaluate.method=ours"])
    calls.keep(place / "ours-skeleton", ["--set", "evaluate.label=my own"])
    again = f"python -m stages.evaluate --set 'evaluate.label=my own' --run {run}"
    words = ("--run", str(run), "--profile", "demo")
    film = place / "ours-skeleton/videos/paired/s1.mp4"
    film.unlink()
    said = CliRunner().invoke(main, ["check", "--json", *words])
    [damage] = json.loads(said.stdout)["damages"]
    assert damage["path"].endswith("videos/paired/s1.mp4") and damage["remedy"] == again
    film.write_bytes(b"film")
    next((place / "ours-skeleton/tables/renditions/rows").iterdir()).unlink()
    aside = CliRunner().invoke(main, ["check", "--set-aside", *words])
    assert f"now: {again}; then the usual command" in aside.output
    left = json.loads(CliRunner().invoke(main, ["check", "--json", *words]).stdout)["damages"]
    assert {damage["remedy"] for damage in left} == {again}
