"""The list of a run's folders: nothing is written into a run that it has not, and notes say which people are in a file."""

import ast
import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.base import files
from pipeline.cli.main import main
from pipeline.cli.stage import command_of
from pipeline.engine.upkeep import collect, waste
from pipeline.shards.index import INDEX, build_index, write_index
from pipeline.shards.removal import remove_from_run
from pipeline.tables import people, run_folder
from pipeline.tables.kinds import KINDS, is_path
from pipeline.tables.lock import Occupied, no_program, program
from pipeline.tables.run_folder import PLACES, Find
from pipeline.tables.store import Store
from pipeline.views.overview import bytes_on_disk
from tests.run_joins import ROOT, constant, joins, modules

ONE, TWO = "yt:aaaaaaaaaaa", "yt:bbbbbbbbbbb"

# What is joined to a run's folder by a value that is known only when it runs, and why that is no new place.
BY_VALUE = {
    "key": "of a file in the storage: what a row's column holds",
    "path": "of a row, whose column the kinds' schema declares",
    "video": "likewise; or of `clips`, as export names it",
    "sample": "a row's column",
    "film": "a row's column, of an evaluation",
    "name": "a row's column; or one of the list itself",
    "row": "a row's column",
    "place": "of the list, or what `place_of` in crawl makes below `raw`",
    "video_path": "a row's column",
    "": "a row's column, by subscript",
}


def joined(trees: Mapping[Path, ast.Module]) -> Iterator[tuple[str, str]]:
    """(where, the first step) of everything that the code joins to a run's folder by a name that it knows."""
    for path, node in joins(trees.items()):
        where, right = f"{path.relative_to(ROOT)}:{node.lineno}", node.right
        if isinstance(right, ast.Constant):
            yield where, str(right.value)
        elif isinstance(right, ast.Name | ast.Attribute):
            name = right.id if isinstance(right, ast.Name) else right.attr
            if name.isupper():
                yield where, constant(path, trees[path], name)
            elif name not in BY_VALUE:
                yield where, f"?{name}"
        elif isinstance(right, ast.Subscript | ast.BoolOp | ast.BinOp | ast.Call):
            continue  # a row's column
        else:
            yield where, f"?{ast.unparse(right)}"


def test_all_that_the_code_puts_into_a_run_is_on_the_list() -> None:
    found = list(joined(dict(modules())))
    inside = {"videos", "work"}  # what an evaluation's own stages take for their run is a folder of `evaluation`
    strangers = [(where, step) for where, step in found if run_folder.place_of(step) is None and step not in inside]
    assert strangers == [], "write these into pipeline/tables/run_folder.py"
    assert len({step.split("/")[0] for _, step in found}) > 20, "the search itself finds little"


def test_the_search_finds_a_new_folder() -> None:
    new = ast.parse('NEW = "portraits"\ndef f(run): (run / NEW).mkdir(); (context.run / "faces" / "x").touch()')
    assert [step for _, step in joined({ROOT / "pipeline" / "new.py": new})] == ["portraits", "faces"]


def test_places_are_named_once_and_every_kind_of_path_lies_in_one() -> None:
    assert len({place.name for place in PLACES}) == len(PLACES)
    assert all(place.made_by and place.holds for place in PLACES)
    specific = [run_folder.place_of(place.name.replace("*", "x")) for place in PLACES]
    assert specific == list(PLACES), "no place is hidden by one before it"
    assert {kind.name for kind in KINDS.values() if any(map(is_path, kind.columns))} <= {
        *("videos", "samples", "previews", "shards", "reports", "releases"),
        *("subjects", "renditions"),
    }


def test_notes_name_nobody_without_the_id(tmp_path: Path) -> None:
    out = tmp_path / "generated" / "a.mp4"
    with people.noting(tmp_path, [out], [ONE, ""]):
        out.write_bytes(b"x")
    text = people.note_of(out).read_text()
    assert "aaaaaaaaaaa" not in text and people.read(people.note_of(out)) == {people.mark(ONE)}
    with pytest.raises(RuntimeError), people.noting(tmp_path, [out], [TWO]):  # noqa: PT012 - a kill in the middle
        assert people.read(people.note_of(out)) == {people.mark(ONE), people.mark(TWO)}, "the old file is still there"
        raise RuntimeError
    assert people.read(people.note_of(out)) == {people.mark(ONE), people.mark(TWO)}
    with people.noting(tmp_path, [out], [TWO]):
        pass
    assert people.read(people.note_of(out)) == {people.mark(TWO)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("yt:a_b-c_d-e_f/0+130#2, done", {"yt:a_b-c_d-e_f"}),
        ("clips/ab/yt_a_b-c_d-e_f_0_130_0_0123456789.mp4", {"yt:a_b-c_d-e_f"}),
        ('{"file:0123456789abcdef": 1}', {"file:0123456789abcdef"}),
        ("https://www.youtube.com/watch?v=a_b-c_d-e_f&t=5 and https://youtu.be/bbbbbbbbbbb", {"yt:a_b-c_d-e_f", TWO}),
        ("yt:a_b-c_d-e_f9", set()),
        ("nothing at all", set()),
    ],
)
def test_ids_are_found_in_all_their_forms(text: str, found: set[str]) -> None:
    assert people.mentioned(text) == found


