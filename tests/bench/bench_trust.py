"""Trust: what is lost, changed or let in without a word, tried from a seed by the hundred. Every count has a goal, and most are 0.

Not among the benches that run when none is named: it takes an hour or two. `--run` names a finished run of the demo; without one it
is made first.
"""

import random
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hypothesis import HealthCheck, core, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.bench.table import Goal, Row
from tests.pipeline.sources.manifest.mutations import figures
from tests.pipeline.tables.machine import TablesMachine
from tests.trials import damages, films
from tests.trials.week_of_crawling import week

FILMS, MANIFEST_ROWS, DAMAGES, EXAMPLES, STEPS = 600, 5000, 200, 100, 40
LINKS, HOSTS = 100_000, 20
NONE, LITTLE_MB = Goal("value", 0), Goal("value", 50)


def measured(folder: Path, seed: int, run: Path | None, chosen: Sequence[str] = ()) -> Iterator[Row]:
    """The counts of every trial, or of the chosen parts; what was found of the bad ones goes to standard error."""
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"trust has no part {', '.join(sorted(unknown))}: it has {', '.join(PARTS)}")
    for name in chosen or PARTS:
        yield from _timed(lambda name=name: PARTS[name](folder, seed, run))  # type: ignore[misc]


def _timed(part: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    began = time.monotonic()
    rows = list(part())
    yield from rows
    yield Row(f"{rows[0].what.partition(':')[0]}: time", "s", round(time.monotonic() - began, 1))


def _bad(name: str, count: int, examples: list[str]) -> Row:
    for line in examples:
        print(f"    {line}", file=sys.stderr)
    return Row(name, "", count, goal=NONE)


def _tests(*arguments: str) -> tuple[int, int, str]:
    """(passed, failed, output) of tests in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    return counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0), done.stdout


def powercuts(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """Every state of the disk that a power cut may leave; the same for every seed."""
    _, failed, output = _tests(
        "tests/pipeline/tables/test_crash_states.py", "tests/pipeline/shards/test_crash_states.py"
    )
    states = re.findall(r"operations and states: (\d+) (\d+)", output)
    yield Row("power cuts: file operations", "", sum(int(operations) for operations, _ in states))
    yield Row("power cuts: states of the disk", "", sum(int(count) for _, count in states))
    yield _bad(
        "power cuts: tests with a state that is neither old, new nor told",
        failed,
        re.findall(r"^FAILED .*", output, re.M),
    )


def state_machine(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """A small store and everything that may happen to it, against a model in memory."""
    core.global_force_seed = seed  # type: ignore[assignment]
    given = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    found: list[str] = []
    try:
        run_state_machine_as_test(TablesMachine, settings=given)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        found = ["".join(traceback.format_exception(error))]
    yield Row("state machine: steps at most", "", EXAMPLES * STEPS)
    yield _bad("state machine: rows changed without a word", len(found), found)


def shards(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """Hostile shards, each refused in a line; the same for every seed."""
    passed, failed, output = _tests("tests/pipeline/shards/test_hostile.py")
    yield Row("hostile shards: tests", "", passed + failed)
    yield _bad(
        "hostile shards: accepted, or not in a line, or too large", failed, re.findall(r"^FAILED .*", output, re.M)
    )


def manifests(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """Damaged rows among good ones, in every form of list."""
    table = figures(seed, MANIFEST_ROWS)
    total: Counter[str] = Counter()
    for counts in table.values():
        total.update(counts)
    yield Row("manifests: rows", "", total["rows"])
    for name, words in {
        "crashes": "crashes",
        "lost": "good rows lost",
        "wrong": "rows that say what no line says",
    }.items():
        yield _bad(
            f"manifests: {words}",
            total[name],
            [f"{form}: {counts}" for form, counts in table.items() if counts.get(name)],
        )
    yield _bad("manifests: damaged rows of which nothing is said", total["unsaid"], [])


def mutated_films(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """Films of every container, damaged, crawled, split and listened to."""
    place = folder / "films"
    place.mkdir()
    tried = films.crawl_mutated(place, FILMS, seed)
    for name, count in sorted(tried.outcomes.items()):
        yield Row(f"films: {name}", "", count)
    yield _bad("films: outcomes that are our fault", len(tried.bugs), tried.bugs)
    yield _bad("films: clips that cannot be read whole", len(tried.wrong), tried.wrong)
    yield _bad("films: without an outcome", len(tried.untold), tried.untold)
    yield Row("films: clips beyond the end, by a broken clock", "", len(tried.time_scales))


def crawl_week(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """A week of crawling on a simulated clock."""
    seen = week(seed, LINKS, HOSTS)
    yield Row("week: hours simulated", "h", seen["hours"])
    yield Row("week: requests", "", seen["requests"])
    for name, words in {
        "too_early": "requests before their time",
        "not_quiet": "requests to a host that asked for a pause",
        "over_the_rate": "hosts asked more than the rate allows",
    }.items():
        yield _bad(f"week: {words}", seen[name], [])
    yield Row(
        "week: memory, last hour over the first", "MB", seen["megabytes"][1] - seen["megabytes"][0], goal=LITTLE_MB
    )
    yield _bad("week: files left open", seen["open_files"][1] - seen["open_files"][0], [])


def kills(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """SIGKILLs of crawl and of training; the same for every seed."""
    crawl = ("tests/stages/test_hostile.py", "-k", "kills")
    training = ("tests/pipeline/model/training/test_checkpoint.py", "-k", "kill")
    for name, tests in (("crawl", crawl), ("training", training)):
        passed, failed, output = _tests(*tests)
        yield Row(f"kills of {name}: tests of ten", "", passed + failed)
        yield _bad(
            f"kills of {name}: what differs from an undisturbed run", failed, re.findall(r"^FAILED .*", output, re.M)
        )


def damaged_runs(folder: Path, seed: int, run: Path | None) -> Iterator[Row]:
    """Damages to a finished run of the demo: what is said of each, and what the advice makes of the run."""
    whole, copy = run or _demo(folder), folder / "copy"
    shutil.copytree(whole, copy)
    outcomes: Counter[str] = Counter()
    for number, trial in enumerate(damages.trials(whole, seed, DAMAGES)):
        damages.undergo(trial, whole, copy, random.Random(seed * 1_000_003 + number))
        outcomes[trial.outcome] += 1
        print(trial, *(trial.said if trial.outcome in damages.BAD else ()), sep="\n    ", file=sys.stderr)
    for name, count in sorted(outcomes.items()):
        if name not in damages.BAD:
            yield Row(f"damages: {name}", "", count)
    for name in damages.BAD:
        yield Row(f"damages: {name}", "", outcomes[name], goal=NONE)


def _demo(folder: Path) -> Path:
    run = folder / "demo"
    command = [sys.executable, "-m", "pipeline.cli", "run", "crawl", "annotate", "filter", "--profile", "demo"]
    subprocess.run([*command, "--run", str(run)], check=True, timeout=3600)
    return run


PARTS: dict[str, Callable[[Path, int, Path | None], Iterator[Row]]] = {
    "powercuts": powercuts,
    "state_machine": state_machine,
    "shards": shards,
    "manifests": manifests,
    "films": mutated_films,
    "week": crawl_week,
    "kills": kills,
    "damages": damaged_runs,
}
