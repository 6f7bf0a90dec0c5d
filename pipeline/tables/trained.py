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
    return Trained(run).that_saw(marks) if marks else {}


class Trained:
    """The models of a run; their notes, and files of weights, which are large, are read once however many works are asked for.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._marks = {
            path: people.read(people.note_of(path)) or frozenset()
            for place in run_folder.found_by(Find.TELL)
            if "/*/" in place.name
            for path in sorted(run.glob(place.name))
            if any(path.iterdir())
        }
        self._hashes: dict[Path, frozenset[str]] = {}

    def that_saw(self, marks: frozenset[str]) -> dict[Path, list[Path]]:
        """Folder of a training -> its folders of weights that were trained on any of these works."""
        found: dict[Path, list[Path]] = {}
        for path, saw in self._marks.items():
            if saw & marks:
                found.setdefault(path.parent, []).append(path)
        return found

    def on(self, mark: str) -> tuple[Model, ...]:
        """What the ledger says of the models that were trained on a work."""
        return tuple(
            Model(folder.relative_to(self._run).as_posix(), tuple(sorted(self._hashes_of(folder, places))))
            for folder, places in self.that_saw(frozenset({mark})).items()
        )

    def _hashes_of(self, folder: Path, places: list[Path]) -> frozenset[str]:
        for path in (folder / _TRAINED_ON, *places):
            if path not in self._hashes:
                self._hashes[path] = frozenset(_hashes(path))
        return self._hashes[folder / _TRAINED_ON].union(*(self._hashes[place] for place in places))


def _hashes(path: Path) -> Iterator[str]:
    """Of a file, or of a folder's files of weights."""
    weights = (one for one in sorted(path.rglob("*")) if one.suffix in _WEIGHTS and not one.name.startswith(_STATE))
    for one in (path,) if path.is_file() else weights:
        if one.is_file():
            yield sha256_of(one)
