"""Damages to a finished run, drawn from a seed: what the commands say of each, and what their advice makes of the run.

python -m tests.trials.damages RUN SEED NUMBER
"""

import filecmp
import json
import random
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from pipeline.base.damage import Damaged
from pipeline.base.hashes import sha256_of
from pipeline.cli.main import main
from pipeline.cli.stage import command_of
from pipeline.tables import parts
from tests.compare_runs import differences

USUAL = ("run", "crawl", "annotate", "filter")
LEFT_OUT = ("logs", "locks", "set-aside")  # what commands write into whenever they run, and what they set aside
SAME_BYTES = ("raw", "clips", "previews", "shards")
ZEROS = 4096
BAD = ("traceback", "SILENT", "NOT MENDED")


@dataclass
class Trial:
    """One damage, and what came of it.

    Attributes:
        deed: what was done to the file.
        path: the file, relative to the run.
        outcome: unnoticed loss, traceback, told, healed, harmless or declared; see `outcome_of`.
        said: the lines of commands that name the file, and what else explains the outcome.
    """

    deed: str
    path: str
    outcome: str = ""
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.outcome:10} {self.deed:8} {self.path}"


def delete(path: Path, _: random.Random, __: Sequence[Path]) -> None:
    path.unlink()


def truncate(path: Path, draw: random.Random, _: Sequence[Path]) -> None:
    with path.open("r+b") as file:
        file.truncate(draw.randrange(path.stat().st_size))


def zero(path: Path, draw: random.Random, _: Sequence[Path]) -> None:
    """Zeros in place of a block, as after a power cut."""
    size = path.stat().st_size
    first = draw.randrange(size)
    with path.open("r+b") as file:
        file.seek(first)
        file.write(bytes(min(ZEROS, size - first)))


def flip(path: Path, draw: random.Random, _: Sequence[Path]) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def replace(path: Path, draw: random.Random, others: Sequence[Path]) -> None:
    """A file of other content in its place: one of its folder and kind, else of its kind, else any."""
    different = [other for other in others if other != path and not filecmp.cmp(other, path, shallow=False)]
    alike = [other for other in different if other.suffix == path.suffix]
    near = [other for other in alike if other.parent == path.parent]
    shutil.copyfile(draw.choice(near or alike or different), path)


DEEDS: dict[str, Callable[[Path, random.Random, Sequence[Path]], None]] = {
    "delete": delete,
    "truncate": truncate,
    "zero": zero,
    "flip": flip,
    "replace": replace,
}


def trials(run: Path, seed: int, number: int) -> list[Trial]:
    """Damages drawn from a seed: any file of the run that is not empty, each folder's files as likely as there are of them."""
    draw = random.Random(seed)
    paths = [path for path in files_of(run) if path.parts[0] not in LEFT_OUT and (run / path).stat().st_size]
    return [Trial(draw.choice(list(DEEDS)), draw.choice(paths).as_posix()) for _ in range(number)]


def files_of(run: Path) -> list[Path]:
    """Every file of a run, relative to it, by name."""
    return sorted(path.relative_to(run) for path in run.rglob("*") if path.is_file() and not path.is_symlink())


def restore(whole: Path, run: Path) -> None:
    """Make a run what `whole` is, by copying what differs in size or time of change."""
    parts._open_part.cache_clear()  # parts never change in place but here
    for path in files_of(run):
        if not (whole / path).exists():
            (run / path).unlink()
    for path in files_of(whole):
        if not untouched(whole, run, path):
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(whole / path, run / path)


def untouched(whole: Path, run: Path, path: Path) -> bool:
    """Whether a file is the one that `restore` left: of the same size, and changed at the same time."""
    try:
        here, there = (run / path).stat(), (whole / path).stat()
    except FileNotFoundError:
        return False
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


