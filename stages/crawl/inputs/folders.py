"""Several folders of video files, or several files: each as `folder` has it, its names below that of its folder."""

from pathlib import Path
from typing import ClassVar

from pipeline.base.reasons import Reason, Reject
from pipeline.sources.local.several import BETWEEN, each, labels
from pipeline.sources.local.state import state_or_none
from stages.crawl.inputs.contents import Found
from stages.crawl.inputs.folder import VIDEO_SUFFIXES, Folder, encoded, is_utf8, local_path, walked
from stages.crawl.inputs.left_out import left_out


class Folders(Folder):
    """Files of several folders; a new unit is the name of its folder and a path relative to that.

    A file is its content here too: a run that began with one of the folders keeps the names of its units.
    """

    description: ClassVar[str] = "several of them, one a line"

    @classmethod
    def matches(cls, text: str) -> bool:
        return BETWEEN in text and len(each(text)) > 1 and all(map(Folder.matches, each(text)))

    def files(self) -> list[Found]:
        """The files, folder by folder; one that lies in two of them is there once."""
        found: dict[Path, Found] = {}
        for line in each(self.text):
            given = Path(line).absolute()
            label = encoded(self._labels[_root(given)])
            for name, path in walked(given):
                state = state_or_none(path) if is_utf8(path) else None
                found.setdefault(path, Found(f"{label}/{name}", path, state))
        return list(found.values())

    def left_out(self) -> str:
        said = [(line, left_out(Path(line), VIDEO_SUFFIXES)) for line in each(self.text)]
        return "; ".join(f"in {line}: {words}" for line, words in said if words)

    def nothing(self) -> str:
        beside = self.left_out()
        return f"crawl.input: {', '.join(each(self.text))} hold no video" + (f"; left out: {beside}" if beside else "")

    def path_of(self, unit: str) -> Path:
        label, _, name = unit.partition("/")
        for root, known in self._labels.items():
            if encoded(known) == label:
                return local_path(str(root), name)
        raise Reject(Reason.BAD_LINK, f"lies in none of the folders: {unit[:80]!r}")

    @property
    def _labels(self) -> dict[Path, str]:
        return labels(list(dict.fromkeys(_root(Path(line).absolute()) for line in each(self.text))))


def _root(given: Path) -> Path:
    """The folder that gives its name to what was given: itself, or that of a file."""
    return given.parent if given.is_file() else given
