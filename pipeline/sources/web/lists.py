"""Lists of links (text, CSV or a manifest of clips), read into distinct links and unusable lines."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base import files
from pipeline.base.errors import BadUse, StageError
from pipeline.base.hashes import sha256_of
from pipeline.base.links import normalised, watch_page
from pipeline.base.reasons import Reason, Reject
from pipeline.base.text import is_text
from pipeline.sources.manifest import form_of, read_manifest
from pipeline.sources.manifest.csv_rows import csv_rows

BAD_LINE_PREFIX = "line "  # of a list of links
BAD_ROW_PREFIX = "row "  # of a manifest
LINKS_VERSION = 2  # of what is kept; another one after a change of what is read
MAX_LIST_BYTES = 256 << 20
REMEMBERED_BYTES = 1 << 20  # of manifests from this size on the links are kept: reading one takes seconds

_SNIFFED_CHARS = 64 << 10
MAX_BAD_LINES = 1_000_000  # what has more is no list, and would fill the memory with complaints
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)
_ID_COLUMNS = ("video_id", "videoid", "youtube_id", "youtubeid", "ytb_id", "yt_id", "vid")
_LINK_COLUMNS = ("url", "link", "video_url", "webpage_url", "source")


class InputError(StageError):
    """Raised when `crawl.input` names nothing that can be crawled, or holds nothing; the message says what it should be."""

    exit_code = BadUse.exit_code


@dataclass
class LinkList:
    """A list of links or a manifest of clips, read.

    Attributes:
        links: normalised links in order, each once.
        bad: unit id of each unusable line or row -> what is wrong with it, its number included.
        repeated: lines that name a link again; many rows of a manifest name one video, and are not counted.
    """

    links: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    repeated: int = 0


def reason_of(bad: str) -> Reason:
    """Why the unit of a bad line is refused, by its id."""
    return Reason.BAD_ROW if bad.startswith(BAD_ROW_PREFIX) else Reason.BAD_LINK


def read_list(path: Path, run: Path | None = None) -> LinkList:
    """Read a text file (one link or YouTube id a line, `#` starts a comment), a CSV file with a column of either, or a manifest.

    Args:
        path: the file; what it is shows in its content.
        run: the run's folder, in which the links of a large manifest are kept; planning asks for them each time.

    Raises InputError when the file is no text or too large to be a list; ManifestError when it is no manifest after all.
    """
    if form_of(path) is None:
        return _read_links(path)
    if run is None or path.stat().st_size < REMEMBERED_BYTES:
        return _read_manifest(path)
    sha256 = sha256_of(path)
    kept = run / "stamps" / f"links-{LINKS_VERSION}-{sha256[:16]}.json"
    try:
        return LinkList(**json.loads(kept.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # not there, or not ours
        links = _read_manifest(path)
        if run.is_dir():  # a dry run makes no folder
            with contextlib.suppress(OSError):  # one that may not be written is planned all the same, in seconds
                files.write_text(kept, json.dumps(vars(links)))
        return links


def _read_manifest(path: Path) -> LinkList:
    """One link a video of a manifest, and its bad rows."""
    manifest = read_manifest(path)
    links = LinkList()
    bad = dict(manifest.bad)
    for row in manifest.rows:
        if row.url is None:
            bad[row.line] = f"no site has its video: {row.video_id}"
    links.links = list(dict.fromkeys(row.url for row in manifest.rows if row.url is not None))
    for number, text in sorted(bad.items()):
        links.bad[f"{BAD_ROW_PREFIX}{number}: {text[:120]}"] = f"{manifest.numbered_by} {number}: {text}"
    return links


def _read_links(path: Path) -> LinkList:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise InputError(f"{path}: larger than {MAX_LIST_BYTES >> 20} MiB, which is no list of links")
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if not is_text(text[:_SNIFFED_CHARS]):
        raise InputError(f"{path}: not a text file in UTF-8")
    links = LinkList()
    known: set[str] = set()
    cells = _csv_cells(text) if path.suffix.lower() == ".csv" else _text_cells(text.split("\n"))
    for number, cell, problem in cells:
        try:
            if problem:
                raise Reject(Reason.BAD_LINK, problem)
            link = watch_page(cell) if _YOUTUBE_ID.fullmatch(cell) else normalised(cell)
        except Reject as reject:
            links.bad[f"{BAD_LINE_PREFIX}{number}: {cell[:80]!r}"] = f"line {number}: {reject.detail}"
            if len(links.bad) > MAX_BAD_LINES:
                raise InputError(f"{path}: no list of links: more than {MAX_BAD_LINES:,} lines hold none") from reject
            continue
        links.repeated += link in known
        if link not in known:
            known.add(link)
            links.links.append(link)
    return links


Cell = tuple[int, str, str]  # line, what should be a link or an id, what is wrong with its row


def _text_cells(lines: list[str]) -> Iterator[Cell]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, re.split(r"\s+#", text, maxsplit=1)[0].strip(), ""


def _csv_cells(text: str) -> Iterator[Cell]:
    """The link of every row: of the column that is called so, else of the one that is called as ids are, else of the first."""
    column, first = 0, True
    for number, cells in csv_rows(text):
        if isinstance(cells, str):
            yield number, "", cells
            continue
        names = [cell.lower() for cell in cells]
        named = [name for name in (*_LINK_COLUMNS, *_ID_COLUMNS) if name in names] if first else []
        first = False
        if named:
            column = names.index(named[0])
        elif any(names) and not names[0].startswith("#"):
            yield number, cells[column] if column < len(cells) else "", ""
