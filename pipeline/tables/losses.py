"""How damage to tables is told: which run a part belongs to, the file's place in it, and the command that mends it."""

from pathlib import Path

from pipeline.base.damage import Damage, run_option

EVALUATION = "evaluation"  # of a run: the folder of stores that `evaluate` keeps
SET_ASIDE = "set-aside"


def home_of(store: Path) -> Path:
    """The run that a store belongs to: the store's own folder, or that around `evaluation/`."""
    for folder in (store, *store.parents[:2]):
        home = folder.parent
        if folder.name == EVALUATION and (home / "tables").is_dir():
            return home
    return store


def is_part(path: Path) -> bool:
    """Whether a path is that of a part of a table."""
    return len(path.parents) > 3 and path.parents[2].name == "tables"


def run_of(part: Path) -> Path:
    """The run of a part, by its path: .../tables/<kind>/<side>/<name>."""
    return home_of(part.parents[3])


def remedy(run: Path) -> str:
    """The command that lists damage, says what making the units anew will cost, and takes damaged parts away."""
    return f"csg405 check --set-aside {run_option(run)}"


def of_part(
    path: Path, problem: str, *, rows: int = 0, units: tuple[str, ...] = (), holds: str = "", lost: str = ""
) -> Damage:
    """Damage to a file under `tables/<kind>/<side>/`."""
    run = run_of(path)
    return _damage(run, path, problem, holds or amount(rows, len(units)), units, lost)


def of_pointer(path: Path, problem: str, holds: str = "") -> Damage:
    """Damage to `tables/<kind>/generation.json`."""
    run = home_of(path.parents[2])
    return _damage(run, path, problem, holds, (), "")


def _damage(run: Path, path: Path, problem: str, holds: str, units: tuple[str, ...], lost: str) -> Damage:
    name = path.relative_to(run).as_posix() if path.is_relative_to(run) else str(path)
    return Damage(name, problem, holds, remedy(run), lost, units, set_aside=True)


def amount(rows: int, units: int) -> str:
    """Rows and units as a phrase; "" of none."""
    if not units:
        return ""
    of_units = f"{units:,} unit{'s' * (units != 1)}"
    return f"{rows:,} row{'s' * (rows != 1)} of {of_units}" if rows else f"outcomes of {of_units}"
