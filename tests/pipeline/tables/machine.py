"""A small store that anything may happen to, against a model in memory: it holds the same rows, or says what is missing.

`TablesMachine` is a state machine of Hypothesis, which `test_machine` runs from a fixed seed.
"""

import random
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.base.damage import Damaged
from pipeline.engine.upkeep import collect
from pipeline.tables import check, pointer
from pipeline.tables.arrow import pack_rows
from pipeline.tables.compaction import compact
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from pipeline.tables.outcome import OK, REJECTED, RETRY, Outcome
from pipeline.tables.promises import made_anew
from pipeline.tables.store import Store
from pipeline.tables.table import remaking
from tests.pipeline.engine.kills import age, dies, killed_at

UNITS = tuple(f"yt:{letter * 11}" for letter in "abcdef")
KIND = "clips"
MAKERS = {"videos": "crawl", "clips": "split"}

share = st.floats(0, 1, exclude_max=True)  # of a length that the strategies do not know
units = st.lists(st.sampled_from(UNITS), min_size=1, max_size=3, unique=True)


def rows_of(unit: str, version: int) -> list[dict[str, Any]]:
    """What a stage yields for a unit; some units are rejected in some versions, others yield nothing."""
    count = (UNITS.index(unit) + version) % 4
    return [{"clip_id": f"{unit}/{n}+{version}", "video_id": unit, "frames": version} for n in range(count)]


def status_of(unit: str, version: int) -> str:
    return OK if rows_of(unit, version) else REJECTED


