import builtins
import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.base import install
from pipeline.nets.session import DeviceMissing, ModelRefused, check_model, open_session
from tests.pipeline.nets.fakes import asset


def model(domain: str = "", external: str | None = None, nested: bool = False) -> bytes:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    if external:
        weights.ClearField("float_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=external)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"], domain=domain)], "g", ends[:1], ends[1:], [weights]
    )
    if nested:
        flag = helper.make_tensor("c", TensorProto.BOOL, [], [True])
        branches = {
            k: helper.make_graph(graph.node, k, [], ends[1:], graph.initializer) for k in ("then_branch", "else_branch")
        }
        graph = helper.make_graph([helper.make_node("If", ["c"], ["y"], **branches)], "o", ends[:1], ends[1:], [flag])
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.parametrize("nested", [False, True])
def test_a_good_model_runs(nested: bool) -> None:
    running = open_session(model(nested=nested), threads=1)
    assert running.get_providers()[0] == "CPUExecutionProvider"
    np.testing.assert_array_equal(running.run(None, {"x": np.ones(2, np.float32)})[0], [2, 3])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("where", ["weights.bin", "../../etc/passwd"])
def test_weights_outside_the_file_are_refused(where: str, nested: bool) -> None:
    with pytest.raises(ModelRefused, match="outside the file"):
        open_session(model(external=where, nested=nested))


def outside() -> TensorProto:
    """Weights (2, 2) that lie in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="/etc/passwd")
    return weights


def in_a_training_graph(content: onnx.ModelProto) -> None:
    content.training_info.add().algorithm.initializer.append(outside())


def in_sparse_weights(content: onnx.ModelProto) -> None:
    content.graph.sparse_initializer.add().values.CopyFrom(outside())


def in_a_functions_attribute(content: onnx.ModelProto) -> None:
    content.functions.add(name="f").attribute_proto.add(name="a", type=onnx.AttributeProto.TENSOR).t.CopyFrom(outside())


def in_an_attribute_of_another_type(content: onnx.ModelProto) -> None:
    content.graph.node[0].attribute.add(name="a", type=onnx.AttributeProto.INT).t.CopyFrom(outside())


def in_sparse_attributes(content: onnx.ModelProto) -> None:
    content.graph.node[0].attribute.add(name="a").sparse_tensors.add().indices.CopyFrom(outside())


def without_saying_so(content: onnx.ModelProto) -> None:
    content.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


@pytest.mark.parametrize(
    "hide",
    [
        in_a_training_graph,
        in_sparse_weights,
        in_a_functions_attribute,
        in_an_attribute_of_another_type,
        in_sparse_attributes,
        without_saying_so,
    ],
)
def test_weights_outside_the_file_are_found_wherever_they_hide(hide: Callable[[onnx.ModelProto], None]) -> None:
    hiding = onnx.ModelProto.FromString(model())
    hide(hiding)
    with pytest.raises(ModelRefused, match=r"outside the file \('/etc/passwd'\)"):
        check_model(hiding.SerializeToString())


def test_a_model_nested_too_deeply_is_refused() -> None:
    """Each level is a node whose attribute holds the graph of the next; protobuf itself refuses to build so many."""
    graph = b""
    for _ in range(150):
        for field in (6, 5, 1):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            graph = submessage(field, graph)
    with pytest.raises(ModelRefused, match=r"is not an ONNX model: .* nested too deeply"):
        check_model(submessage(7, graph))


def submessage(field: int, content: bytes) -> bytes:
    """Protobuf's encoding of a field that holds a message."""
    size, length = len(content), b""
    while size >= 0x80:
        size, length = size >> 7, length + bytes([size & 0x7F | 0x80])
    return bytes([field << 3 | 2]) + length + bytes([size]) + content


@pytest.mark.parametrize("nested", [False, True])
def test_foreign_operators_are_refused(nested: bool) -> None:
    with pytest.raises(ModelRefused, match=r"'evil\.ops'"):
        open_session(model(domain="evil.ops", nested=nested))


@pytest.mark.parametrize(
    "content", [b"", b"hello, I am no model at all" * 9, b"\x0a" * 100, b"\x08\x08", b"\x3a\xff\xff\xff\xff\x0f"]
)
def test_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(ModelRefused, match=r"^net\.onnx is (empty|not an ONNX model: .+)"):
        check_model(content, "net.onnx")


def test_every_cut_of_a_model_is_refused_or_at_least_survived() -> None:
    whole = model()
    for size in range(len(whole)):
        try:
            open_session(whole[:size])
        except ModelRefused:
            continue


def test_a_missing_file_is_said(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        open_session(tmp_path / "no.onnx")


def test_no_cuda_is_said_and_never_replaced() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is a CUDA provider here")
    with pytest.raises(DeviceMissing, match=re.escape(install.with_extra("gpu"))):
        open_session(model(), "cuda")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_silent_fall_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises((DeviceMissing, ModelRefused), match=r"fell back|CUDA"):
        open_session(model(), "cuda")


def test_a_gpu_tries_out_no_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen workers that each try every one for every new shape would take minutes before the first clip."""
    import onnxruntime

    real, asked = onnxruntime.InferenceSession, []

    def session(content: bytes, options: object, providers: list) -> object:
        asked.extend(providers)
        return real(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    with pytest.raises(DeviceMissing, match="fell back"):
        open_session(model(), "cuda")
    [(provider, options)] = asked
    assert provider == "CUDAExecutionProvider" and options["cudnn_conv_algo_search"] == "HEURISTIC"


def test_no_onnxruntime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest, **more):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceMissing, match=re.escape(install.with_extra("cpu"))):
        open_session(model())
    with pytest.raises(ValueError, match="device"):
        open_session(model(), "tpu")


@pytest.mark.parametrize(
    "name",
    [
        "lite133",
        "mobilefacenet_arcface_112",
        "pyannote_segmentation_2022",
        "silero_vad",
        "yolox_nano_416",
        "yunet_n_640_640",
    ],
)
def test_real_models_pass(name: str) -> None:
    check_model(asset(f"models/{name}.onnx").read_bytes(), name)
