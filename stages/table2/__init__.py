"""Makes table 2: every row that this machine can make, with the paper's figures beside, and of every other row what is missing."""

from typing import ClassVar

from pipeline.engine.program import Program
from stages.table2.settings import Table2Settings


class Table2(Table2Settings, Program):
    """Runs `evaluate` once a row: each back-end with the true motion and with ours, and videos of other systems.

    A row that cannot be made is told, with what to do, and the others are made. What is made stays made: the same command goes on.
    """

    name: ClassVar[str] = "table2"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "make every row of the paper's table 2 that this machine can make"
    extra: ClassVar[str] = "evaluate"
    modules: ClassVar[tuple[str, ...]] = ("skimage",)
