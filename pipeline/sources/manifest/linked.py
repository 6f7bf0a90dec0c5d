"""Lists of clips of linked videos: rows of a table or objects, each with a link or an id and the times of one clip or several."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.base.links import normalised
from pipeline.base.links import video_id_of as linked_id
from pipeline.base.reasons import Reject
from pipeline.base.units import FloatBox
from pipeline.sources.manifest import boxes, times
from pipeline.sources.manifest.boxes import UnclearBox, given_box
from pipeline.sources.manifest.checked import Rows, checked
from pipeline.sources.manifest.csv_rows import csv_rows
from pipeline.sources.manifest.entries import decoded
from pipeline.sources.manifest.listed import Manifest
from pipeline.sources.manifest.rows import BadRow, ManifestRow, clip_row, shown, video_id_of
from pipeline.sources.manifest.times import Span, first_of, is_timed, spans_of

LINKS = ("url", "link", "video_url", "video link", "video_link", "webpage_url")
IDS = ("video_id", "videoid", "youtube_id", "youtubeid", "ytb_id", "yt_id", "vid")
READ = frozenset(("part", *LINKS, *IDS, *times.NAMES, *boxes.NAMES, *boxes.SIZE, *boxes.COLUMNS))
_INSIDE = "info"  # the object in which TalkVid keeps its links

Entry = Mapping[str, Any]
Numbered = Iterable[tuple[int, Entry | str]]  # line and its values by name in lower case, or what is wrong with it


def is_linked(names: Iterable[str]) -> bool:
    """Whether rows with these columns or keys, in lower case, name videos and give times of clips."""
    found = set(names)
    return not found.isdisjoint((*LINKS, *IDS)) and is_timed(found)


def linked_rows(entries: Numbered, manifest: Manifest) -> Rows:
    """The rows of such a list; what else it gives is counted in the manifest."""
    ids: dict[str, str] = {}
    for line, entry in entries:
        if isinstance(entry, str):
            yield line, entry
            continue
        manifest.unread.update(name for name, value in entry.items() if name not in READ and value not in (None, ""))
        try:
            _check_part(entry.get("part"))
            spans, video_id = spans_of(entry), _video_id(entry, ids)
        except BadRow as bad:
            yield line, str(bad)
            continue
        for span in spans:
            yield checked(_clip, line, video_id, span, entry, manifest)


def _check_part(part: object) -> None:
    """Raise BadRow for times that count from a later part, as in the paper's release."""
    if part not in (None, "", 0, "0"):
        raise BadRow(
            f"its times are of part {str(part)[:20]} of the video: such lists are read as all_with_crop.json alone"
        )


def _clip(line: int, video_id: str, span: Span, entry: Entry, manifest: Manifest) -> ManifestRow:
    box: FloatBox | None = None
    why = ""
    try:
        box = given_box(entry)
    except UnclearBox as unclear:
        why = str(unclear)
    row = clip_row(line, video_id, *span, box)
    if why:
        manifest.boxless[why] += 1
    return row


def _video_id(entry: Entry, ids: dict[str, str]) -> str:
    """The id of the linked video. Raises BadRow."""
    link = first_of(entry, LINKS)
    if link is None:
        named = first_of(entry, IDS)
        return video_id_of(f"yt:{named}" if isinstance(named, str) and not named.startswith("yt:") else named)
    if not isinstance(link, str):
        raise BadRow(f"not a link: {shown(link)}")
    if link not in ids:
        try:
            video_id = linked_id(normalised(link))
        except Reject as reject:
            raise BadRow(reject.detail) from None
        if video_id is None:
            raise BadRow(f"not a link to a YouTube video: {shown(link)}")
        ids[link] = video_id
    return ids[link]


def table_entries(text: str) -> Iterator[tuple[int, Entry | str]]:
    """The rows of a table of comma- or tab-separated values, by the names of its first row."""
    header: list[str] = []
    for number, cells in csv_rows(text):
        if isinstance(cells, str):
            yield number, cells
        elif not header:
            header = [cell.lower() for cell in cells]
        else:
            yield number, _by_name(header, cells)


def _by_name(header: list[str], cells: list[str]) -> dict[str, str]:
    """The cells of a row by their column; of two columns of one name the first counts."""
    row: dict[str, str] = {}
    for name, cell in zip(header, cells, strict=False):
        row.setdefault(name, cell)
    return row


def object_entries(pieces: Iterable[tuple[int, str | BadRow]]) -> Iterator[tuple[int, Entry | str]]:
    """Objects, decoded one by one; the links that TalkVid keeps in an object inside are taken out of it."""
    for line, piece in pieces:
        try:
            if isinstance(piece, BadRow):
                raise piece
            entry = {name.lower(): value for name, value in decoded(piece).items()}
        except BadRow as bad:
            yield line, str(bad)
            continue
        inside = entry.get(_INSIDE)
        if isinstance(inside, dict):
            named = {name.lower(): value for name, value in inside.items()}
            entry = {**{name: named[name] for name in LINKS if name in named}, **entry}
        yield line, entry
