"""Notes of the people in a file, so that an opt-out finds it: one small file beside each.

Code that writes a file of a person which no table names leaves such a note first. It holds hashes of video ids, not
the ids: the note of a trained model, which stays, is no trace of the person to anybody who does not know the id already.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np

from pipeline.base import files

SUFFIX = ".people.json"
ELSEWHERE = "elsewhere"
_Path = TypeVar("_Path", bound=PurePath)
_ID = re.compile(r"(yt:[A-Za-z0-9_-]{11}|file:[0-9a-f]{16})(?![A-Za-z0-9_-])", re.ASCII)
_ON_DISK = re.compile(r"(yt|file)_([A-Za-z0-9_-]{11}|[0-9a-f]{16})(?![A-Za-z0-9-])", re.ASCII)
_LINK = re.compile(r"(?:[?&]v=|youtu\.be/|/(?:shorts|embed|live)/)([A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])", re.ASCII)


def mark(video_id: str) -> str:
    """What stands for a video in a note: 32 hex digits."""
    return hashlib.blake2b(video_id.encode(), digest_size=16).hexdigest()


def video_of(identity: str) -> str:
    """The video of a clip or person id; "" of a name that is no id."""
    video = identity.partition("/")[0]
    return video if _ID.fullmatch(video) else ""


def mentioned(text: str) -> set[str]:
    """The video ids in a text: as ids, as parts of file names, in links."""
    found = set(_ID.findall(text))
    found |= {f"{kind}:{name}" for kind, name in _ON_DISK.findall(text)}
    return found | {f"yt:{name}" for name in _LINK.findall(text)}


def note_of(path: Path) -> Path:
    """Where the note of a file or folder lies: beside it."""
    return path.with_name(f".{path.name}{SUFFIX}")


def subject_of(note: _Path) -> _Path:
    """The file or folder that a note is of."""
    return note.with_name(note.name.removeprefix(".").removesuffix(SUFFIX))


@contextmanager
def noting(run: Path, paths: Iterable[Path], videos: Iterable[str]) -> Iterator[None]:
    """Leave a note of the people in some files, before the block that writes them.

    While the block runs, the notes name the people of older files of these names too: a kill leaves one or the other.

    Args:
        run: the run's folder; of what is written outside it the note lies in `elsewhere/`.
        paths: what will be written.
        videos: ids of the videos that it is made from; "" counts for none.
    """
    marks = sorted({mark(video) for video in videos if video})
    notes = {_place_of_note(run, path): path for path in paths}
    notes = {at: path for at, path in notes.items() if marks or at.parent.name != ELSEWHERE or at.exists()}
    for note, path in notes.items():
        _write(note, path, sorted({*marks, *(read(note) or ())}))
    yield
    for note, path in notes.items():
        if path.exists():
            _write(note, path, marks)
        else:  # nothing came of it: a clip without sound has no voice to leave
            note.unlink(missing_ok=True)


def note(
    run: Path, path: Path, videos: Iterable[str], *, more: bool = False, marks: frozenset[str] = frozenset()
) -> None:
    """Leave a note at once, of these videos and marks; with `more` it names those that it named before as well."""
    at = _place_of_note(run, path)
    known = (read(at) or frozenset()) if more else frozenset()
    _write(at, path, sorted({*known, *marks, *(mark(video) for video in videos if video)}))


def behind(path: Path) -> frozenset[str]:
    """The marks of whoever a model was made from: of its own note, of those in its folder, or of a folder above it."""
    notes = [
        note_of(path),
        *(path.glob(f".*{SUFFIX}") if path.is_dir() else ()),
        *map(note_of, (one for one in path.parents if one.name)),
    ]
    return next((found for one in notes if (found := read(one))), frozenset())


def read(note: Path) -> frozenset[str] | None:
    """The marks in a note; None where there is none, or it cannot be read."""
    try:
        return frozenset(str(one) for one in json.loads(note.read_text(encoding="utf-8"))["videos"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(at: Path, path: Path, marks: list[str]) -> None:
    outside = {"path": str(path.resolve())} if at.parent.name == ELSEWHERE else {}
    if read(at) != frozenset(marks):
        files.write_text(at, json.dumps({"videos": marks, **outside}))


def inside(run: Path, path: Path) -> bool:
    """Whether a path lies in the run's folder."""
    plain, home = (Path(os.path.abspath(each)) for each in (path, run))  # noqa: PTH100 - `absolute` keeps ".."
    return plain.is_relative_to(home) or path.resolve().is_relative_to(run.resolve())


def _place_of_note(run: Path, path: Path) -> Path:
    if inside(run, path):
        return note_of(path)
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
    return run / ELSEWHERE / f"{name}.json"


@dataclass(frozen=True)
class Made:
    """A file or folder that was made of people.

    Attributes:
        path: what it is; it need not be there yet.
        marks: of the videos; None where nothing says whose it is.
    """

    path: Path
    marks: frozenset[str] | None


def made_in(folder: Path) -> Iterator[Made]:
    """What lies in a folder, a piece for each note; what has none by what it says itself, as files of older versions do.

    Folders that have a note are not looked into: fine-tuning data hold a million pictures.
    """
    names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in os.scandir(folder)} if folder.is_dir() else {}
    noted = {subject_of(folder / name).name for name in names if name.endswith(SUFFIX)}
    for name in sorted(noted):
        yield Made(folder / name, read(note_of(folder / name)))
    for name, is_folder in sorted(names.items()):
        if name in noted or name.endswith(SUFFIX) or name.startswith(files.TEMPORARY):
            continue
        marks = _said_inside(folder / name) if is_folder else _said(name)
        if marks is not None or not is_folder:
            yield Made(folder / name, marks)
        else:
            yield from made_in(folder / name)


def _said(name: str) -> frozenset[str] | None:
    """By a file's name, where it holds ids."""
    return frozenset(map(mark, mentioned(name))) or None


def _said_inside(folder: Path) -> frozenset[str] | None:
    """By what older versions left in a folder: the clip of fine-tuning data, the clips of a training cache."""
    try:
        if (folder / "clip.json").is_file():
            return frozenset(map(mark, mentioned((folder / "clip.json").read_text(encoding="utf-8"))))
        if (folder / "clips.npz").is_file():
            with np.load(folder / "clips.npz", allow_pickle=False) as clips:
                return frozenset(mark(video_of(str(name))) for name in clips["ids"])
    except (OSError, ValueError, KeyError):
        return None
    return None


def size_of(path: Path) -> tuple[int, int]:
    """(files, bytes) of a file, or of a folder and all in it."""
    found = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return len(found), sum(item.stat().st_size for item in found)


def delete(path: Path, *, with_note: bool = True) -> None:
    """Delete a file or folder with its note, which goes last; of a folder nothing half-deleted is left under its name."""
    if path.is_dir() and not path.is_symlink():
        gone = path.with_name(f"{files.TEMPORARY}{path.name}-{uuid.uuid4().hex[:12]}")
        path.replace(gone)
        shutil.rmtree(gone)
    else:
        path.unlink(missing_ok=True)
    if with_note and (note := note_of(path)).exists():
        files.sync(path.parent)  # after a power cut no file is there without its note
        note.unlink()
