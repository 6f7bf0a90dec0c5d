"""The check of whatever decodes: is a file still the one that was crawled?"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import Row
from pipeline.sources.local.content import check_unchanged, content_of
from pipeline.sources.local.known import KnownFiles
from pipeline.sources.local.state import FileState, state_or_none

_OWN = "file:"  # ids that are made of the content


class CrawledFiles:
    """Compares files that are used where they were found with the content that their video's id names.

    A file that the crawl hashed costs a look at its times; any other is hashed once, and every process hears of it that sees the
    run's folder.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._known: KnownFiles | None = None

    @contextmanager
    def checked(self, videos: Iterable[Row]) -> Iterator[None]:
        """Check the files of these rows of `videos` (`video_id`, `path`) before a block, and after it that none changed.

        Rows without an absolute path are passed over: files of the run itself are never replaced under their name. So is a
        file that is not there: whether that matters, its reader says.

        Raises:
            Failure: SOURCE_CHANGED.
            OSError: when a file cannot be read.
        """
        states = [found for row in videos if (found := self._check(row))]
        yield
        for path, state in states:
            check_unchanged(path, state)

    def _check(self, row: Row) -> tuple[Path, FileState] | None:
        path, video_id = Path(row.get("path") or ""), row["video_id"]
        if not path.is_absolute() or not video_id.startswith(_OWN):
            return None
        state = state_or_none(path)
        if state is None:
            return None
        found = self._id_of(path, state)
        if found != video_id:
            said = f"{path.name} holds {found} now, and {video_id} was crawled: `csg405 run crawl` takes up what is there now"
            raise Failure(Reason.SOURCE_CHANGED, f"{said}; `csg405 opt-out {video_id}` leaves out what was there")
        return path, state

    def _id_of(self, path: Path, state: FileState) -> str:
        if self._known is None:
            self._known = KnownFiles(self._run)
        content = self._known.sure_at(path, state)
        if content is None:
            self._known.refresh()  # another worker may have met it
            content = self._known.sure_at(path, state)
        if content is None:
            content = content_of(path)
            note = self._known.add if self._run.is_dir() else self._known.meet
            note(path, content)
        return content.video_id
