"""Choice of the decoder for a pose net's outputs, by their shapes.

A net of another form needs a decoder in a file of its own and a line in `decoder_of`, nothing else.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.base.arrays import Floats32
from pipeline.nets.pose import heat_maps, simcc

if TYPE_CHECKING:
    import onnxruntime

Decoder = Callable[[Sequence[Floats32], tuple[int, int]], tuple[Floats32, Floats32]]
"""(outputs, (height, width) of the net's input) -> points (N, K, 2) in the net's pixels, NaN where not found, and scores (N, K)."""


def decoder_of(
    shapes: Sequence[Sequence[Any]], session: "onnxruntime.InferenceSession | None" = None
) -> Decoder | None:
    """The decoder for outputs of these declared shapes (a name or None where a side is open); None where there is none.

    Args:
        session: of the net: a prepared one says in its metadata how many bins a pixel has.
    """
    if len(shapes) == 2:
        return simcc.decode_outputs
    if len(shapes) == 1 and len(shapes[0]) == 4:
        return heat_maps.decode_outputs
    if session and len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] == simcc.PEAK_NUMBERS:
        ratio = session.get_modelmeta().custom_metadata_map.get(simcc.RATIO_KEY, "")
        return partial(_decode_peaks, int(ratio)) if ratio.isdecimal() and int(ratio[:4]) > 0 else None
    return None


def _decode_peaks(ratio: int, outputs: Sequence[Floats32], _: tuple[int, int]) -> tuple[Floats32, Floats32]:
    return simcc.decode_peaks(outputs[0], ratio)