def planted(run: Path) -> None:
    """A run with something of two videos in places of every kind; generated/together is of both."""
    for video in (ONE, TWO):
        name = video.replace(":", "_")
        for path in (f"raw/a/{name}_0123456789.mp4", f"generated/{name}.npz", f"training/m/samples/{name}.mp4"):
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            (run / path).write_bytes(b"1234")
        people.note(run, run / f"training/m/samples/{name}.mp4", [video])
        rec = run / "finetuning/s/rec" / name
        (rec / "images").mkdir(parents=True)
        (rec / "images/0.png").write_bytes(b"png")
        people.note(run, rec, [video])
        cache = run / "cache" / f"train-{sha256(video.encode()).hexdigest()[:16]}"
        cache.mkdir(parents=True)
        np.savez(cache / "clips.npz", ids=np.array([f"{video}/0+9#0"]))  # without a note, as older versions left it
    (run / "generated/together.mp4").write_bytes(b"x")
    people.note(run, run / "generated/together.mp4", [ONE, TWO])
    (run / "generated/.writing-x.mp4").write_bytes(b"half")
    (run / "raw/tmp-0123").mkdir()
    (run / "raw/tmp-0123/media.part").write_bytes(b"half a download")
    (run / "training/m/checkpoints/step-1").mkdir(parents=True)
    people.note(run, run / "training/m/checkpoints", [ONE])
    (run / "report/data").mkdir(parents=True)
    (run / "report/data/kept-0.js").write_text(f'[{{"id": "{ONE}/0+9#0"}}]')
    (run / "logs").mkdir()
    (run / "logs/split.jsonl").write_text(f'{{"unit": "{ONE}"}}\n{{"unit": "{TWO}"}}\n')
    (run / "stamps").mkdir()
    (run / "stamps/x.json").write_text("{}")


def state(run: Path) -> dict[str, bytes]:
    found = [path for path in run.rglob("*") if path.is_file() and "locks" not in path.parts]
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


def test_what_is_of_one_goes_and_what_is_of_another_stays(tmp_path: Path) -> None:
    planted(tmp_path)
    removed = remove_from_run(tmp_path, [ONE])
    left = {name for name in state(tmp_path) if not name.startswith(("logs", "stamps", "opt_out", "tables/opt_out"))}
    assert {name for name in left if not Path(name).name.startswith(".")} == {
        *("raw/a/yt_bbbbbbbbbbb_0123456789.mp4", "generated/yt_bbbbbbbbbbb.npz"),
        *("training/m/samples/yt_bbbbbbbbbbb.mp4", "finetuning/s/rec/yt_bbbbbbbbbbb/images/0.png"),
        f"cache/train-{sha256(TWO.encode()).hexdigest()[:16]}/clips.npz",
    }
    assert (tmp_path / "logs/split.jsonl").read_text() == f'{{"unit": "{TWO}"}}\n'
    assert removed.files == 9, "the raw file, four that were made, what was of both, two half files, the page"
    assert [line.split(",")[0].split(": ")[0] for line in removed.told] == [
        f"{tmp_path}/training/m/checkpoints was made with them in its training data",
        f"{tmp_path}/report named them and is deleted",
    ]


class Killed(BaseException):
    """Nothing catches it."""


