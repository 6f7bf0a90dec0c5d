"""Opt-out: video ids and channels whose owners asked not to be included, honoured at every stage."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.base.errors import UserError
from pipeline.base.links import video_id_of
from pipeline.tables import takedowns
from pipeline.tables.people import mark

RUN_LIST = "opt_out.txt"  # in the run folder, beside the list that the profile names

_BARE_ID = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)


class OptOutError(UserError, ValueError):
    """An entry of a list names nobody: it would be passed over in silence."""


@dataclass(frozen=True)
class OptOut:
    """Who is left out.

    Attributes:
        videos: video ids, such as yt:<11 characters>.
        channels: channel ids, handles and names, in lower case.
        taken: marks of works that were taken down (`pipeline.tables.takedowns`), whose ids nobody keeps.
    """

    videos: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.videos or self.channels or self.taken)

    def __contains__(self, video_id: object) -> bool:
        """Whether a video itself is on the list, or was taken down."""
        return video_id in self.videos or self.took_down(video_id)

    def took_down(self, video_id: object) -> bool:
        """Whether a work was taken down."""
        return bool(self.taken) and isinstance(video_id, str) and mark(video_id) in self.taken

    def names(self, video_id: str | None, *channels: str | None) -> bool:
        """Whether a video, or the channel behind it (its name, id, handle; as many as are known), is on the list."""
        return video_id in self or any(c is not None and self.names_channel(c) for c in channels)

    def names_channel(self, channel: str) -> bool:
        """Whether a channel's name, id or @handle is on the list."""
        return " ".join(channel.split()).lower() in self.channels


def parse(text: str) -> OptOut:
    """What one entry names.

    A video: `yt:` or `file:` and its id, or a link to a YouTube video. A channel: its id, its @handle, its name, or a link
    to its page. Eleven characters that could be an id or a name stand for both.

    Raises:
        OptOutError: the entry is a link or an id that names neither.
    """
    entry = " ".join(text.split())
    if video := video_id_of(entry):
        return OptOut(frozenset({video}))
    if re.match(r"(yt|file):|https?://", entry, re.IGNORECASE):
        if channel := _channel_of(entry):
            return OptOut(channels=frozenset({channel.lower()}))
        raise OptOutError(f"{entry[:100]!r} names no video and no channel")
    bare = frozenset({f"yt:{entry}"}) if _BARE_ID.fullmatch(entry) else frozenset()
    return OptOut(bare, frozenset({entry.lower()} if entry else ()))


def _channel_of(link: str) -> str | None:
    """The id, @handle or old name in a link to a YouTube channel; None when it is something else."""
    try:
        parts = urlsplit(link)
    except ValueError:  # brackets that hold no address
        return None
    if not re.fullmatch(r"(www\.|m\.)?youtube\.com", (parts.hostname or "").lower()):
        return None
    steps = [unquote(step) for step in parts.path.split("/") if step]
    if steps and steps[0].startswith("@"):
        return steps[0]
    return steps[1] if len(steps) > 1 and steps[0] in ("channel", "c", "user") else None


def joined(lists: Iterable[OptOut]) -> OptOut:
    """Everybody that any of the lists names."""
    found = list(lists)
    videos = frozenset(video for one in found for video in one.videos)
    channels = frozenset(channel for one in found for channel in one.channels)
    return OptOut(videos, channels, frozenset(taken for one in found for taken in one.taken))


def entries(path: Path) -> list[tuple[int, str]]:
    """(line, entry) of a list: one a line, `#` at its start or after a space starts a comment."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    cut = [(number, re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()) for number, line in enumerate(lines, 1)]
    return [(number, entry) for number, entry in cut if entry]


def read(paths: Iterable[str | Path]) -> OptOut:
    """Read lists. Files that are not there are empty, and so is the path "".

    Raises:
        OptOutError: a line names nobody, or a file is no UTF-8 text; the message names file and line.
    """
    found = []
    for path in map(Path, filter(str, paths)):
        try:
            listed = entries(path) if path.is_file() else []
        except UnicodeDecodeError as error:
            raise OptOutError(f"{path}: not a UTF-8 text ({error.reason})") from error
        for number, entry in listed:
            try:
                found.append(parse(entry))
            except OptOutError as error:
                raise OptOutError(f"{path}, line {number}: {error}") from error
    return joined(found)


def files_of(run: Path, listed: str, given: Iterable[Path] = ()) -> list[Path]:
    """The files of which `of_run` reads who is left out, whether they are there or not; arguments as there."""
    ledgers = [run / takedowns.LEDGER, run / takedowns.JOURNAL, *map(takedowns.beside, given)]
    return list(dict.fromkeys([*([Path(listed)] if listed else []), run / RUN_LIST, *ledgers]))


def of_run(run: Path, listed: str, given: Iterable[Path] = ()) -> OptOut:
    """Everybody left out of a run: on a list, or taken down.

    Args:
        run: the run's folder, with a list and a ledger of takedowns of its own.
        listed: the list that the profile names, a path; "" for none.
        given: files and folders that are crawled, with ledgers of takedowns beside or in them.

    Raises:
        OptOutError: the profile's list is missing, or a line of either names nobody.
        TakedownError: a ledger does not read.
    """
    if listed and not Path(listed).is_file():
        raise OptOutError(f"opt_out = {listed!r}: there is no such file; nobody may be let in because a list got lost")
    taken = frozenset(name for path in given for name in takedowns.read(takedowns.beside(path)))
    return joined([read([listed, run / RUN_LIST]), OptOut(taken=taken | takedowns.marks_of(run))])