class TablesMachine(RuleBasedStateMachine):
    """The table of clips of a run, damaged in one place at most.

    Attributes:
        version: {unit: version of its winning outcome}; 0 where it waits for a retry.
        left_out: videos that opted out.
        hurt: the damaged file, what it held, and what it holds now; None of a whole run.
        then: generation of the table when it was damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run = Path(tempfile.mkdtemp()) / "run"
        numbers = random.Random(0)
        self.patch = pytest.MonkeyPatch()  # the same steps make the same files
        self.patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=numbers.getrandbits(128)))
        self.version: dict[str, int] = {}
        self.left_out: frozenset[str] = frozenset()
        self.hurt: tuple[Path, bytes, bytes | None] | None = None
        self.then = 0
        self.count = 0

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.run.parent)

    @initialize()
    def crawl(self) -> None:
        packed = [pack_rows(KINDS["videos"], unit, [{"video_id": unit}]) for unit in UNITS]
        Store(self.run).table("videos").append(packed, [Outcome(unit, "crawl", 1, OK, rows=1) for unit in UNITS])
        for named in (UNITS[:3], UNITS[3:]):
            self.append(list(named))

    def store(self) -> Store:
        return Store(self.run, OptOut(videos=self.left_out))

    def fresh(self) -> int:
        self.count += 1
        return self.count

    def put(self, named: list[str], version: int) -> None:
        """Commit units, each one attempt above its last."""
        table = self.store().table(KIND)
        last = dict(zip(*table.winners().select(["unit", "attempt"]).to_pydict().values(), strict=True))
        made = {unit: rows_of(unit, version or 1) if version else [] for unit in named}
        ends = [
            Outcome(
                unit,
                "split",
                version,
                status_of(unit, version) if version else RETRY,
                attempt=last.get(unit, 0) + 1,
                rows=len(made[unit]),
            )
            for unit in named
        ]
        table.append([pack_rows(KINDS[KIND], unit, made[unit]) for unit in named if made[unit]], ends)

    def said(self, work: Any) -> bool:
        """Do something; whether it went through. A damaged run may refuse, a whole one may not."""
        try:
            work()
        except Damaged:
            assert self.hurt is not None, "damage is told of a run that is whole"
            return False
        return True

    @rule(named=units)
    def append(self, named: list[str]) -> None:
        version = self.fresh()
        if self.said(lambda: self.put(named, version)):
            self.version |= dict.fromkeys(named, version)

    @rule(named=units)
    def retry(self, named: list[str]) -> None:
        known = [unit for unit in named if unit in self.version]
        if known and self.said(lambda: self.put(known, 0)):
            self.version |= dict.fromkeys(known, 0)

    @precondition(lambda self: self.hurt is None)
    @rule(named=units, step=st.integers(1, 12))
    def append_and_die(self, named: list[str], step: int) -> None:
        version = self.fresh()
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, step)
            dies(lambda: self.put(named, version))
        won = {row["unit"]: row["fingerprint"] for row in self.store().table(KIND).winners().to_pylist()}
        if won.get(named[0]) == version:
            self.version |= dict.fromkeys(named, version)

    @rule()
    def compact(self) -> None:
        self.said(lambda: compact(self.store(), KIND))

    @precondition(lambda self: self.hurt is None)
    @rule(step=st.integers(1, 12))
    def compact_and_die(self, step: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, step)
            dies(lambda: compact(self.store(), KIND))

    @rule()
    def gc(self) -> None:
        age(self.run)
        self.said(lambda: collect(self.store()))

    @rule(unit=st.sampled_from(UNITS))
    def opt_out(self, unit: str) -> None:
        self.left_out |= {unit}

    def harm(self, which: float, change: Callable[[bytes], bytes | None]) -> None:
        """Change or delete a file of the table."""
        path = self.pick(which)
        before = path.read_bytes()
        after = change(before)
        self.then = self.generation()
        path.unlink() if after is None else path.write_bytes(after)
        self.hurt = path, before, after

    def generation(self) -> int:
        """Of the last compaction; 0 before the first one, and where the pointer is lost."""
        found = pointer.read(self.run / "tables" / KIND, ())
        return found.generation if isinstance(found, pointer.Pointer) else 0

    def pick(self, which: float) -> Path:
        there = sorted(path for path in (self.run / "tables" / KIND).rglob("*") if path.is_file())
        return there[int(which * len(there))]

    @precondition(lambda self: self.hurt is None)
    @rule(which=share)
    def delete(self, which: float) -> None:
        self.harm(which, lambda text: None)

    @precondition(lambda self: self.hurt is None)
    @rule(which=share, part=share)
    def truncate(self, which: float, part: float) -> None:
        self.harm(which, lambda text: text[: int(part * len(text))])

    @precondition(lambda self: self.hurt is None)
    @rule(which=share, place=share, bit=st.integers(0, 7))
    def flip(self, which: float, place: float, bit: int) -> None:
        def flipped(text: bytes) -> bytes:
            at = int(place * len(text))
            return text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :] if text else text

        self.harm(which, flipped)

    @precondition(lambda self: self.hurt is None)
    @rule(which=share)
    def zero(self, which: float) -> None:
        self.harm(which, lambda text: bytes(len(text)))

    @precondition(lambda self: self.hurt is None)
    @rule(which=share, other=share)
    def replace(self, which: float, other: float) -> None:
        self.harm(which, lambda text: self.pick(other).read_bytes())

    @precondition(lambda self: self.hurt is not None)
    @rule()
    def restore(self) -> None:
        """The file comes back from a copy; not where it was written anew meanwhile, or a compaction went by without it."""
        assert self.hurt is not None
        path, before, after = self.hurt
        replaced = path.name.startswith("part-") and self.generation() != self.then
        if (path.read_bytes() if path.exists() else None) == after and not replaced:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(before)
        self.hurt = None

    @rule(deep=st.booleans())
    def set_aside(self, deep: bool) -> None:
        """What `check` finds goes, and the stage makes it anew; what the model does not know to be lost stays as it is."""
        found = check.damages(self.store(), deep=deep)
        if not found:
            return
        assert self.hurt is not None, found
        check.set_aside(self.store(), found, MAKERS)
        folder = self.run / "tables" / KIND
        with pytest.raises(Damaged) if (folder / "set-aside" / "lost.json").exists() else nullcontext():
            self.store().rows(KIND, [])
        with remaking(folder):
            won = {row["unit"]: row for row in self.store().table(KIND).winners().to_pylist()}
            for unit, version in sorted(self.version.items()):
                winner = won.get(unit, {"status": "", "fingerprint": 0})
                if version and (winner["status"] not in (OK, REJECTED) or winner["fingerprint"] != version):
                    self.put([unit], version)
                elif not version and winner["status"] in (OK, REJECTED):
                    self.put([unit], 0)  # a mark of `retry` that got lost is set again by the next `retry`
                elif not version and unit not in won:
                    del self.version[unit]  # its mark got lost with its outcomes: it is pending all the same
        made_anew(folder)
        self.hurt = None

    @invariant()
    def the_same_or_said(self) -> None:
        try:
            won = self.store().table(KIND).winners()
            rows = self.store().rows(KIND, ["clip_id", "frames"])
        except Damaged:
            assert self.hurt is not None, "damage is told of a run that is whole"
            assert check.damages(self.store()), "what stops a command is found by check"
            return
        wanted = {
            row["clip_id"]: row["frames"]
            for unit, version in self.version.items()
            if version and unit not in self.left_out
            for row in rows_of(unit, version)
        }
        found = dict(zip(rows["clip_id"].to_pylist(), rows["frames"].to_pylist(), strict=True))
        assert found == wanted and len(rows) == len(wanted), f"hurt: {self.hurt and self.hurt[0]}"
        ends = {row["unit"]: row["fingerprint"] for row in won.to_pylist() if row["unit"] not in self.left_out}
        assert ends == {unit: version for unit, version in self.version.items() if unit not in self.left_out}