def die_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Let the step-th change on disk, and all after it, not happen; those of locks are not counted."""
    left = iter(range(step - 1))

    def guarded(change: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if not any("locks" in str(arg) for arg in args) and next(left, None) is None:
                raise Killed
            return change(*args, **options)

        return call

    for owner, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree"), (files, "sync")):
        patch.setattr(owner, name, guarded(getattr(owner, name)))


def survives(what: Callable[[], object]) -> bool:
    try:
        what()
    except Killed:
        return False
    return True


@pytest.mark.slow
def test_killed_anywhere_and_done_again_it_ends_in_the_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pipeline.tables.lock.driving", lambda *_: contextlib.nullcontext()
    )  # two dozen locks, a hundred times
    planted(tmp_path / "made")
    whole = Path(shutil.copytree(tmp_path / "made", tmp_path / "whole"))
    remove_from_run(whole, [ONE])
    step, over = 0, False
    while not over:
        step += 1
        run = Path(shutil.copytree(tmp_path / "made", tmp_path / f"killed-{step}"))
        with monkeypatch.context() as patch:
            die_at(step, patch)
            over = survives(lambda run=run: remove_from_run(run, [ONE]))
        remove_from_run(run, [ONE])
        assert state(run) == state(whole), f"killed at step {step}"
        shutil.rmtree(run)
    assert step > 20


def test_what_is_not_on_the_list_or_says_not_whose_it_is_is_told(tmp_path: Path) -> None:
    for name in ("portraits/a.png", "generated/mine.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "training/old/checkpoints/step-1").mkdir(parents=True)
    told = "\n".join(remove_from_run(tmp_path, [ONE]).told)
    assert f"{tmp_path}/portraits is not on the list" in told
    assert f"1 files in {tmp_path}/generated do not say whose they are" in told and "mine.mp4" in told
    assert "training/old/checkpoints does not say who is in it" in told
    assert (tmp_path / "portraits/a.png").exists() and (tmp_path / "generated/mine.mp4").exists()
    said = CliRunner().invoke(main, ["gc", "--dry-run", "--run", str(tmp_path), "--profile", "folder"])
    assert said.exit_code == 0 and f"{tmp_path}/portraits" in said.stderr and "generated" not in said.stderr
    said = CliRunner().invoke(main, ["opt-out", ONE, "--run", str(tmp_path), "--profile", "folder"])
    assert "still to do: " in said.stdout and "portraits" in said.stdout and "csg405 compact" in said.stdout


def test_no_opt_out_beside_a_program(tmp_path: Path) -> None:
    planted(tmp_path)
    with program(tmp_path), program(tmp_path), pytest.raises(Occupied, match="a program"):
        remove_from_run(tmp_path, [ONE])
    with no_program(tmp_path), pytest.raises(Occupied, match="opt-out"), program(tmp_path):
        pass
    assert remove_from_run(tmp_path).files, "the list holds already"


def test_the_command_line_of_a_program_waits_for_no_opt_out(tmp_path: Path) -> None:
    command = ["--run", str(tmp_path), "--profile", "folder"]
    with no_program(tmp_path):
        refused = CliRunner().invoke(command_of("finetune"), command)
    assert refused.exit_code == 1 and "an opt-out or gc is deleting files" in refused.output
    alone = CliRunner().invoke(command_of("finetune"), command)
    assert "opt-out" not in alone.output and "_index.json is missing" in alone.output


def shards_of(run: Path, sha: str) -> None:
    (run / "shards").mkdir(parents=True, exist_ok=True)
    entry = {
        "path": "train-00000-of-00001.parquet",
        "split": "train",
        "rows": 0,
        "seconds": 0.0,
        "bytes": 1,
        "sha256": sha256(sha.encode()).hexdigest(),
    }
    write_index(run / "shards", build_index([entry], [], version="1.2"))


def cache_of(folder: Path, sha: str, shards: Path | str = "") -> Path:
    path = folder / f"train-{sha256(sha.encode()).hexdigest()[:16]}"
    path.mkdir(parents=True)
    (path / "audio.raw").write_bytes(b"x" * 999)
    made_of = {"train-00000-of-00001.parquet": sha256(sha.encode()).hexdigest()}
    index = {"split": "train", "shards": made_of, "folder": str(shards)}
    (path / "index.json").write_text(json.dumps(index))
    return path


def test_gc_finds_caches_of_shards_that_are_no_more(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    shards_of(run, "new"), shards_of(other, "others")
    old, now = (cache_of(run / "cache", sha) for sha in ("old", "new"))
    older = cache_of(run / "cache", "older", run / "shards")  # as an earlier version named them
    away = cache_of(run / "cache", "away", tmp_path / "unmounted" / "shards")
    theirs = cache_of(run / "cache", "others", other / "shards")
    later = time.time() + 7200
    assert list(waste(Store(run))) == [], "they are young"
    found = {item.path: item.why for item in waste(Store(run), later)}
    assert set(found) == {old, older} and "shards that are there no more" in found[old]
    for path in (old, older):
        for item in (*path.iterdir(), path):
            os.utime(item, (1, 1))
    with program(run):
        assert collect(Store(run))[0] == 0, "a training may be reading them"
    assert collect(Store(run))[0] == 2
    assert now.is_dir() and theirs.is_dir() and away.is_dir() and not old.exists() and not older.exists()
    (run / "shards" / INDEX).unlink()
    assert list(waste(Store(run), later)) == [], "without an index nothing is known to be stale"


def test_disk_figures_show_what_the_list_counts_and_what_it_does_not_know(tmp_path: Path) -> None:
    for name in ("clips", "locks", "portraits", "cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"12345")
    assert bytes_on_disk(tmp_path) == {"cache": 5, "clips": 5, "portraits": 5}
    assert {place.name: place.grows_with for place in PLACES if place.grows_with} == {
        "raw": "crawled",
        **dict.fromkeys(("tables", "clips", "shards"), "kept"),
    }
    assert "opt_out.txt" in {place.name for place in run_folder.found_by(Find.LIST)}


def test_a_path_that_leads_out_of_the_run_is_outside(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert people.inside(run, run / "generated" / "film.mp4")
    assert not people.inside(run, run / ".." / "film.mp4")
