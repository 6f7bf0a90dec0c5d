"""How many rows a run of a net has."""


def rows_of(items: int, batch: int, *, on_gpu: bool) -> int:
    """Rows of the input for so many items, at most `batch`.

    A GPU picks its algorithms anew for every shape that it has not seen, so there rows are filled up to a power of two; on a
    processor each row costs what it costs.
    """
    return min(batch, 1 << (items - 1).bit_length()) if on_gpu and items else items
