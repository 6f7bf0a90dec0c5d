"""Runs on buffers that stay give what runs on new ones give."""

from pathlib import Path

import numpy as np

from pipeline.nets import bound
from pipeline.nets.bound import Bound
from pipeline.nets.session import open_session
from tests.pipeline.nets.fakes import asset
from tests.pipeline.nets.server import little_nets


def test_shapes_that_come_again_and_more_of_them_than_are_kept(tmp_path: Path) -> None:
    session = open_session(little_nets.doubles(tmp_path / "net.onnx"), threads=1)
    buffers, rng = Bound(session, "cpu"), np.random.default_rng(405)
    for count in [1, 2, 1, *range(1, bound._SHAPES + 5), 1]:
        feed = {"x": rng.standard_normal((count, little_nets.WIDTH)).astype(np.float32)}
        for names in (["y"], ["rows", "y"]):
            for ours, theirs in zip(buffers.run(names, feed), session.run(names, feed), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert len(buffers._kept) == bound._SHAPES


def test_results_are_not_overwritten_by_the_next_run(tmp_path: Path) -> None:
    buffers = Bound(open_session(little_nets.doubles(tmp_path / "net.onnx"), threads=1), "cpu")
    first, second = (buffers.run(["y"], {"x": np.full((2, 4), value, np.float32)})[0] for value in (1, 2))
    assert (first == 3).all() and (second == 5).all()


def test_a_real_pose_net(tmp_path: Path) -> None:
    session = open_session(asset("models/lite133.onnx"), threads=1)
    source, names = session.get_inputs()[0], [one.name for one in session.get_outputs()]
    crops = np.random.default_rng(405).standard_normal((2, *source.shape[1:])).astype(np.float32)
    buffers = Bound(session, "cpu")
    for _ in range(2):
        for ours, theirs in zip(
            buffers.run(names, {source.name: crops}), session.run(names, {source.name: crops}), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