class Commands:
    """The commands over one run, in this process."""

    def __init__(self, run: Path, trial: Trial) -> None:
        self.run, self._trial = run, trial

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Run a command; what it printed of the damaged file, and what else went wrong, is noted."""
        about = () if "--run" in arguments else ("--run", str(self.run))
        workers = ("--workers", "0") if arguments[0] == "run" else ()
        return self._noted(main, *arguments, *about, *workers)

    def _noted(self, command: click.Command, *arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(command, arguments)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            self._trial.outcome = "traceback"
            self._trial.said.append(f"{' '.join(arguments)}: {found.exception!r}")
        lines = found.output.splitlines()
        name = Path(self._trial.path).name
        self._trial.said += [
            f"{arguments[0]}: {line}" for line in lines if name in line or "missing or changed" in line
        ]
        if found.exit_code and arguments[0] != "check":
            self._trial.said.append(f"{arguments[0]} ended with {found.exit_code}: {' '.join(lines[-1:])}")
        self._trial.said += [f"{arguments[0]}: {line}" for line in lines if " failed" in line and arguments[0] == "run"]
        return found.exit_code, found.stdout

    def obey(self, remedy: str) -> None:
        """Do what was advised, a command after the other, and what these advise then (`now: COMMAND; then COMMAND`)."""
        for command in remedy.split("&&"):
            words = shlex.split(command)
            if words[:2] == ["rm", "-r"]:
                shutil.rmtree(words[2], ignore_errors=True)
            elif words[0] == "csg405":
                _, output = self(*words[1:])
                for line in output.splitlines():
                    if line.startswith("now: "):
                        self._go_on(line.removeprefix("now: "))
            elif words[:3] == ["python", "-m", "stages.evaluate"]:
                self._noted(command_of("evaluate"), *words[3:])
            else:
                self._trial.said.append(f"not tried: {command}")

    def _go_on(self, advice: str) -> None:
        for command in advice.split("; then "):
            if command != "the usual command":
                self.obey(command)


def undergo(trial: Trial, whole: Path, run: Path, draw: random.Random) -> Trial:
    """Damage a copy of a finished run, ask the commands, do as they say, and compare with the undisturbed run.

    Args:
        trial: which file, and what is done to it; gets the outcome.
        whole: the finished run, which is left alone.
        run: a copy of it, which is restored first.
    """
    restore(whole, run)
    DEEDS[trial.deed](run / trial.path, draw, [run / path for path in files_of(whole)])
    command = Commands(run, trial)
    command("status")
    code, output = command("check", "--deep", "--json")
    found: list[dict[str, Any]] = json.loads(output)["damages"] if output.startswith("{") else []
    told = bool(found) or code != 0
    command(*USUAL)
    before = left = unlike(whole, run)
    for remedy in dict.fromkeys(damage["remedy"] for damage in found if damage["remedy"]):
        command.obey(remedy)
    if found:
        command(*USUAL)
        left = unlike(whole, run)
        if command("check", "--deep")[0]:
            left["check"] = "still finds damage"
    trial.outcome = trial.outcome or outcome_of(told, not before, left, found)
    trial.said += [f"differs: {what}" for what in left.items()]
    return trial


def outcome_of(told: bool, healed: bool, left: dict[str, str], found: Sequence[dict[str, Any]]) -> str:
    """The word for what came of a damage.

    told: `check` said it, and its remedy made the run what it was. healed: likewise, but the usual command sufficed. harmless:
    nobody said anything, and the usual command left or made the run what it was. declared: `check` said that something cannot come
    back. SILENT: none of these.
    """
    if not left:
        return "healed" if told and healed else "told" if told else "harmless"
    return "declared" if any(damage["lost"] for damage in found) else "SILENT" if not told else "NOT MENDED"


def unlike(whole: Path, run: Path) -> dict[str, str]:
    """What differs between two runs: {kind of table: how}, {file of raw, clips, previews or shards: how}."""
    changed = [path for path in {*files_of(whole), *files_of(run)} if not untouched(whole, run, path)]
    found: dict[str, str] = {}
    if any(path.parts[0] == "tables" for path in changed):
        try:
            found = {kind: what for kind, what in differences(whole, run).items() if what}
        except Damaged as damage:
            found = {"tables": str(damage)}
    for path in changed:
        if path.parts[0] in SAME_BYTES and path.suffix != ".owner" and (whole / path).is_file():
            there = (run / path).is_file()
            if not there or sha256_of(run / path) != sha256_of(whole / path):
                found[path.as_posix()] = "other bytes" if there else "is not there"
    return found


def table(done: Sequence[Trial]) -> str:
    """Outcomes by what was done, as a table."""
    outcomes = sorted({trial.outcome for trial in done})
    lines = [f"{'':10}" + "".join(f"{name:>12}" for name in outcomes)]
    for deed in DEEDS:
        counts = Counter(trial.outcome for trial in done if trial.deed == deed)
        lines.append(f"{deed:10}" + "".join(f"{counts[name]:>12}" for name in outcomes))
    return "\n".join(lines)


def undergo_all(whole: Path, run: Path, seed: int, number: int) -> Iterator[Trial]:
    """Every trial of a seed, one after the other."""
    for at, trial in enumerate(trials(whole, seed, number)):
        yield undergo(trial, whole, run, random.Random(seed * 1_000_003 + at))


def main_of(whole: Path, seed: int, number: int) -> int:
    """Print a line for each trial, then the table; returns the exit code."""
    done = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(whole, run)
        for trial in undergo_all(whole, run, seed, number):
            print(trial, flush=True)
            if trial.outcome in BAD:
                print(*(f"    {line}" for line in trial.said), sep="\n", flush=True)
            done.append(trial)
    print(table(done))
    return int(any(trial.outcome in BAD for trial in done))


if __name__ == "__main__":
    sys.exit(main_of(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
