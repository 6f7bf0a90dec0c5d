"""How many rows a run of a net has."""

from typing import Any

# People a run of a pose net. On a processor more of them no longer fit its caches, and take longer each.
CPU_PEOPLE, GPU_PEOPLE = 4, 16


def rows_of(items: int, batch: int, *, padded: bool) -> int:
    """Rows of the input for so many items, at most `batch`.

    A GPU picks its algorithms anew for every shape that it has not seen, so there rows are filled up to a power of two; on a
    processor each row costs what it costs.
    """
    return min(batch, 1 << (items - 1).bit_length()) if padded and items else items


def on_gpu(session: Any) -> bool:
    """Whether a net's session runs on a GPU."""
    return bool(session.get_providers()[0] != "CPUExecutionProvider")


def is_served(session: Any) -> bool:
    """Whether a session is a server's, which fills batches up itself, and does one request while another is put together."""
    return bool(getattr(session, "served", False))
