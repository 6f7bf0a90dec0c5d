"""The GPU, and whether onnxruntime and torch can use it."""

import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from pipeline.base import install
from pipeline.engine.devices import cores, device_of
from pipeline.engine.profile import Profile
from pipeline.engine.runner import importable
from pipeline.nets.session import DeviceMissing, open_session
from pipeline.views.doctor.finding import MISSING, OK, WARN, Finding

_SECONDS = 20.0
_QUERY = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
_ONE = f"uninstall both with pip, then {install.with_extra('cpu')}, or with a GPU {install.with_extra('gpu')}"


def gpu(profile: Profile) -> Iterator[Finding]:
    """Which GPUs there are, and what the profile wants to run nets on."""
    cards = _cards()
    device = device_of(profile)
    if cards:
        yield Finding(OK, "gpu", f"{'; '.join(cards)}; machine.device = {profile.machine.device}: nets run on {device}")
    elif device == "cuda":
        found = "machine.device = cuda" if profile.machine.device == "cuda" else "the driver is loaded"
        yield Finding(
            MISSING,
            "gpu",
            f"{found}, and nvidia-smi shows no GPU",
            "install NVIDIA's driver, or set machine.device=cpu",
        )
    else:
        yield Finding(OK, "gpu", f"none; nets run on {cores()} processor cores")


def _cards() -> list[str]:
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    try:
        done = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def onnxruntime(profile: Profile) -> Iterator[Finding]:
    """What runs the nets: one of two packages that hide each other, and the device that it really runs on."""
    there = [f"{name} {found}" for name in ("onnxruntime", "onnxruntime-gpu") if (found := _version(name))]
    if len(there) > 1:
        yield Finding(MISSING, "onnxruntime", f"{' and '.join(there)} lie on top of each other: broken", _ONE)
        return
    device = device_of(profile)
    if not there or not importable("onnxruntime"):
        advice = install.with_extra("gpu" if device == "cuda" else "cpu")
        yield Finding(MISSING, "onnxruntime", "not installed", advice)
        return
    try:
        import onnxruntime as runtime

        text = f"{there[0]}, providers {', '.join(runtime.get_available_providers())}"
    except (ImportError, AttributeError) as error:  # taking one of the two away leaves holes in the other
        yield Finding(MISSING, "onnxruntime", f"{there[0]} is broken: {error}", _ONE)
        return
    try:
        open_session(_identity(), "cuda" if device == "cuda" else "cpu")
    except DeviceMissing as error:
        status = MISSING if profile.machine.device == "cuda" else WARN
        yield Finding(status, "onnxruntime", f"{text}; does not run on {device}: {error}", _ONE)
        return
    yield Finding(OK, "onnxruntime", f"{text}; runs on {device}")


def _identity() -> bytes:
    """The smallest net there is."""
    from onnx import TensorProto, helper

    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", sides[:1], sides[1:])
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def torch(profile: Profile) -> Iterator[Finding]:
    """What trains and generates; needed for that alone."""
    if not importable("torch"):
        needs = f"not installed: only train, generate and evaluate need it ({install.with_extra('train')})"
        yield Finding(OK, "torch", needs)
        return
    import torch as package

    text, sees = f"{package.__version__}, CUDA {package.version.cuda or 'none'}", package.cuda.is_available()
    if device_of(profile) == "cuda" and not sees:
        status = MISSING if profile.machine.device == "cuda" else WARN
        yield Finding(status, "torch", f"{text}; sees no GPU", "install torch's CUDA build: make train GPU=1")
    else:
        yield Finding(OK, "torch", f"{text}; {'sees a GPU' if sees else 'runs on the processor'}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
