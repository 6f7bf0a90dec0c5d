"""The whole chain against that of another commit: processor seconds by target and by stage, in pairs that take turns.

python -m tests.bench chain --against CHECKOUT [--part clips] [--part demo] [--rounds N]

CHECKOUT is a checkout with a .venv of its own, in which the other commit's dependencies are; its registry must know the nets in
`NETS`. Both see the same files: all real clips with small real nets, and the demo's takes as CHECKOUT draws them (drawing is not
counted). Each side runs the targets in as many commands as its `make crawl annotate filter` does, and keeps bytecode as make
does. Processor time is what the kernel counted for all processes that a command started; a stage's is that of its units, as its
outcomes hold it. What lies between is a row of its own, and parted by whose it is: the drivers', which start, import, plan, wait,
read and write tables; the servers', which import for the workers that are forked from them; and that of workers between units.
"""

import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.theatre import render
from pipeline.theatre.takes import TAKES
from tests.bench.footage import asset
from tests.bench.table import OURS, PEER, Goal, Row, Skipped
from tests.bench.watched import Spent, adopt_orphans, run

TARGETS = ("crawl", "annotate", "filter")
PARTS = ("clips", "demo")
NETS = ("--set", 'overlap.net=["segmentation_2022"]')
CLIPS_GOAL = Goal("times the peer", 0.58)
DEMO_GOAL = Goal("value", 100)
SEED = 405  # of the demo's takes
HERE = Path(__file__).parents[2]
BETWEEN = "between the units"
DRAW = "import sys; from pathlib import Path; from pipeline import theatre; theatre.build(Path(sys.argv[1]))"


