"""Which unit each file of a folder is: a file is its content, a unit is one content for good.

A unit has the name that its file had when the content was first met. It keeps that name wherever the file is moved; other content
that comes under a name which is taken gets `name#<16 hex digits of its sha256>`. Of several files of one content the first is
the unit, the others are units of their own that are rejected as duplicates.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.sources.local.known import KnownFiles
from pipeline.sources.local.state import FileState, state_or_none
from stages.crawl import place

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.tables.store import Store

MARK = "#"  # between a name and a content; no video's name ends so
UNREAD = "changed"  # in place of the content where only the times say so: `look` reads it before anything is done


@dataclass(frozen=True)
class Found:
    """A file of the folder: its name as a unit, its path, its state or None where it cannot be looked at."""

    name: str
    path: Path
    state: FileState | None


@dataclass(frozen=True)
class Made:
    """What the winning row of a unit says of its file."""

    video_id: str
    path: str
    sha256: str
    bytes: int
    truncated: bool
    title: str


class Given(NamedTuple):
    """What a worker is told of a unit.

    Attributes:
        path: where its file is.
        sha256: its content; "" where the worker is the first to read it.
        state: in which it was read.
        copy_of: the unit of which it is a duplicate, or "".
        title: of the row that it has already, or "".
    """

    path: str
    sha256: str
    state: FileState | None
    copy_of: str
    title: str


class Survey:
    """The files of a folder, compared with what the run knows of them.

    Args:
        files: of the folder.
        store: the run's tables.

    Attributes:
        made: {unit: its row}, of units whose file was used where it was found.
        ended: {unit: when it was ended, with or without a row}.
    """

    def __init__(self, files: Sequence[Found], store: "Store") -> None:
        self.files, self.run = files, store.run
        self.known = KnownFiles(store.run, store.opt_out)
        self._opted_out = frozenset(store.opted_out.to_pylist())
        self.made = _made(store)
        won = store.table("videos").winners(["unit", "status", "at"]).select(["unit", "status", "at"])
        self.ended: dict[str, datetime | None] = {
            row["unit"]: row["at"] for row in won.to_pylist() if row["status"] in ("ok", "rejected")
        }

    def content_at(self, file: Found) -> str | None:
        """The sha256 of a file as far as it is known without reading it."""
        if file.state is None:
            return None
        content = self.known.at(file.path, file.state)
        if content is not None:
            return content.sha256
        made = self.made.get(file.name)
        if self.known.last_at(file.path) is None and made and made.path == str(file.path):
            return made.sha256 if made.bytes == file.state.size else None  # of a run made before files were known
        return None

    def content_of_unit(self, unit: str) -> str | None:
        """The content that a unit is; None where it is not known, or the unit is new."""
        made = self.made.get(unit)
        return made.sha256 if made else self.known.units.get(unit)

    def is_taken(self, name: str) -> bool:
        """Whether a name is that of a unit already."""
        return name in self.ended or name in self.made or name in self.known.units

    def left_out(self, unit: str) -> bool:
        """Whether a unit's video is on the opt-out list, or its channel."""
        return self.made[unit].video_id in self._opted_out

    def unit_of(self, sha256: str) -> str | None:
        """The unit that a content is; None for content that is new to the run."""
        return self._made_of.get(sha256) or self._owner(sha256) or self._known_of.get(sha256)

    def units(self) -> dict[str, str]:
        """{unit: where its file was moved to, or ""} of all files."""
        return {unit: self._moved(unit, file) for unit, file, _ in self._assigned}

    def given(self) -> dict[str, Given]:
        """What workers need to know of units whose content is known, or whose file does not lie where their name says."""
        told = {}
        for unit, file, copy_of in self._assigned:
            sha256, made = self.content_at(file) or "", self.made.get(unit)
            if sha256 or unit != file.name:
                told[unit] = Given(str(file.path), sha256, file.state, copy_of, made.title if made else "")
        return told

    def holder(self, unit: str) -> Path | None:
        """Where the content of a unit lies today; None where its file is gone."""
        return self._holders.get(unit) or self._elsewhere(unit)

    @cached_property
    def _made_of(self) -> dict[str, str]:
        """{sha256: the first unit that has a row of this content}."""
        return {self.made[unit].sha256: unit for unit in sorted(self.made, reverse=True)}

    @cached_property
    def _known_of(self) -> dict[str, str]:
        """{sha256: the first unit that was ever found to be this content}."""
        return {self.known.units[unit]: unit for unit in sorted(self.known.units, reverse=True)}

    def _owner(self, sha256: str) -> str | None:
        """The unit that claimed a content and has no row: its crawl was cut short, or another file took its place."""
        owner = place.owner_of(self.run, place.file_id(sha256))
        return owner if owner and "://" not in owner else None

    @cached_property
    def _assigned(self) -> list[tuple[str, Found, str]]:
        """(unit, file, the unit of which it is a copy or "") of each file."""
        assigned: list[tuple[str, Found, str]] = []
        groups: dict[str, list[Found]] = defaultdict(list)
        for file in self.files:
            if (sha256 := self.content_at(file)) is not None:
                groups[sha256].append(file)
            else:
                seen = file.state is not None and self.is_taken(file.name) and self._differs(file)
                assigned.append((f"{file.name}{MARK}{UNREAD}" if seen else file.name, file, ""))
        for sha256, group in groups.items():
            assigned += self._of_one_content(sha256, sorted(group, key=lambda file: file.name))
        return assigned

    def _of_one_content(self, sha256: str, group: list[Found]) -> Iterable[tuple[str, Found, str]]:
        unit = self.unit_of(sha256)
        made = self.made.get(unit) if unit else None
        first = next((file for file in group if made and str(file.path) == made.path), None)
        first = first or next((file for file in group if file.name == unit), group[0])
        unit = unit or self._free_name(first.name, sha256)
        yield unit, first, ""
        for file in group:
            if file is not first:
                own = self._free_name(file.name, sha256)
                yield (own if own != unit else f"{file.name}{MARK}{sha256[:16]}{MARK}copy"), file, unit

    def _free_name(self, name: str, sha256: str) -> str:
        """A unit for a file of this content: its name, unless that is another content's."""
        of = self.content_of_unit(name)
        if of is None and name not in self.ended:
            return name
        return name if of == sha256 else f"{name}{MARK}{sha256[:16]}"

    def _differs(self, file: Found) -> bool:
        """Whether a file of which only the state is known was changed since it was read, or since its row was made."""
        made = self.made.get(file.name)
        if self.known.last_at(file.path) is not None:
            return True
        return made is not None and file.state is not None and made.bytes != file.state.size

    @cached_property
    def _holders(self) -> dict[str, Path]:
        return {unit: file.path for unit, file, copy_of in self._assigned if not copy_of}

    def _moved(self, unit: str, file: Found) -> str:
        """The path that the unit's row is to be made with anew; "" for the one that it was first made with."""
        made = self.made.get(unit)
        if made is None or made.path == str(file.path) or self._elsewhere(unit, file.state):
            return self.known.moved.get(unit, "")
        return str(file.path)

    def _elsewhere(self, unit: str, state: FileState | None = None) -> Path | None:
        """Where the row of a unit says that its file is, if its content is there."""
        made = self.made.get(unit)
        there = state_or_none(Path(made.path)) if made else None
        if made is None or there is None:
            return None
        if state is not None and there == state:  # one file under two paths, such as a link to the folder
            return Path(made.path)
        content = self.known.at(Path(made.path), there)
        same = content.sha256 == made.sha256 if content else there.size == made.bytes
        return Path(made.path) if same else None


def _made(store: "Store") -> dict[str, Made]:
    columns = ["video_id", "path", "sha256", "bytes", "truncated", "title"]
    rows = store.table("videos").rows(columns).select([*columns, "unit"]).to_pylist()
    return {
        row["unit"]: Made(
            row["video_id"], row["path"], row["sha256"], row["bytes"] or 0, bool(row["truncated"]), row["title"] or ""
        )
        for row in rows
        if row["sha256"] and Path(row["path"] or "").is_absolute()
    }
