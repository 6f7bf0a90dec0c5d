"""A net in a server, without its process."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.nets.bound import Bound
from pipeline.nets.server.gather import Request
from pipeline.nets.server.held import HeldNet, How
from tests.pipeline.nets.server import little_nets


def request(net: HeldNet, *values: float) -> Request:
    return Request(net, ("y",), {"x": np.repeat(np.array(values, np.float32)[:, None], little_nets.WIDTH, 1)}, True)


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_each_request_gets_its_own_rows(tmp_path: Path, bound: bool, padded: bool) -> None:
    net = HeldNet(str(little_nets.doubles(tmp_path / "net.onnx")), How(threads=1, padded=padded, bound=bound))
    for turn in range(3):  # buffers of the turn before hold other rows
        batch = [request(net, turn), request(net, turn + 1, turn + 2), request(net, turn + 3, turn + 4, turn + 5)]
        found = [output[:, 0].tolist() for [output] in net.run(batch)]
        want = [[0], [1, 2], [3, 4, 5]]
        assert found == [[2 * (turn + value) + 1 for value in values] for values in want]


def test_where_buffers_cannot_stay_runs_go_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such device")

    monkeypatch.setattr(Bound, "run", broken)
    net = HeldNet(str(little_nets.looks_up(tmp_path / "net.onnx")), How(threads=1, bound=True))
    with pytest.raises(Exception, match="Gather"):
        net.run([request(net, 10_000)])
    assert not caplog.records, "the request was at fault, not the buffers"
    for _ in range(2):
        [[output]] = net.run([request(net, 3)])
        assert output.tolist() == [[7.0] * 4]
    [record] = caplog.records
    assert "no such device" in record.getMessage()


def test_a_long_word_of_the_file_is_not_passed_on(tmp_path: Path) -> None:
    path = little_nets.doubles(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.metadata_props.add(key="of somebody else", value="x" * 200_000)
    onnx.save(model, path)
    assert HeldNet(str(path), How(threads=1)).about()["meta"] == {"csg405.footage": "theatre"}


def test_a_net_that_mixes_rows_up_is_refused(tmp_path: Path) -> None:
    net = HeldNet(str(little_nets.doubles(tmp_path / "net.onnx")), How(threads=1))
    one = request(net, 1, 2)
    net._ran = lambda names, feed: [np.zeros((3, 4), np.float32)]  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no net for batches"):
        net.run([one])
