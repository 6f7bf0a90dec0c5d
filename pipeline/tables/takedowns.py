"""The ledger of takedowns: works that nobody takes up again, by hashes of their ids, in a file that may be published.

`takedowns.jsonl` lies in a run, and beside a release at an address that stays. It holds a line a work, and no id: what a hash
hides is said in `pipeline/shards/README.md`. While a takedown is at work, `.takedown.json` of the run names the works by their ids,
so that a kill, or damage, loses none of them; it is deleted at the end.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.damage import Damage, run_option
from pipeline.base.errors import UserError
from pipeline.base.hashes import sha256_of
from pipeline.tables.people import mark

LEDGER = "takedowns.jsonl"
JOURNAL = ".takedown.json"
UNKNOWN_VERSION = "?"  # of a release that held the work and is not there any more

_MOST_BYTES = 256 << 20
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MARK = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ITEM_BYTES = 4


class TakedownError(UserError, ValueError):
    """A ledger or journal that does not read: nobody may be let in for that."""


@dataclass(frozen=True)
class Model:
    """A model that was trained on a work.

    Attributes:
        name: of its training.
        sha256: of its `trained_on.json` and of its files of weights.
    """

    name: str
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Takedown:
    """A work that was taken down; a line of the ledger.

    Attributes:
        mark: hash of its id, see `pipeline.tables.people.mark`.
        date: YYYY-MM-DD.
        releases: versions of the release that held it.
        models: that were trained on it.
        sound_of: what made the fingerprint; "" where none is kept.
        sound: its fingerprint's items, little-endian uint32, where whoever asked agreed that it is kept.
    """

    mark: str
    date: str
    releases: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    sound_of: str = ""
    sound: bytes = b""

    def line(self) -> str:
        """As the ledger holds it."""
        said: dict[str, Any] = {"date": self.date, "id": self.mark, "releases": list(self.releases)}
        said["models"] = [{"name": model.name, "sha256": list(model.sha256)} for model in self.models]
        if self.sound:
            said |= {"sound_of": self.sound_of, "sound": base64.b64encode(self.sound).decode()}
        return json.dumps(said, ensure_ascii=False)

    def joined(self, other: "Takedown") -> "Takedown":
        """What two lines say of one work: the earlier day, and all of the rest."""
        known = {model.name: model for model in self.models}
        for model in other.models:
            mine = known.get(model.name, Model(model.name)).sha256
            known[model.name] = Model(model.name, tuple(sorted({*mine, *model.sha256})))
        kept = self if self.sound else other
        return replace(
            kept,
            date=min(self.date, other.date),
            releases=tuple(sorted({*self.releases, *other.releases})),
            models=tuple(known[name] for name in sorted(known)),
        )


def read(path: Path) -> dict[str, Takedown]:
    """Mark -> its line, of a ledger that may come from others; empty where there is none.

    Raises:
        TakedownError: a line is none of a ledger, or it is far too large for one; the message names file and line.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TakedownError(f"{path} is larger than {_MOST_BYTES >> 20} MiB: it is no ledger of takedowns")
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise TakedownError(f"{path}: not a UTF-8 text ({error.reason})") from error
    found: dict[str, Takedown] = {}
    for number, line in enumerate(lines, 1):
        one = _parsed(line, f"{path}, line {number}") if line.strip() else None
        if one is not None:
            found[one.mark] = found[one.mark].joined(one) if one.mark in found else one
    return found


def _parsed(line: str, where: str) -> Takedown:
    try:
        return _of(json.loads(line))
    except (ValueError, TypeError, KeyError, RecursionError):
        copy = (
            "bring the file back from a copy, or from beside the release; a work is not let in because its line is lost"
        )
        raise TakedownError(f"{where}: no line of a ledger of takedowns: {copy}") from None


def _of(said: Mapping[str, Any]) -> Takedown:
    """The takedown that a line says. Raises ValueError, TypeError, KeyError."""
    models = tuple(
        Model(_text(one["name"]), tuple(_fitting(_HASH, h) for h in one["sha256"])) for one in said["models"]
    )
    try:
        sound = base64.b64decode(said.get("sound", ""), validate=True)
    except binascii.Error as error:
        raise ValueError(error) from None
    if len(sound) % _ITEM_BYTES:
        raise ValueError("half an item")
    day, name = _fitting(_DAY, said["date"]), _fitting(_MARK, said["id"])
    return Takedown(name, day, tuple(map(_text, said["releases"])), models, _text(said.get("sound_of", "")), sound)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise ValueError("no short text")
    return value