@dataclass(frozen=True)
class Checkout:
    """A commit's code with its own environment, and its own cache of nets."""

    root: Path
    python: Path
    cache: Path

    def run(self, *words: str) -> tuple[str, Spent]:
        """What Python printed, and what it used; a failure ends the bench."""
        environment = {**os.environ, "NO_COLOR": "1", "CSG405_CACHE": str(self.cache)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return run([self.python, *words], self.root, environment)

    def csg405(self, *words: str) -> tuple[str, Spent]:
        """What a command printed, and what it used; a failure ends the bench."""
        return self.run("-m", "pipeline.cli", *words)

    @property
    def commands(self) -> list[list[str]]:
        """The targets of each command of `make crawl annotate filter`."""
        together = "\nTOGETHER = " in (self.root / "Makefile").read_text(encoding="utf-8")
        return [list(TARGETS)] if together else [[target] for target in TARGETS]


@dataclass
class Chain:
    """Processor seconds of one run of the chain.

    Attributes:
        spent: of all commands.
        stages: of each stage's units.
        hours: what each stage holds: crawled, cut, annotated, exported.
    """

    spent: Spent = field(default_factory=Spent)
    stages: dict[str, float] = field(default_factory=dict)
    hours: dict[str, float] = field(default_factory=dict)

    @property
    def between(self) -> dict[str, float]:
        """What is no unit's: all of it, and by whose it is."""
        whole = self.spent.whole - sum(self.stages.values())
        driver, server = self.spent.driver, self.spent.server
        return {
            BETWEEN: whole,
            f"{BETWEEN}: drivers": driver,
            f"{BETWEEN}: servers of workers": server,
            f"{BETWEEN}: workers": whole - driver - server,
        }


def measured(folder: Path, against: Path, rounds: int, parts: Sequence[str]) -> Iterator[Row]:
    """Rows of the chosen parts; all of them when none is chosen. Skipped without the assets."""
    adopt_orphans()
    sides = {
        PEER: Checkout(against.resolve(), against.resolve() / ".venv/bin/python", folder / "cache-peer"),
        OURS: Checkout(HERE, Path(sys.executable), folder / "cache-ours"),
    }
    for part in parts or PARTS:
        if part not in PARTS:
            raise Skipped(f"no part is called {part}: {', '.join(PARTS)}")
        yield from {"clips": clips, "demo": demo}[part](folder, sides, rounds)


def clips(folder: Path, sides: dict[str, Checkout], rounds: int) -> Iterator[Row]:
    """All real clips with the small real nets."""
    given = ["--profile", "folder", "--models", str(asset("models")), *NETS]
    short = folder / "short"
    short.mkdir()
    shutil.copy(asset("clips/csgpage_demo3.mp4"), short)
    for name, side in sides.items():  # nets are prepared once a machine, into its cache
        chain(side, folder / f"warm-{name}", [*given, "--input", str(short)])
    given += ["--input", str(asset("clips"))]
    found: dict[str, list[Chain]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name, side in sides.items():
            found[name].append(chain(side, folder / f"clips-{name}-{turn}", given))
    yield from rows("clips", found, CLIPS_GOAL)


def demo(folder: Path, sides: dict[str, Checkout], rounds: int) -> Iterator[Row]:
    """The demo's takes as the other commit draws them."""
    films = folder / "films"
    sides[PEER].run("-c", DRAW, str(films))
    found: dict[str, list[Chain]] = {name: [] for name in sides}
    for turn in range(-1, rounds):  # the first one builds the demo's nets and does not count
        for name, side in sides.items():
            one = folder / f"demo-{name}-{turn}"
            shutil.copytree(films, one / "theatre")
            if name == OURS:
                stamp(one / "theatre")
            costs = chain(side, one, ["--profile", "demo"])
            found[name] += [costs] if turn >= 0 else []
    yield from rows("demo", found, DEMO_GOAL)


def stamp(films: Path) -> None:
    """Have our code take films for its own that another commit drew: both see the same bytes."""
    for take in TAKES:
        if (films / take.file).exists():
            (films / "truth" / f"{take.name}.stamp").write_text(render.stamp_of(take, SEED), encoding="ascii")


def chain(side: Checkout, folder: Path, given: Sequence[str]) -> Chain:
    """Run the targets as `make crawl annotate filter` does; the run folder goes afterwards."""
    found = Chain()
    for targets in side.commands:
        found.spent += side.csg405("run", *targets, "--run", str(folder), *given)[1]
    for stage in json.loads(side.csg405("status", "--json", "--run", str(folder), *given)[0])["stages"]:
        found.stages[stage["stage"]] = stage["cpu_hours"] * 3600
        found.hours[stage["stage"]] = stage["hours"] or 0.0
    shutil.rmtree(folder)
    told = f"{found.spent.whole:.1f} CPU s, {found.between[BETWEEN]:.2f} of them between the units"
    print(f"{folder.name}: {told}", file=sys.stderr, flush=True)
    return found


def rows(name: str, found: dict[str, list[Chain]], goal: Goal) -> Iterator[Row]:
    """Medians: each stage, what lies between the units, the stages that both have, and all of it."""
    stages = {key: None for chains in (found[OURS], found[PEER]) for one in chains for key in one.stages}
    shared = [s for s in stages if all(one.stages.get(s) for chains in found.values() for one in chains)]
    for stage in stages:
        costs = {who: [one.stages.get(stage, 0.0) for one in chains] for who, chains in found.items()}
        if any(costs[OURS]) or any(costs[PEER]):
            yield row(f"{name}: {stage}", costs)
    for what in Chain().between:
        yield row(f"{name}: {what}", {who: [one.between[what] for one in chains] for who, chains in found.items()})
    both = {who: [sum(one.stages[s] for s in shared) for one in chains] for who, chains in found.items()}
    yield row(f"{name}: units of the {len(shared)} stages that both have", both)
    yield row(
        f"{name}: the whole chain", {who: [one.spent.whole for one in chains] for who, chains in found.items()}, goal
    )
    for stage, what in (("split", "cut into clips"), ("annotate", "annotated"), ("export", "kept")):
        held = {who: [one.hours.get(stage, 0.0) * 3600 for one in chains] for who, chains in found.items()}
        yield Row(f"{name}: {what}", "s of footage", statistics.median(held[OURS]), statistics.median(held[PEER]))


def row(what: str, costs: dict[str, list[float]], goal: Goal | None = None) -> Row:
    """A row of medians."""
    return Row(what, "CPU s", statistics.median(costs[OURS]), statistics.median(costs[PEER]), goal=goal, samples=costs)
