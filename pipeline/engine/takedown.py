"""A takedown in a run: works leave every folder of it, and the ledger says that nobody takes them up again.

A journal that names the works is written first: from there on the takedown counts, and whatever a kill leaves, the same command
brings it to its end. Files go before rows, and rows before the journal, so that what tells whose a file is is there as long as the
file is.
"""

import errno
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.base.damage import Damaged, run_option
from pipeline.base.text import printable
from pipeline.engine.upkeep import sweep
from pipeline.media.chromaprint import NAME, Items
from pipeline.shards.release import FOLDER
from pipeline.shards.release.holding import releases_in, versions_holding
from pipeline.shards.removal import Removed, remove_from_run
from pipeline.tables import people, takedowns, trained
from pipeline.tables.compaction import compact
from pipeline.tables.erased import Erased
from pipeline.tables.opt_out import of_run
from pipeline.tables.seal import DamagedFile, DiskError
from pipeline.tables.store import Store
from pipeline.tables.takedowns import Journal, Takedown, TakedownError
from pipeline.tables.unlisted import unlist

_LAST = "videos"  # of the tables to be erased: it says what units of others are called


def begin(
    run: Path, works: Sequence[str], day: str, published: Path | None, kept: Mapping[str, Items]
) -> tuple[Journal, list[str]]:
    """Write down what is to be taken down: from here on it counts.

    Args:
        run: the run's folder.
        works: video ids.
        day: YYYY-MM-DD.
        published: folder of the release's versions, or of one, that gets the ledger as well.
        kept: fingerprints that whoever asked agreed to be kept, by work.

    Returns: the journal, and what is to be told of releases: a line each.

    Raises:
        TakedownError: the ledger of the published folder does not read; nothing was done.
    """
    if published:
        takedowns.read(published / takedowns.LEDGER)  # one that does not read is to be told before anything counts
    releases, told = _releases(run, frozenset(works), published)
    models = trained.Trained(run)
    lines = []
    for work in works:
        mark = people.mark(work)
        line = Takedown(mark, day, releases[work], models.on(mark))
        if work in kept:
            line = replace(line, sound_of=NAME, sound=kept[work].astype("<u4").tobytes())
        lines.append(line)
    names = Erased.of(Store(run), frozenset(works)).names  # while the table `videos` says them
    journal = Journal(tuple(works), tuple(lines), str(published.absolute()) if published else "", tuple(sorted(names)))
    takedowns.begin(run, journal)
    return journal, told


def _releases(run: Path, works: frozenset[str], published: Path | None) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The versions that held each work, and what is to be done about those that are published."""
    folders = [*releases_in(run / FOLDER), *(releases_in(published) if published else ())]
    held, told = versions_holding(folders, works)
    noted = people.read(people.note_of(run / FOLDER)) or frozenset()
    found = {}
    for work in works:
        versions = tuple(sorted(set(held[work].values())))
        found[work] = versions or ((takedowns.UNKNOWN_VERSION,) if people.mark(work) in noted else ())
    versions_at = {place: version for here in held.values() for place, version in here.items()}
    told += [
        f"version {version} in {place} holds them: `csg405 takedown ENTRY... --release {shlex.quote(str(place))} --out NEW` writes "
        "one without"
        for place, version in sorted(versions_at.items())
        if place != run / FOLDER
    ]
    return found, told


def finish(run: Path, listed: str = "") -> Removed | None:
    """Bring the takedown that is at work to its end; None where there is none.

    Args:
        run: the run's folder.
        listed: the profile's list of opt-outs.

    Raises:
        Occupied: a stage or a program is at work; the works are refused already.
    """
    journal = takedowns.at_work(run)
    if journal is None:
        return None
    takedowns.add(run / takedowns.LEDGER, journal.lines)
    gone = Erased(frozenset(journal.works), frozenset(journal.names))
    told = [*unlist(run, listed, gone.works), *_lying(gone)]
    removed = remove_from_run(run, (), listed, gone.works, gone.names)
    undone = [*removed.undone, *_erase(run, listed, gone), *_publish(run, journal)]
    if not undone:
        takedowns.end(run)
    return replace(removed, told=(*removed.told, *told), undone=tuple(undone))


def _lying(gone: Erased) -> list[str]:
    """What a crawl used where it found it, which is no part of the run."""
    lying = [name for name in sorted(gone.names) if Path(name).is_absolute() and Path(name).is_file()]
    return [
        f"{printable(name)} was crawled where it lies and stays there: delete it, or each crawl refuses it again"
        for name in lying
    ]


def _publish(run: Path, journal: Journal) -> Iterator[str]:
    """Join the run's ledger to those beside its releases; what kept it from that, a line each: nobody stays for that."""
    lines = takedowns.read(run / takedowns.LEDGER).values()
    for place in [*releases_in(run / FOLDER), *([Path(journal.published)] if journal.published else [])]:
        try:
            if not place.is_dir():
                raise FileNotFoundError("it is not there: make it, or bring it back")
            takedowns.add(place / takedowns.LEDGER, lines)
        except (TakedownError, OSError) as error:
            then = f"then `csg405 takedown {run_option(run)}` adds them"
            yield f"{place} did not get {takedowns.LEDGER}: {error}; {then}"


def _erase(run: Path, listed: str, gone: Erased) -> list[str]:
    """Take works out of all tables, with the files that held them; what damage, or a full disk, keeps in there is told.

    A table that names one is written anew, whole, before the old one goes: that needs as much room as it has.
    """
    who = of_run(run, listed)
    store = Store(run, replace(who, videos=who.videos | gone.works))
    undone = []
    try:
        for kind in [*(one for one in store.kinds if one != _LAST), *(one for one in store.kinds if one == _LAST)]:
            compact(store, kind, gone)
        sweep(store)
    except (Damaged, DamagedFile, DiskError, OSError) as error:
        room = ""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            room = f"make room for a second copy of the largest folder in {run / 'tables'} that names them, "
        then = f"{room}then `csg405 takedown {run_option(run)}` does the rest"
        undone.append(f"what tables hold of them is not erased: {error}; {then}")
    return undone
