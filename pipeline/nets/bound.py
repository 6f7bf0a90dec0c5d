"""Runs of a net on buffers that stay: no memory of the card is asked for and given back at each run of a shape that comes again.

Inputs are copied into tensors on the device that were made at the first run of their shapes; onnxruntime copies the outputs back.
Its Python API has no pinned memory that every build knows, so both copies are from and to ordinary memory.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline.nets.session import Device, runtime_for

if TYPE_CHECKING:
    import onnxruntime

_SHAPES = 24  # that keep their buffers: batches of 1, 2, 4, ... 64 on a few canvases


class Bound:
    """A session with its buffers, for one thread.

    Args:
        session: of the net.
        device: "cpu" or "cuda".
        card: number of the GPU.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", device: Device, card: int = 0) -> None:
        self._session, self._device, self._card = session, device, card
        self._values = runtime_for(device).OrtValue
        self._kept: OrderedDict[Any, tuple[Any, dict[str, Any]]] = OrderedDict()

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As `InferenceSession.run`."""
        key = tuple(names), tuple((name, array.dtype.str, array.shape) for name, array in feed.items())
        if key not in self._kept:
            self._kept[key] = self._made(names, feed)
            if len(self._kept) > _SHAPES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        binding, inputs = self._kept[key]
        for name, array in feed.items():
            inputs[name].update_inplace(array)
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    def _made(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> tuple[Any, dict[str, Any]]:
        binding, inputs = self._session.io_binding(), {}
        for name, array in feed.items():
            shape = list(array.shape)
            inputs[name] = self._values.ortvalue_from_shape_and_type(shape, array.dtype.type, self._device, self._card)
            binding.bind_ortvalue_input(name, inputs[name])
        for name in names:
            binding.bind_output(name, "cpu")
        return binding, inputs
