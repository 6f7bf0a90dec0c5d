"""Choice of the decoder for a pose net's outputs, by their shapes.

A net of another form needs a decoder in a file of its own and a line in `decoder_of`, nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.base.arrays import Floats32
from pipeline.nets.pose import heat_maps, simcc

Decoder = Callable[[Sequence[Floats32], tuple[int, int]], tuple[Floats32, Floats32]]
"""(outputs, (height, width) of the net's input) -> points (N, K, 2) in the net's pixels, NaN where not found, and scores (N, K)."""


def decoder_of(shapes: Sequence[Sequence[Any]]) -> Decoder | None:
    """The decoder for outputs of these declared shapes (a name or None where a side is open); None where there is none."""
    if len(shapes) == 2:
        return simcc.decode_outputs
    if len(shapes) == 1 and len(shapes[0]) == 4:
        return heat_maps.decode_outputs
    return None
