"""Renders the programme into a folder: files, truth, nets and a playlist; what is there already is left alone."""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.base.errors import StageError
from pipeline.base.pulse import count_into
from pipeline.theatre.coding import CRF, PRESET, write_film
from pipeline.theatre.film import Film, Truth
from pipeline.theatre.programme import PROGRAMMES, take_named
from pipeline.theatre.takes import Take

VERSION = 7  # bump when a picture, a sound or a truth changes
Progress = Callable[[str, int, int], None]


def stamp_of(take: Take, seed: int) -> str:
    """What a rendered take depends on."""
    text = json.dumps([VERSION, seed, CRF, PRESET, asdict(take)], sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _save_truth(truth: Truth, path: Path) -> None:
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(partial, **{**vars(truth), "keypoints": truth.keypoints.astype(np.float32)})
    partial.replace(path)


def render(folder: Path, name: str, seed: int) -> str:
    """Write one take and its truth, each beside its place first; returns its name."""
    take = take_named(name)
    film = Film(take, seed)
    target = folder / take.file
    partial = target.with_name(f".{take.name}.part{take.suffix}")
    write_film(film, partial)
    if take.kept_bytes < 1.0:
        with partial.open("r+b") as file:
            file.truncate(int(partial.stat().st_size * take.kept_bytes))
    _save_truth(film.truth(), truth_path(folder, name))
    partial.replace(target)
    _stamp_path(folder, name).write_text(stamp_of(take, seed), encoding="ascii")
    return name


def truth_path(folder: Path, name: str) -> Path:
    """Where a take's truth lies."""
    return folder / "truth" / f"{name}.npz"


def _stamp_path(folder: Path, name: str) -> Path:
    return folder / "truth" / f"{name}.stamp"


def _missing(folder: Path, seed: int, programme: str) -> list[Take]:
    def fresh(take: Take) -> bool:
        stamp = _stamp_path(folder, take.name)
        there = stamp.exists() and (folder / take.file).exists() and truth_path(folder, take.name).exists()
        return there and stamp.read_text(encoding="ascii") == stamp_of(take, seed)

    return sorted((take for take in PROGRAMMES[programme] if not fresh(take)), key=lambda take: -take.seconds)


def _playlist(folder: Path, programme: str) -> None:
    entries = [
        {
            "name": take.name, "file": take.file, "title": take.title, "seconds": take.seconds, "verdict": take.verdict,
            "reasons": sorted(take.reasons), "may": sorted(take.may), "persons": take.persons, "clips": take.clips,
            "cuts": take.cuts, "whips": take.whips, "blends": take.blends,
        }
        for take in PROGRAMMES[programme]
    ]  # fmt: skip
    partial = folder / ".playlist.part"
    partial.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    partial.replace(folder / "playlist.json")


def build(
    folder: Path,
    seed: int = 405,
    workers: int = 2,
    progress: Progress | None = None,
    programme: str = "demo",
    pulse: Path | None = None,
) -> Path:
    """Render whatever is missing or out of date.

    Args:
        folder: gets `<take>.<suffix>`, `truth/<take>.npz` and `playlist.json`.
        seed: of everything random.
        workers: processes; 1 renders in this one.
        progress: called with (name of the take just done, done, to do).
        programme: a key of `PROGRAMMES`.
        pulse: where the processes count the pictures that they have drawn.

    Returns:
        The folder.

    Raises:
        StageError: one of the processes was killed.
    """
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    todo = [take.name for take in _missing(folder, seed, programme)]
    apart = workers > 1 and len(todo) > 1
    try:
        drawn = _rendered(folder, todo, seed, workers, pulse) if apart else _rendered_here(folder, todo, seed)
        for done, name in enumerate(drawn, 1):
            if progress:
                progress(name, done, len(todo))
    except BrokenProcessPool:
        raise StageError(
            f"a process that draws the theatre's footage into {folder} was killed, perhaps for lack of memory; what was drawn "
            "is kept, the same command draws the rest"
        ) from None
    _playlist(folder, programme)
    return folder


def _rendered_here(folder: Path, names: Sequence[str], seed: int) -> Iterator[str]:
    """Draw takes in this process; yields the name of each that is done."""
    for name in names:
        render(folder, name, seed)
        yield name


def _rendered(folder: Path, names: list[str], seed: int, workers: int, pulse: Path | None) -> Iterator[str]:
    """Render takes side by side and yield their names as they end. Raises BrokenProcessPool when a worker was killed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(names)), context, _begin, (pulse,)) as pool:
        for future in as_completed([pool.submit(render, folder, name, seed) for name in names]):
            yield future.result()


def _begin(pulse: Path | None) -> None:
    """First code of a worker: it would wait for takes for ever when who started it was killed."""
    count_into(pulse)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def truth(folder: Path, name: str) -> Truth:
    """The truth of a rendered take; FileNotFoundError before it was rendered."""
    with np.load(truth_path(folder, name), allow_pickle=False) as data:
        return Truth(**{key: data[key] for key in data.files})
