"""Looking at a folder before it is crawled: what names and times cannot tell is read, once a file."""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.progress import Progress
from pipeline.base.reasons import Failure
from pipeline.base.text import printable
from pipeline.sources.local.content import Content, Stopped, begins_as, content_of
from pipeline.sources.local.known import KnownFiles
from pipeline.sources.local.state import FileState, state_or_none
from pipeline.tables.lock import Occupied
from pipeline.tables.retry import supersede
from stages.crawl.inputs.contents import Found, Survey

if TYPE_CHECKING:
    from pipeline.tables.store import Store

READERS = 4  # files read at a time: hashing is quicker than most disks
SHOWN = 3  # names in a line
_IT = (("it", "one"), ("them", "ones"))  # by whether there are several


def look(files: Sequence[Found], store: "Store") -> Iterator[str]:
    """Read what has to be read, note what moved, and yield a line for each thing that happened to files of the run."""
    survey = Survey(files, store)
    if _read(survey.known, _doubtful(survey)):
        survey = Survey(files, store)
    if _bind_old(survey):
        survey = Survey(files, store)
    yield from _told_moves(survey)
    yield from _told_changes(survey, store)


def _doubtful(survey: Survey) -> dict[Path, None]:
    """Files whose content has to be read before their units are known.

    A new file is left to the workers where nothing that is known, and nothing else that is new, is of its size.
    """
    known = survey.known
    counts = Counter(file.state.size for file in survey.files if file.state)
    sizes = known.sizes() | {made.bytes for made in survey.made.values()}
    wanted: dict[Path, None] = {}
    for file in survey.files:
        if file.state is None or _is_left_out(survey, file) or _is_known(known, file.path, file.state):
            continue
        new = known.at(file.path, file.state) is None and not survey.is_taken(file.name)
        if not new or counts[file.state.size] > 1 or file.state.size in sizes:
            wanted[file.path] = None
    listed = {file.path for file in survey.files}
    for unit, made in survey.made.items():  # of another folder, or of this one under another name
        if survey.left_out(unit):
            continue
        path = Path(made.path)
        state = state_or_none(path) if path not in listed and made.bytes in counts else None
        if state is not None and state.size == made.bytes and not _is_known(known, path, state):
            wanted[path] = None
    return wanted


def _is_left_out(survey: Survey, file: Found) -> bool:
    """Whether a file is still, by path and size, that of a unit which opted out: what it holds is noted nowhere."""
    made = survey.made.get(file.name)
    same = made is not None and file.state is not None and (made.path, made.bytes) == (str(file.path), file.state.size)
    return same and survey.left_out(file.name)


def _is_known(known: KnownFiles, path: Path, state: FileState) -> bool:
    with suppress(OSError):
        if known.sure_at(path, state) is not None:
            return True
        if known.at(path, state) is None and (carried := known.carried_to(path, state)) is not None:
            known.add(path, carried)
            return True
    return False


def _read(known: KnownFiles, paths: Mapping[Path, None]) -> bool:
    """Hash files, several at a time; what was read is noted at once, so that a kill repeats little. Returns whether any was."""
    if not paths:
        return False
    stop = threading.Event()
    with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as readers, Progress("looking", len(paths)) as progress:
        try:
            work: dict[Future[Content], Path] = {readers.submit(content_of, path, stop): path for path in paths}
            for done in as_completed(work):
                try:
                    known.add(work[done], done.result())
                    progress.advance("read")
                except (OSError, Failure, Stopped):  # its unit says so
                    progress.advance("not read")
        finally:
            stop.set()
            readers.shutdown(wait=True, cancel_futures=True)
    return True


def _bind_old(survey: Survey) -> bool:
    """Bind units that were ended without a row before contents were noted to what their file is, unless it is newer.

    Returns whether there was one.
    """
    bound = False
    for file in survey.files:
        at, sha256 = survey.ended.get(file.name), survey.content_at(file)
        if at is None or sha256 is None or file.state is None or survey.content_of_unit(file.name) is not None:
            continue
        if max(file.state.modified_ns, file.state.changed_ns) / 1e9 <= at.timestamp():
            survey.known.bind(file.name, sha256)
            bound = True
    return bound


def _told_moves(survey: Survey) -> Iterator[str]:
    """Note the files that lie elsewhere now, and say so."""
    moves = [(unit, path) for unit, path in survey.units().items() if path and survey.made[unit].path != path]
    for unit, path in moves:
        survey.known.move(unit, survey.made[unit].sha256, path)
    if moves:
        names = _some([f"{survey.made[unit].path} -> {path}" for unit, path in moves])
        yield f"{_count(len(moves), 'file')} moved or renamed, with all that was made of them: {names}"


def _told_changes(survey: Survey, store: "Store") -> Iterator[str]:
    """Say which videos have no file any more, and let those that grew make way for what they grew to."""
    now = {str(file.path): file for file in survey.files}
    lost = [unit for unit in survey.made if not survey.left_out(unit) and not survey.holder(unit)]
    grown = [unit for unit in lost if _grew(survey, unit, now.get(survey.made[unit].path))]
    units = survey.units()
    refused = [f.name for f in survey.files if f.name in survey.ended and f.name not in {*units, *survey.made}]
    _make_way(store, {*grown, *refused})
    replaced = [unit for unit in lost if unit not in grown and survey.made[unit].path in now]
    gone = [unit for unit in lost if unit not in grown and unit not in replaced]
    stays = "what was made of {0} stays, what is to be made anew waits for the file; `csg405 opt-out ID` leaves {0} out"
    for names, what, then in (
        (grown, "grown and crawled anew", "what was made of the shorter {1} counts no longer"),
        (replaced, "replaced by other content", stays),
        (gone, "gone", stays),
    ):
        if names:
            said = _some([f"{unit} ({survey.made[unit].video_id})" for unit in names])
            yield f"{_count(len(names), 'file')} {what}: {said}; {then.format(*_IT[len(names) > 1])}"


def _make_way(store: "Store", units: set[str]) -> None:
    """Let outcomes of replaced units count no longer; while other drivers are at it, the next crawl does."""
    if units:
        with suppress(Occupied):
            supersede(store, "videos", units)


def _grew(survey: Survey, unit: str, file: Found | None) -> bool:
    """Whether a file that is there now begins as what was crawled, or what was crawled was a part of something."""
    made = survey.made[unit]
    if file is None or file.state is None or survey.content_at(file) in (None, made.sha256):
        return False
    try:
        longer = file.state.size > made.bytes
        return (made.truncated and file.state.size >= made.bytes) or (
            longer and begins_as(file.path, made.bytes, made.sha256)
        )
    except OSError:
        return False


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return printable(", ".join(names[:SHOWN])) + more
