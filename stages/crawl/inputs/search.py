"""What the stage `search` found."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.sources.web.lists import LinkList
from stages.crawl.inputs.links import Links

if TYPE_CHECKING:
    from pipeline.tables.store import Store

SEARCH = "search"


class Search(Links):
    """Links of the table `sources`, all of them YouTube's."""

    description: ClassVar[str] = "`search` for what the stage of that name found"

    @classmethod
    def matches(cls, text: str) -> bool:
        return text == SEARCH

    def units(self, store: "Store") -> None:
        return None

    def _listed(self, run: Path | None) -> LinkList:
        return LinkList()  # its units are rows of a table, none of them bad

    def _holds_youtube(self, listed: LinkList) -> bool:
        return True
