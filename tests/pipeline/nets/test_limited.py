"""Nets in a process of their own: one that never ends, and one that is killed, end in a line."""

import os
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.nets.limited import NetStopped, limited
from pipeline.nets.session import ModelRefused, open_session


def endless(path: Path) -> None:
    """An ONNX model whose loop never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]),
        ],
    )
    loop = helper.make_node("Loop", ["", "yes", "in"], ["out"], body=body)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("", TensorProto.BOOL, [], [True])), loop],
        "endless",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def see(path: Path) -> float:
    return float(open_session(path).run(None, {"in": np.zeros(1, np.float32)})[0][0])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_net_that_never_ends_is_stopped(tmp_path: Path) -> None:
    endless(tmp_path / "net.onnx")
    with pytest.raises(NetStopped, match="stopped after 4 s: a net that never ends"):
        limited(4.0, see, tmp_path / "net.onnx")


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(NetStopped, match="the process that ran the nets died"):
        limited(60.0, die)


def test_what_a_net_gives_or_raises_comes_back(tmp_path: Path) -> None:
    assert limited(60.0, pow, 2, 5) == 32
    (tmp_path / "net.onnx").write_bytes(b"no net")
    with pytest.raises(ModelRefused, match=r"no net|not an ONNX model"):
        limited(60.0, see, tmp_path / "net.onnx")
