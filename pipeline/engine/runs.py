"""Which folders are runs."""

from pathlib import Path

from pipeline.base.errors import BadUse
from pipeline.engine.chosen import CHOSEN, KEPT

USUAL = Path("runs")  # where a run goes that nobody named
_SHOWN = 20
# What stages and programs leave; programs, which may start from shards of elsewhere, keep no settings.
_WORKED_IN = ("tables", "evaluation", "training", "generated", "finetuning", "ablation")


def is_run(folder: Path) -> bool:
    """Whether a command that builds has ever worked in a folder."""
    chosen = any((folder / name).is_file() for name in (KEPT, CHOSEN))
    return chosen or any((folder / name).is_dir() for name in _WORKED_IN)


def runs_in(folder: Path) -> list[Path]:
    """The runs directly below a folder, by name; the folder itself where it is one."""
    if is_run(folder):
        return [folder]
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_run(path)) if folder.is_dir() else []


def check_is_run(folder: Path) -> None:
    """Raise BadUse, with the runs that are there, unless the folder is a run: looking at nothing would show a run of nothing."""
    if is_run(folder):
        return
    places = dict.fromkeys(path for path in (USUAL, folder.parent) if path != Path())
    near = list(dict.fromkeys(run for place in places for run in runs_in(place)))
    lines = [f"  {run}" for run in near[:_SHOWN]] + [f"  and {len(near) - _SHOWN} more"] * (len(near) > _SHOWN)
    listed = "\n".join(["runs that are there (--run FOLDER):", *lines]) if near else "no run lies here either"
    raise BadUse(f"{folder} is no run; {listed}")
