"""A worker's reading of a file: its content, as an earlier reader noted it, or hashed now, with nobody writing meanwhile."""

from collections.abc import Container
from pathlib import Path

from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import Row
from pipeline.sources.local.content import check_unchanged, content_of
from pipeline.sources.local.known import append, line_of_unit, lines_of
from pipeline.sources.local.state import state_or_none
from stages.crawl.inputs.contents import Given


class Reading:
    """Begins before a file is probed, and ends with its content.

    Args:
        path: of the file.
        given: what the driver knows of it.
        left_out: videos of which nothing is noted.
    """

    def __init__(self, path: Path, given: Given | None, left_out: Container[object]) -> None:
        self._path, self._given, self._left_out = path, given, left_out
        self._before = state_or_none(path)

    def keep(self, run: Path, unit: str) -> str:
        """The file's sha256, noted for the run unless its video is left out; "" for what is no regular file.

        Raises:
            Failure: SOURCE_CHANGED when it is written to, or holds another content than the driver saw.
        """
        before, given = self._before, self._given
        if before is None:
            return ""
        if given and given.sha256 and given.state and given.state.same(before):
            check_unchanged(self._path, before)
            self._note(run, [line_of_unit(unit, given.sha256)])
            return given.sha256
        content = content_of(self._path)
        if not content.state.same(before) or (given and given.sha256 not in ("", content.sha256)):
            raise Failure(Reason.SOURCE_CHANGED, f"{self._path.name} changed while it was crawled")
        self._note(run, lines_of(self._path, content, unit))
        return content.sha256

    def _note(self, run: Path, lines: list[Row]) -> None:
        """Add to what the run knows; of who is left out nothing is known again, however often the file is met."""
        append(run, [line for line in lines if line["video_id"] not in self._left_out])
