"""Lists of links (text, CSV or a manifest of clips), read into distinct links and unusable lines."""

import contextlib
import json
import re
from collections import Counter
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
from pipeline.sources.manifest.listed import unread_names
from pipeline.sources.manifest.sniff import PARQUET_MAGIC
from pipeline.sources.web.link_cells import Cell, object_cells, parquet_cells, table_cells, text_cells

BAD_LINE_PREFIX = "line "  # of a list of links
BAD_ROW_PREFIX = "row "  # of a manifest
LINKS_VERSION = 3  # of what is kept; another one after a change of what is read
MAX_LIST_BYTES = 256 << 20
REMEMBERED_BYTES = 1 << 20  # of manifests from this size on the links are kept: reading one takes seconds

_SNIFFED_CHARS = 64 << 10
MAX_BAD_LINES = 1_000_000  # what has more is no list, and would fill the memory with complaints
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)


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
        left_out: what else the file gives and is not used, in a line.
    """

    links: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    left_out: str = ""


def reason_of(bad: str) -> Reason:
    """Why the unit of a bad line is refused, by its id."""
    return Reason.BAD_ROW if bad.startswith(BAD_ROW_PREFIX) else Reason.BAD_LINK


def read_list(path: Path, run: Path | None = None) -> LinkList:
    """Read a text file (one link or YouTube id a line, `#` starts a comment), a table or objects with either, or a manifest.

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
    links.left_out = manifest.left_out()
    return links


def _read_links(path: Path) -> LinkList:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise InputError(f"{path}: larger than {MAX_LIST_BYTES >> 20} MiB, which is no list of links")
    links, unread = LinkList(), Counter[str]()
    known: set[str] = set()
    for number, cell, problem in _cells(path, unread):
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
    links.left_out = f"not read: {unread_names(unread)}" if unread else ""
    return links


def _cells(path: Path, unread: "Counter[str]") -> Iterator[Cell]:
    """What should be links. Raises InputError where the file is no text."""
    raw = path.read_bytes()
    if raw.startswith(PARQUET_MAGIC):
        return parquet_cells(path, unread)
    if packed := next((name for magic, name in _PACKED.items() if raw.startswith(magic)), ""):
        raise InputError(f"{path}: packed with {packed}: unpack it first")
    text = raw.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if not is_text(text[:_SNIFFED_CHARS]):
        raise InputError(f"{path}: not a text file in UTF-8")
    if text.lstrip()[:1] in ("[", "{"):
        return object_cells(text, unread)
    return table_cells(text, unread) if path.suffix.lower() in (".csv", ".tsv") else text_cells(text.split("\n"))
