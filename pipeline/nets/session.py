"""Sessions of untrusted ONNX models: nothing outside the file is read, and the requested device is the one that runs."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnx
from google.protobuf.message import DecodeError

from pipeline.base import install
from pipeline.base.errors import UserError
from pipeline.nets.card import room

if TYPE_CHECKING:
    import onnxruntime
    from google.protobuf.message import Message

Device = Literal["cpu", "cuda"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
OPTIONS: dict[str, dict[str, str]] = {
    "cpu": {},
    # cuDNN tries out every algorithm for every new shape by default, which takes each of a GPU's workers minutes; and an arena that
    # doubles takes memory of the card that the other workers need.
    "cuda": {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"},
}
_EXTRAS = {"cpu": "cpu", "cuda": "gpu"}
# What onnxruntime carries itself. Any other domain would need code that comes with the model.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


class ModelRefused(UserError, ValueError):
    """The model is not ONNX, or asks for something that a model from outside may not have."""


class DeviceMissing(UserError, RuntimeError):
    """onnxruntime is missing or cannot run on the device that was asked for."""


def open_session(
    model: str | Path | bytes, device: Device = "cpu", threads: int = 0, card: int = 0, arena: int | None = None
) -> "onnxruntime.InferenceSession":
    """An onnxruntime session for a model that is not trusted.

    Args:
        model: path of an .onnx file, or its bytes.
        device: "cpu" or "cuda".
        threads: CPU threads within an operator; 0 takes one a core.
        card: number of the GPU, among those that this process sees.
        arena: bytes of the GPU that it may take; None for this process's share of what is free, where that can be asked.

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
    runtime = runtime_for(device)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads that spin would take a third more CPU, from the decoder and from other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # no user can act on warnings about fusion; errors are raised anyway
    try:
        # The bytes that were checked are the bytes that are loaded.
        provider = _PROVIDERS[device], OPTIONS[device] | (_of_card(card, arena) if device == "cuda" else {})
        session = runtime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise ModelRefused(f"{name} cannot be loaded: {error}") from error
    running = session.get_providers()[0]
    if running != _PROVIDERS[device]:
        raise DeviceMissing(f"{name} should run on {device}, but onnxruntime fell back to {running}: {_cuda_hint()}")
    return session


def _of_card(card: int, arena: int | None) -> dict[str, str]:
    """Options of onnxruntime's CUDA provider for a card, as strings."""
    arena = room(card).arena if arena is None else arena
    return {"device_id": str(card)} | ({} if arena is None else {"gpu_mem_limit": str(arena)})


def check_model(content: bytes, name: str = "the model") -> None:
    """Raise ModelRefused unless `content` is an ONNX model with all its weights and operators inside."""
    if not content:
        raise ModelRefused(f"{name} is empty")
    domains, external = _survey(_parse(content, name))
    if external:
        raise ModelRefused(f"{name} stores weights outside the file ({external[0]!r}): join them into one file first")
    foreign = domains - _DOMAINS
    if foreign:
        raise ModelRefused(f"{name} needs operators of {', '.join(sorted(map(repr, foreign)))}, which are not allowed")


def runtime_for(device: Device) -> Any:
    """The module onnxruntime, which runs on this device. Raises DeviceMissing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceMissing(f"onnxruntime is not installed: {install.with_extra(_EXTRAS[device])}") from error
    if _PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise DeviceMissing(f"this onnxruntime has no {_PROVIDERS[device]}: {_cuda_hint()}")
    if device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
            onnxruntime.preload_dlls()  # CUDA and cuDNN as pip installs them, which no linker looks for
    return onnxruntime


def _cuda_hint() -> str:
    return (
        f"onnxruntime and onnxruntime-gpu hide each other; uninstall both, then {install.with_extra('gpu')}, "
        "with the CUDA and cuDNN that it names"
    )


def _parse(content: bytes, name: str) -> "onnx.ModelProto":
    """The message in `content`. Parsing alone opens no other file; `onnx.load` would, for weights that lie outside."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelRefused(f"{name} is not an ONNX model: damaged, cut short or nested too deeply ({error})") from error
    if not model.HasField("graph"):
        raise ModelRefused(f"{name} is not an ONNX model: it holds no graph")
    return model


def _messages(model: "onnx.ModelProto") -> "Iterator[Message]":
    """The model and every message inside it, by reflection: no place where a tensor may stand is left out.

    onnx's own walk (`external_data_helper`) skips sparse weights, those of functions' attributes, and training graphs.
    """
    waiting: list[Message] = [model]
    while waiting:
        message = waiting.pop()
        yield message
        if message.DESCRIPTOR.name == "TensorProto":
            continue  # its numbers would be copied to be looked at, and there is nothing else below
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else value


def _survey(model: "onnx.ModelProto") -> tuple[set[str], list[str]]:
    """Domains of all operators, and the locations of all weights outside the file."""
    domains: set[str] = set()
    external: list[str] = []
    for message in _messages(model):
        kind = message.DESCRIPTOR.name
        if kind in ("NodeProto", "OperatorSetIdProto", "FunctionProto"):
            domains.add(message.domain)
        elif kind == "TensorProto" and (message.data_location == message.EXTERNAL or message.external_data):
            entries = {entry.key: entry.value for entry in message.external_data}
            external.append(entries.get("location", "no location"))
    return domains, external
