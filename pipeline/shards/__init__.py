"""Shards: their format, how they are written and read, how people are removed from them, and releases.

`from pipeline.shards import open_shards` reads them; what it needs is imported when it is asked for, and importing it changes
nothing in the process.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.shards.item import Item
    from pipeline.shards.read import Shards, open_shards

__all__ = ["Item", "Shards", "open_shards"]


def __getattr__(name: str) -> Any:
    if name in ("Shards", "open_shards"):
        from pipeline.shards import read

        return getattr(read, name)
    if name == "Item":
        from pipeline.shards.item import Item

        return Item
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
