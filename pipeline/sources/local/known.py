"""What a run knows of the files of its input: which content lay where in which state, and which unit is which content.

One file of JSON lines, `input/files.jsonl`, only ever appended to, by drivers and workers alike: a line that does not read
is passed over. Losing it costs looking at the files again and nothing else.
"""

import json
import logging
import os
from collections.abc import Container
from pathlib import Path

from pipeline.base.units import Row
from pipeline.sources.local.content import Content, video_id_of
from pipeline.sources.local.state import FileState, ctime_means_something, edges_of

FOLDER = "input"
FILE = "files.jsonl"

log = logging.getLogger(__name__)


class KnownFiles:
    """The files that a run has hashed.

    Args:
        run: the run's folder; need not exist yet.
        left_out: videos of which nothing is written.

    Attributes:
        units: {unit of `crawl`: sha256 of its content}.
        moved: {unit of `crawl`: where its file was found last, if it was moved}.
    """

    def __init__(self, run: Path, left_out: Container[object] = ()) -> None:
        self._left_out = left_out
        self._run, self._path = run, run / FOLDER / FILE
        self._contents: dict[str, Content] = {}
        self._by_state: dict[FileState, Content] = {}
        self._edges: dict[tuple[str, FileState], bool] = {}
        self._read_until = 0
        self.units: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read what any process added since."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_until)
                added = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("%s cannot be read: %s; files are hashed again", self._path, error)
            return
        whole = added.rfind(b"\n") + 1
        self._read_until += whole
        for line in added[:whole].splitlines():
            self._take(line)

    def at(self, path: Path, state: FileState) -> Content | None:
        """The content that was read at a path in this state, as far as times tell; None where it has to be read."""
        content = self._contents.get(os.fspath(path))
        return content if content is not None and content.state.same(state) else None

    def sure_at(self, path: Path, state: FileState) -> Content | None:
        """As `at`; where times mean little, and for files that were young, three pieces of the file are compared too.

        Raises OSError.
        """
        content = self.at(path, state)
        if content is None or (content.settled and ctime_means_something(path)):
            return content
        key = os.fspath(path), content.state
        if key not in self._edges:
            self._edges[key] = edges_of(path) == content.edges
        return content if self._edges[key] else None

    def carried_to(self, path: Path, state: FileState) -> Content | None:
        """The content of the same inode, unchanged, that a moved folder carried to this path. Raises OSError."""
        content = self._by_state.get(state)
        return content if content is not None and content.settled and ctime_means_something(path) else None

    def last_at(self, path: Path) -> Content | None:
        """The content that was read at a path last, in whatever state it is now."""
        return self._contents.get(os.fspath(path))

    def sizes(self) -> set[int]:
        """Sizes in bytes of all contents that were seen."""
        return {content.state.size for content in self._contents.values()}

    def add(self, path: Path, content: Content, unit: str = "") -> None:
        """Note what lies at a path, and which unit that is."""
        self._append(lines_of(path, content, unit))

    def meet(self, path: Path, content: Content) -> None:
        """Know what lies at a path for as long as this process goes on, as on a machine without the run's folder."""
        for line in lines_of(path, content):
            self._take(json.dumps(line).encode())

    def bind(self, unit: str, sha256: str) -> None:
        """Note which content a unit is, for good."""
        self._append([line_of_unit(unit, sha256)])

    def move(self, unit: str, sha256: str, path: str) -> None:
        """Note where the file of a unit is now."""
        self._append([{"unit": unit, "moved": path, **_named(sha256)}])

    def _append(self, lines: list[Row]) -> None:
        for line in lines:
            self._take(json.dumps(line).encode())
        append(self._run, [line for line in lines if line["video_id"] not in self._left_out])

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            sha256 = str(said["sha256"])
            if "file" in said:
                state = FileState(*map(int, said["state"]))
                content = Content(sha256, str(said["edges"]), state, bool(said["settled"]))
                self._contents[said["file"]] = self._by_state[state] = content
            elif "moved" in said:
                self.moved[said["unit"]] = str(said["moved"])
            else:
                self.units[said["unit"]] = sha256
        except (ValueError, KeyError, TypeError, RecursionError):  # half a line, of a kill or a full disk
            return


def _named(sha256: str) -> dict[str, str]:
    """A content by both its names; the second lets an opt-out find the line."""
    return {"sha256": sha256, "video_id": video_id_of(sha256)}


def lines_of(path: Path, content: Content, unit: str = "") -> list[Row]:
    """What there is to note of a file that was read: what it holds, and which unit that is."""
    state = content.state
    numbers = [state.size, state.modified_ns, state.changed_ns, state.inode]
    line: Row = {"file": os.fspath(path), "state": numbers, "edges": content.edges}
    line |= {"settled": content.settled, **_named(content.sha256)}
    return [line, *([line_of_unit(unit, content.sha256)] if unit else [])]


def line_of_unit(unit: str, sha256: str) -> Row:
    """What there is to note of a unit: which content it is."""
    return {"unit": unit, **_named(sha256)}


def append(run: Path, lines: list[Row]) -> None:
    """Add lines to what a run knows, in one write; nothing is read. What cannot be written is not known then."""
    path = run / FOLDER / FILE
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    if not data:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, b"\n" + data)  # what a kill cut off before ends here
        finally:
            os.close(handle)
    except OSError as error:
        log.info("%s cannot be written: %s; files are hashed again", path, error)
