"""Opens ONNX models: nothing from outside the file is read, and the device asked for is the one that runs."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.base.errors import UserError

if TYPE_CHECKING:
    import onnxruntime

Device = Literal["cpu", "cuda"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_EXTRAS = {"cpu": "csg405[cpu]", "cuda": "csg405[gpu]"}
# What onnxruntime carries itself. Any other domain would need code that comes with the model.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


class ModelRefused(UserError, ValueError):
    """The model is not ONNX, or asks for something that a model from outside may not have."""


class DeviceMissing(UserError, RuntimeError):
    """onnxruntime is missing or cannot run on the device that was asked for."""


def open_session(model: str | Path | bytes, device: Device = "cpu", threads: int = 0) -> "onnxruntime.InferenceSession":
    """An onnxruntime session for a model that is not trusted.

    Args:
        model: path of an .onnx file, or its bytes.
        device: "cpu" or "cuda".
        threads: CPU threads within an operator; 0 takes one a core.

    Raises:
        FileNotFoundError: there is no such file.
        ModelRefused: not an ONNX file, weights outside the file, or foreign operators.
        DeviceMissing: no onnxruntime, or it does not run on `device`; it never falls back in silence.
    """
    if device not in _PROVIDERS:
        raise ValueError(f"device is {device!r}, not one of {sorted(_PROVIDERS)}")
    name = "the model" if isinstance(model, bytes) else str(model)
    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    check_model(content, name)
    runtime = _onnxruntime(device)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for work by turning round take a third more of the CPU, from the decoder and from other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # warnings about fusing are nobody's business; errors are raised
    try:
        # The bytes that were checked are the bytes that are loaded.
        session = runtime.InferenceSession(content, options, providers=[_PROVIDERS[device]])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise ModelRefused(f"{name} cannot be loaded: {error}") from error
    running = session.get_providers()[0]
    if running != _PROVIDERS[device]:
        raise DeviceMissing(f"{name} was to run on {device}, but onnxruntime fell back to {running}: {_cuda_hint()}")
    return session


def check_model(content: bytes, name: str = "the model") -> None:
    """Raises ModelRefused unless `content` is an ONNX model whose weights and operators are all inside it."""
    if not content:
        raise ModelRefused(f"{name} is empty")
    try:
        domains, external = _survey(memoryview(content))
    except (ValueError, IndexError, RecursionError) as error:
        raise ModelRefused(f"{name} is no ONNX model: {error}") from error
    if external:
        raise ModelRefused(f"{name} keeps weights outside the file ({external[0]!r}): join them into one file first")
    foreign = domains - _DOMAINS
    if foreign:
        raise ModelRefused(f"{name} needs operators of {', '.join(sorted(map(repr, foreign)))}, which are not allowed")


def _onnxruntime(device: Device) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceMissing(f"onnxruntime is not installed: pip install '{_EXTRAS[device]}'") from error
    if _PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise DeviceMissing(f"this onnxruntime has no {_PROVIDERS[device]}: {_cuda_hint()}")
    if device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
            onnxruntime.preload_dlls()  # CUDA and cuDNN as pip installs them, which no linker looks for
    return onnxruntime


def _cuda_hint() -> str:
    return (
        "onnxruntime and onnxruntime-gpu hide each other; uninstall both, then pip install 'csg405[gpu]', "
        "with the CUDA and cuDNN that it names"
    )


# A few fields of onnx.proto3, read without the onnx package: number of the field -> kind of message inside.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "opset": {},
    "entry": {},
}
_DEPTH_LIMIT = 64


def _survey(content: memoryview) -> tuple[set[str], list[str]]:
    """Domains of all operators, and the locations of all weights outside the file."""
    domains: set[str] = set()
    external: list[str] = []
    stack = [("model", content, 0)]
    graphs = 0
    while stack:
        kind, message, depth = stack.pop()
        if depth > _DEPTH_LIMIT:
            raise ValueError("nested too deeply")
        graphs += kind == "graph"
        for field, value in _fields(message):
            if isinstance(value, memoryview) and field in _MESSAGES[kind]:
                stack.append((_MESSAGES[kind][field], value, depth + 1))
            if isinstance(value, memoryview) and (kind, field) in (("node", 7), ("opset", 1), ("function", 10)):
                domains.add(bytes(value).decode("utf-8", "replace"))
            if (kind, field) == ("tensor", 14) and value == 1:
                external.append("data_location")
            if (kind, field) == ("entry", 2) and isinstance(value, memoryview):
                external.append(bytes(value).decode("utf-8", "replace"))
    if not graphs:
        raise ValueError("it holds no graph")
    return domains, external


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of a protobuf message: an int for varints, a view for bytes and submessages."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif kind == 2:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("it is cut short")
            yield key >> 3, message[at : at + size]
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number without end")