def _fitting(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError("no text of this form")
    return value


def add(path: Path, lines: Iterable[Takedown]) -> int:
    """Join lines to a ledger, atomically; one that says nothing new stays as it is.

    Returns: works that are new to it.

    Raises:
        TakedownError: the ledger does not read, or would become too large to be read; it stays as it was.
    """
    known, joined = _joined(path, lines)
    if joined != known:
        files.write_text(path, _text_of(path, joined))
    return len(joined) - len(known)


def check_room(path: Path, lines: Iterable[Takedown]) -> None:
    """Raise as `add` would; nothing is written."""
    _text_of(path, _joined(path, lines)[1])


def _joined(path: Path, lines: Iterable[Takedown]) -> tuple[dict[str, Takedown], dict[str, Takedown]]:
    """What a ledger says, and what it is to say."""
    known = read(path)
    joined = dict(known)
    for one in lines:
        joined[one.mark] = joined.get(one.mark, one).joined(one)
    return known, joined


def _text_of(path: Path, joined: Mapping[str, Takedown]) -> str:
    """A ledger's text. Raises TakedownError where nobody would read it any more, and nobody work on the run."""
    text = "".join(f"{one.line()}\n" for one in sorted(joined.values(), key=lambda one: (one.date, one.mark)))
    if len(text.encode()) > _MOST_BYTES:
        raise TakedownError(
            f"{path} would be larger than {_MOST_BYTES >> 20} MiB, which nobody reads, and stays as it was: of each hour of "
            "sound that is kept it holds 0.15 MB; leave --keep-fingerprint out"
        )
    return text


def beside(path: Path) -> Path:
    """Where the ledger of a folder, or of a file's folder, lies."""
    return (path if path.is_dir() else path.parent) / LEDGER


@dataclass(frozen=True)
class Journal:
    """A takedown that is at work.

    Attributes:
        works: video ids.
        lines: what the ledger is to say of them.
        published: a folder beside the run that gets the ledger as well; "" for none.
        names: links and names of files that stand for the works, see `Erased`.
    """

    works: tuple[str, ...]
    lines: tuple[Takedown, ...]
    published: str = ""
    names: tuple[str, ...] = ()


def begin(run: Path, journal: Journal) -> None:
    """From here on the takedown counts. Raises TakedownError where the ledger could not hold it."""
    check_room(run / LEDGER, journal.lines)
    lines = [json.loads(one.line()) for one in journal.lines]
    said = {"works": list(journal.works), "lines": lines, "published": journal.published, "names": list(journal.names)}
    files.write_text(run / JOURNAL, json.dumps(said))


def at_work(run: Path) -> Journal | None:
    """The takedown that is at work, or was cut short. Raises TakedownError where its journal does not read."""
    try:
        said = json.loads((run / JOURNAL).read_text(encoding="utf-8"))
        works, lines, names = said["works"], tuple(map(_of, said["lines"])), said.get("names", [])
        return Journal(tuple(map(str, works)), lines, str(said["published"]), tuple(map(str, names)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        again = f"delete it and name the works again: `csg405 takedown ENTRY... {run_option(run)}`"
        raise TakedownError(f"{run / JOURNAL} says which works are being taken down, and is damaged: {again}") from None


def end(run: Path) -> None:
    """The works are nowhere any more: their ids go."""
    (run / JOURNAL).unlink(missing_ok=True)
    files.sync(run)


def cut_short(run: Path) -> Damage | None:
    """What is to be told of a takedown that did not come to its end."""
    if not (run / JOURNAL).exists():
        return None
    return Damage(JOURNAL, "is of a takedown that was cut short", remedy=f"csg405 takedown {run_option(run)}")


def marks_of(run: Path) -> frozenset[str]:
    """The marks of all works that a run takes up no more. Raises TakedownError where ledger or journal do not read."""
    journal = at_work(run)
    return frozenset(read(run / LEDGER)) | frozenset(map(mark, journal.works if journal else ()))


def kept_sounds(run: Path) -> Iterator[Takedown]:
    """Those of a run's ledger of which a fingerprint is kept."""
    yield from (one for one in read(run / LEDGER).values() if one.sound)


def models_listed(path: Path, lines: Iterable[Takedown]) -> list[Takedown]:
    """The lines that name a file of weights as of a model that was trained on the work; it is read where any names a hash."""
    found = [one for one in lines if any(model.sha256 for model in one.models)]
    sha256 = sha256_of(path) if found and path.is_file() else ""
    return [one for one in found if any(sha256 in model.sha256 for model in one.models)]
