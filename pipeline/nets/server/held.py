"""A net that a server holds: its session, and batches of several workers' rows through it."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.nets.bound import Bound
from pipeline.nets.server.gather import Request
from pipeline.nets.server.wire import Array
from pipeline.nets.session import Device, open_session

_OURS = "csg405."  # begins the keys of a net's metadata that anything reads; others may be of any length
_BUFFERS = 24  # of a thread and net, for batches of so many shapes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class How:
    """How a server runs nets.

    Attributes:
        device: "cpu" or "cuda".
        threads: processor threads within an operator.
        limit: rows of a batch.
        wait_seconds: for which a request waits for others.
        padded: fill batches up to 1, 2, 4, ... rows, so that a GPU meets few shapes: it picks its algorithms for each.
        bound: run on buffers that stay.
        run_seconds: after which a run is taken for endless.
        runners: batches under way at a time: one is put together while another is computed.
        nets: that are expected, among which a GPU's memory is divided.
    """

    device: Device = "cpu"
    threads: int = 1
    limit: int = 64
    wait_seconds: float = 0.003
    padded: bool = False
    bound: bool = False
    run_seconds: float = 180.0
    runners: int = 2
    nets: int = 2

    @classmethod
    def on(cls, device: Device, threads: int, run_seconds: float, nets: int = 2) -> "How":
        """What suits a device: on a processor each row costs what it costs, and one batch keeps it busy."""
        on_gpu = device == "cuda"
        runners = 2 if on_gpu else 1
        return cls(device, threads, padded=on_gpu, bound=on_gpu, run_seconds=run_seconds, runners=runners, nets=nets)


class HeldNet:
    """A net in a server.

    Args:
        path: of the .onnx file.
        how: it is run.
        card: number of the GPU.
        arena: bytes of it that the net may take; None for what `open_session` finds.

    Raises:
        What `open_session` raises.
    """

    def __init__(self, path: str, how: How, card: int = 0, arena: int | None = None) -> None:
        self.session = open_session(path, how.device, how.threads, card, arena)
        self._how, self._card = how, card
        self._outputs = [one.name for one in self.session.get_outputs()]
        self._own = threading.local()
        self._bound = how.bound
        self._good: dict[str, Array] = {}  # inputs of a form that has been run

    def about(self) -> dict[str, Any]:
        """What a client tells of the net in place of its session."""
        inputs, outputs = (
            [[one.name, one.type, list(one.shape)] for one in values]
            for values in (self.session.get_inputs(), self.session.get_outputs())
        )
        told = self.session.get_modelmeta().custom_metadata_map
        meta = {key: text for key, text in told.items() if key.startswith(_OURS)}
        return {"inputs": inputs, "outputs": outputs, "meta": meta, "providers": self.session.get_providers()}

    def run(self, batch: Sequence[Request[Any, Any]]) -> list[list[Array]]:
        """The outputs for each request of a batch; requests that are not to be run together come alone."""
        first = batch[0]
        names = list(first.names or self._outputs)
        if not first.together:
            outputs = self._ran(names, first.feed)
            self._good = self._good or {name: np.zeros_like(array) for name, array in first.feed.items()}
            return [outputs]
        counts = [one.rows for one in batch]
        total = sum(counts)
        rows = 1 << (total - 1).bit_length() if self._how.padded else total
        feed = first.feed if counts == [rows] else self._joined(batch, rows)
        outputs = self._ran(names, feed)
        if any(len(output) != rows for output in outputs):
            raise ValueError(f"{rows} rows came out as {[output.shape for output in outputs]}: no net for batches")
        self._good = {name: np.zeros((1, *array.shape[1:]), array.dtype) for name, array in first.feed.items()}
        ends = np.cumsum(counts)
        return [[output[end - n : end] for output in outputs] for n, end in zip(counts, ends, strict=True)]

    def works(self) -> bool:
        """Whether the net still runs what it has run before: after some errors a GPU runs nothing any more."""
        try:
            if self._good:
                self._ran(self._outputs, self._good)
        except Exception as error:  # noqa: BLE001 - onnxruntime's own exceptions share no base class
            log.error("a net that has run before runs no more: %s", error)
            return False
        return True

    def _ran(self, names: list[str], feed: Mapping[str, Array]) -> list[Array]:
        if self._bound:
            try:
                return self._own_bound().run(names, feed)
            except Exception as error:  # noqa: BLE001 - as above
                outputs = list(self.session.run(names, dict(feed)))  # fails likewise where the request is at fault
                self._bound = False
                vars(self._own).pop("bound", None)  # and what it holds of the card
                log.warning("runs on buffers that stay fail, and are left: %s", error)
                return outputs
        return list(self.session.run(names, dict(feed)))

    def _own_bound(self) -> Bound:
        """This thread's buffers."""
        if not hasattr(self._own, "bound"):
            self._own.bound = Bound(self.session, self._how.device, self._card)
        bound: Bound = self._own.bound
        return bound

    def _joined(self, batch: Sequence[Request[Any, Any]], rows: int) -> dict[str, Array]:
        """Inputs of all requests one after the other, in a buffer of this thread; what fills it up is zeros, or rows of before."""
        feed = {}
        for name, array in batch[0].feed.items():
            joined = self._buffer(name, (rows, *array.shape[1:]), array.dtype)
            at = 0
            for one in batch:
                joined[at : at + one.rows] = one.feed[name]
                at += one.rows
            feed[name] = joined
        return feed

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        buffers: dict[Any, Array] = self._own.__dict__.setdefault("buffers", {})
        key = name, shape, dtype.str
        if key not in buffers and len(buffers) >= _BUFFERS:
            buffers.clear()
        return buffers.setdefault(key, np.zeros(shape, dtype)) if key not in buffers else buffers[key]
