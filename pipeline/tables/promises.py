"""What outcomes promise: so many rows of each unit, in the part of its commit or in the files that a compaction joined."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base import files
from pipeline.base.damage import Damage, run_option
from pipeline.tables import losses
from pipeline.tables.arrow import numbers, strings
from pipeline.tables.hashing import digest, flat, raw, valid
from pipeline.tables.outcome import RETRY
from pipeline.tables.seal import DamagedFile, opened, told

OUTCOMES_LOST = "which units were rejected or failed, and why, until they are done again"
NOTE = "lost.json"  # in set-aside/: rows are lost and not made anew
REFETCH, ALL_FAILED = "--refetch", "--all-failed"  # of `csg405 retry`


def commits_with_rows(winners: pa.Table, outcomes: Sequence[Path]) -> list[str]:
    """Commits of winning outcomes with rows that lie in parts of their own."""
    rows, commits = flat(winners["rows"]), flat(winners["commit"]).dictionary_encode()
    used = np.zeros(len(commits.dictionary), dtype=bool)
    used[raw(commits.indices)[valid(rows) & (raw(rows) > 0)]] = True
    fresh = _fresh(outcomes)
    return [commit for commit, has in zip(commits.dictionary.to_pylist(), used, strict=True) if has and commit in fresh]


def _fresh(outcomes: Sequence[Path]) -> set[str]:
    return {part.stem.removeprefix("part-") for part in outcomes if part.name.startswith("part-")}


def missing(folder: Path, winners: pa.Table, commits: Sequence[str]) -> list[Damage]:
    """Damage for each commit with rows of which the part is not there."""
    of_them = pc.is_in(winners["commit"], value_set=pa.array(commits, pa.string()))
    mine = winners.filter(pc.and_(of_them, pc.greater(winners["rows"], 0)))  # units without rows lost none
    return by_part(folder, mine, np.zeros(len(mine), np.int64), {})


def kept(
    folder: Path,
    winners: pa.Table,
    found: npt.NDArray[np.int64],
    outcomes: Sequence[Path],
    bad: dict[Path, str],
) -> list[Damage]:
    """Compare the rows that were found with those that winning outcomes promise.

    Rows of merged files are counted by the pointer: a compaction leaves out those of people who opted out. A part whose rows count
    for no unit may be what it likes: it is waste.

    Args:
        folder: of the table.
        winners: winning outcomes.
        found: (winners,) rows of each.
        outcomes: the parts that the winners were read from.
        bad: {part: what is wrong with it} of the rows' parts that do not read, and of merged ones that are missing.
    """
    column = flat(winners["rows"])
    at = np.flatnonzero(valid(column) & (raw(column) > found))
    damages: list[Damage] = []
    if len(at):
        lacking, there = winners.take(numbers(at)), found[at]
        fresh = raw(flat(pc.is_in(lacking["commit"], value_set=strings(sorted(_fresh(outcomes))))).cast(pa.uint8())) > 0
        damages += by_part(folder, lacking.filter(pa.array(fresh)), there[fresh], bad)
        rest = [path for path in bad if path.name.startswith("merged-")]
        if rest:
            damages += [_merged(rest[0], bad[rest[0]], lacking.filter(pa.array(~fresh)), there[~fresh])]
    known = {damage.path for damage in damages}
    merged = unread(folder, {path: said for path, said in bad.items() if path.name.startswith("merged-")})
    return damages + [damage for damage in merged if damage.path not in known]


def unread(folder: Path, bad: Mapping[Path, str]) -> list[Damage]:
    """Damage for each part that is missing or does not read, with the units that are known to have been in it."""
    return [_unread(folder, path, said) for path, said in sorted(bad.items())]


def _unread(folder: Path, path: Path, problem: str) -> Damage:
    if path.parent.name == "rows":
        return losses.of_part(path, problem)
    units = _units_of(folder, path.name)
    holds = f"outcomes of {folder.name}, {len(units):,} of them of units with rows"
    return losses.of_part(path, problem, units=units, holds=holds, lost=OUTCOMES_LOST)


def _units_of(folder: Path, outcomes: str) -> tuple[str, ...]:
    """The units of a file of outcomes, as far as the rows beside it tell."""
    beside = (folder / "rows").glob(outcomes.removesuffix(".parquet") + "*.parquet")
    return tuple(sorted({unit for path in beside for unit in units_in(path)}))


def units_in(path: Path) -> list[str]:
    """The unit of each row of a part; [] where that does not read."""
    try:
        source = opened(path)
        with told(path):
            return list(source.read(columns=["unit"])["unit"].to_pylist())
    except (DamagedFile, FileNotFoundError):
        return []


def by_part(folder: Path, lacking: pa.Table, found: npt.NDArray[np.int64], bad: dict[Path, str]) -> list[Damage]:
    """Damage by commit: the part is missing, does not read, or holds too few rows."""
    by_commit: dict[str, list[int]] = {}
    for number, commit in enumerate(lacking["commit"].to_pylist()):
        by_commit.setdefault(commit, []).append(number)
    damages = []
    for commit, mine in sorted(by_commit.items()):
        path = folder / "rows" / f"part-{commit}.parquet"
        those = lacking.take(pa.array(mine, pa.int64()))
        rows, there = int(pc.sum(those["rows"]).as_py()), int(found[mine].sum())
        problem = bad.get(path) or ("is missing" if not path.exists() else f"holds {there:,} of {rows:,} rows")
        damages.append(losses.of_part(path, problem, rows=rows, units=tuple(those["unit"].to_pylist())))
    return damages


def _merged(path: Path, problem: str, lacking: pa.Table, found: npt.NDArray[np.int64]) -> Damage:
    """Damage to a merged file: which units were in it is known by what is not found elsewhere."""
    rows = int(pc.sum(lacking["rows"]).as_py() or 0) - int(found.sum())
    return losses.of_part(path, problem, rows=rows, units=tuple(lacking["unit"].to_pylist()))


@dataclass(frozen=True)
class Note:
    """What `lost.json` says.

    Attributes:
        count: lost units, as far as they were known.
        stages: that make them.
        units: hashes of the ids of those that are not made anew yet, known once a stage began with it; ids would name people.
        named: whether `units` has the last ones that were set aside.
        retry: the option of `csg405 retry` without which no run tries them again; "" where any does.
    """

    count: int = 0
    stages: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    named: bool = False
    retry: str = ""


def hash_of(unit: str) -> str:
    """A unit as `lost.json` names it."""
    return f"{digest(unit):016x}"


def note_of(folder: Path) -> Note | None:
    """What a table waits for; None where nothing is lost. Of a note that is damaged, what reads: that something is lost stays."""
    path = folder / losses.SET_ASIDE / NOTE
    said = files.read_object(path)
    if not said:
        return Note() if path.exists() else None
    count, retry = said.get("units"), said.get("retry")
    stages, units = (
        tuple(map(str, of)) if isinstance(of := said.get(key), list) else () for key in ("stages", "hashes")
    )
    known = count if isinstance(count, int) else 0
    return Note(known, stages, units, bool(said.get("named")), retry if isinstance(retry, str) else "")


def awaited(folder: Path) -> list[Damage]:
    """Say that rows were set aside and are not made anew; [] where none wait."""
    note = note_of(folder)
    if note is None:
        return []
    run = losses.home_of(folder.parents[1])
    name = folder.relative_to(run).as_posix()
    holds = losses.amount(0, note.count).replace("outcomes of", "those of")
    again = f"csg405 run {' '.join(note.stages) or 'TARGET'} {run_option(run)}"
    if note.retry:
        first = again.replace("run ", "run crawl ", 1) if note.retry == REFETCH else again
        again = f"csg405 retry {note.retry} {run_option(run)} && {first}"
    return [Damage(name, "has lost rows that are not made anew yet", holds, again)]


def await_rows(folder: Path, units: int, stages: Sequence[str]) -> None:
    """Note that rows of so many units are lost: until these stages made them anew, nobody builds on the table."""
    before = note_of(folder) or Note()
    _write(folder, Note(units + len(before.units), tuple(sorted({*stages, *before.stages})), before.units))


def name_awaited(folder: Path, winners: pa.Table) -> None:
    """Say in the note which units it waits for: those that are marked to be done again, before any of them is tried."""
    note = note_of(folder)
    if note and not note.named:
        marked = map(hash_of, winners.filter(pc.equal(winners["status"], RETRY))["unit"].to_pylist())
        _write(folder, replace(note, units=tuple(sorted({*note.units, *marked})), named=True))


def still_awaited(folder: Path, units: Sequence[str], retry: str) -> None:
    """Note that these units could not be made anew, and with which option `csg405 retry` has them tried again."""
    note = note_of(folder) or Note()
    _write(folder, replace(note, count=len(units), units=tuple(sorted(map(hash_of, units))), named=True, retry=retry))


def _write(folder: Path, note: Note) -> None:
    said = {
        "units": note.count,
        "stages": sorted(note.stages),
        "hashes": note.units,
        "named": note.named,
        "retry": note.retry,
    }
    files.write_text(folder / losses.SET_ASIDE / NOTE, json.dumps(said))


def made_anew(folder: Path) -> None:
    """Take back the note of `await_rows`, if there is one: what is lost is made anew, or its parents are gone."""
    note = folder / losses.SET_ASIDE / NOTE
    if note.exists():
        note.unlink()
        files.sync(note.parent)
