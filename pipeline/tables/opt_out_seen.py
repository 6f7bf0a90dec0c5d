"""Who was ever left out of a run, as hashes: a list that is lost, cut short or overwritten lets nobody back in without a word.

The lists themselves are plain texts that people edit, and so is the ledger of takedowns. `opt_out.json` remembers the hash of every
name that a command found there, beside the run's list and once more among its tables, so that list and note are not lost in one go.
Names that are on no list any more are told by commands that look, and stop those that build, until they are listed again or
`csg405 opt-out --let-in` says that they may come back.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.base import files
from pipeline.base.damage import Damage, run_option
from pipeline.tables import takedowns
from pipeline.tables.hashing import digest
from pipeline.tables.opt_out import RUN_LIST, OptOut

SEEN = ("opt_out.json", "tables/opt_out.json")  # in the run folder
_TAKEN = "taken:"  # before the mark of a work, which is a hash already
_LOST = "who they are, where no copy of the list is left: only hashes of them are kept"


def remember(run: Path, who: OptOut, given: Iterable[Path] = ()) -> None:
    """Note everybody on the lists of a run, beside those that were on them before.

    Args:
        run: the run's folder.
        who: by the lists as they are.
        given: files and folders that are crawled: a ledger of takedowns beside or in them is joined to the run's.
    """
    for path in given:
        if lines := takedowns.read(takedowns.beside(path)):
            takedowns.add(run / takedowns.LEDGER, lines.values())
    _write(run, (_seen(run) or frozenset()) | _hashes(who))


def let_in(run: Path, who: OptOut) -> int:
    """Note those on the lists alone. Returns: how many names were on them before, and may come back."""
    gone = len((_seen(run) or frozenset()) - _hashes(who))
    _write(run, _hashes(who))
    return gone


def forget(run: Path, videos: Iterable[str]) -> None:
    """Do not miss some videos on the lists: the ledger of takedowns refuses them."""
    if seen := _seen(run):
        _write(run, seen - _hashes(OptOut(videos=frozenset(videos))))


def forgotten(run: Path, who: OptOut) -> Damage | None:
    """What is wrong with the lists of a run, if names were on them that are not there any more.

    Where neither note reads, a list that is there is believed, and the next command that changes the run notes it anew.
    """
    seen, there = _seen(run), (run / RUN_LIST).is_file()
    gone = (seen or frozenset()) - _hashes(who)
    works = {one for one in gone if one.startswith(_TAKEN)}
    missing = len(gone - works)
    if not missing and not (seen is None and not there):
        return _lost_ledger(run, len(works)) if works else None
    holds = (
        f"{missing:,} videos or channels that are on no list any more"
        if missing
        else "the names of those who opted out"
    )
    copy = f"bring {run / RUN_LIST} back from a copy, or name them again by `csg405 opt-out ENTRY... {run_option(run)}`"
    remedy = f"{copy}; where they may come back, `csg405 opt-out --let-in {run_option(run)}`"
    return Damage(RUN_LIST, "is not what it was" if there else "is missing", holds, remedy, _LOST)


def _lost_ledger(run: Path, works: int) -> Damage:
    copy = f"bring {run / takedowns.LEDGER} back from a copy, or from beside the release"
    remedy = f"{copy}; where they may come back, `csg405 opt-out --let-in {run_option(run)}`"
    how = "is not what it was" if (run / takedowns.LEDGER).is_file() else "is missing"
    return Damage(
        takedowns.LEDGER, how, f"{works:,} works that were taken down", remedy, "what their releases and models were"
    )


def _hashes(who: OptOut) -> frozenset[str]:
    videos = {f"{digest('video', video):016x}" for video in who.videos}
    channels = {f"{digest('channel', channel):016x}" for channel in who.channels}
    return frozenset(videos | channels | {f"{_TAKEN}{mark}" for mark in who.taken})


def _seen(run: Path) -> frozenset[str] | None:
    """Hashes of who was ever on a list, by both notes; none where nobody was, None where no note reads and one is there."""
    notes = [_note(run / name) for name in SEEN]
    if known := [names for names in notes if names]:
        return frozenset().union(*known)
    return None if None in notes else frozenset()


def _note(path: Path) -> frozenset[str] | None:
    """The hashes in a note; none where it is missing, None where it does not read."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        names = frozenset(map(str, said["names"]))
        return names if said["sha256"] == _checksum(names) else None
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _write(run: Path, names: frozenset[str]) -> None:
    text = json.dumps({"names": sorted(names), "sha256": _checksum(names)})
    paths = [run / name for name in SEEN]
    if not names and not any(path.exists() for path in paths):
        return
    for path in paths:
        if not path.is_file() or path.read_bytes() != text.encode():
            files.write_text(path, text)


def _checksum(names: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(sorted(names)).encode()).hexdigest()
