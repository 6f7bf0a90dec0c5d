"""Lists of links (text, CSV or a manifest of clips), read into distinct links and unusable lines."""

import contextlib
import csv
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base import files
from pipeline.base.errors import BadUse, StageError
from pipeline.base.hashes import sha256_of
from pipeline.base.links import normalised
from pipeline.base.reasons import Reason, Reject
from pipeline.sources.manifest import form_of, read_manifest

BAD_LINE_PREFIX = "line "  # of a list of links
BAD_ROW_PREFIX = "row "  # of a manifest
LINKS_VERSION = 1  # of what is kept; another one after a change of what is read
MAX_LIST_BYTES = 256 << 20
REMEMBERED_BYTES = 1 << 20  # of manifests from this size on the links are kept: reading one takes seconds

_LINK_COLUMNS = ("url", "link", "video_url", "webpage_url", "source")


class InputError(StageError):
    """Raised when `crawl.input` names nothing that can be crawled; the message says what it should be."""

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
    """Read a text file (one link a line, `#` starts a comment), a CSV file with a column of links, or a manifest of clips.

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
    raw = path.read_bytes()
    if b"\0" in raw[:4096]:
        raise InputError(f"{path}: not a text file")
    lines = raw.decode("utf-8-sig", "replace").splitlines()
    links = LinkList()
    known: set[str] = set()
    for number, text in _csv_cells(lines) if path.suffix.lower() == ".csv" else _text_cells(lines):
        try:
            link = normalised(text)
        except Reject as reject:
            links.bad[f"{BAD_LINE_PREFIX}{number}: {text[:80]!r}"] = f"line {number}: {reject.detail}"
            continue
        links.repeated += link in known
        if link not in known:
            known.add(link)
            links.links.append(link)
    return links


def _text_cells(lines: list[str]) -> list[tuple[int, str]]:
    cells = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            cells.append((number, re.split(r"\s+#", text, maxsplit=1)[0].strip()))
    return cells


def _csv_cells(lines: list[str]) -> list[tuple[int, str]]:
    """The link of every row: of the column that is called so, else of the first."""
    reader = csv.reader(io.StringIO("\n".join(lines)))
    column, cells = 0, []
    try:
        for row in reader:
            names = [cell.strip().lower() for cell in row]
            if reader.line_num == 1 and (named := [n for n in _LINK_COLUMNS if n in names]):
                column = names.index(named[0])
                continue
            if any(names) and not names[0].startswith("#"):
                cells.append((reader.line_num, row[column].strip() if column < len(row) else ""))
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of the list: {error}") from error
    return cells
