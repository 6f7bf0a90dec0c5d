"""Which models of a run were trained on whom, by the notes beside their weights."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.base.hashes import sha256_of
from pipeline.tables import people, run_folder
from pipeline.tables.run_folder import Find
from pipeline.tables.takedowns import Model

_TRAINED_ON = "trained_on.json"
_WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_STATE = ("optimizer.", "adapters.")  # of a checkpoint, beside the weights


def that_saw(run: Path, marks: frozenset[str]) -> dict[Path, list[Path]]:
    """Folder of a training -> its folders of weights that were trained on any of these works."""
    found: dict[Path, list[Path]] = {}
    for place in run_folder.found_by(Find.TELL) if marks else ():
        for path in sorted(run.glob(place.name)) if "/*/" in place.name else ():
            if (people.read(people.note_of(path)) or frozenset()) & marks and any(path.iterdir()):
                found.setdefault(path.parent, []).append(path)
    return found


def described(run: Path, mark: str, known: dict[Path, Model]) -> tuple[Model, ...]:
    """What the ledger says of the models that were trained on a work.

    Args:
        run: the run's folder.
        mark: of the work.
        known: of trainings that were described before; added to, for files of weights are large.
    """
    for folder, places in that_saw(run, frozenset({mark})).items():
        if folder not in known:
            known[folder] = Model(folder.relative_to(run).as_posix(), tuple(sorted(set(_hashes(folder, places)))))
    return tuple(known[folder] for folder in that_saw(run, frozenset({mark})))


def _hashes(folder: Path, places: list[Path]) -> Iterator[str]:
    weights = [path for place in places for path in place.rglob("*") if path.suffix in _WEIGHTS]
    for path in [folder / _TRAINED_ON, *sorted(weights)]:
        if path.is_file() and not path.name.startswith(_STATE):
            yield sha256_of(path)
