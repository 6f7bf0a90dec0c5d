"""Programs: work that fills no table, such as training."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from pipeline.engine.settings import Settings

if TYPE_CHECKING:
    from pipeline.engine.session import Session


class Program(Settings):
    """Work that fills no table, such as training: `python -m stages.<name>` runs it in its own process."""

    @abstractmethod
    def run(self, session: "Session") -> None:
        """Do it, in the session's run folder and with its nets."""
