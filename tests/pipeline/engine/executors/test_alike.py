"""Two machines compared, and the link to a cluster: what can be said without one."""

import socket
from pathlib import Path

import pytest

from pipeline.base.errors import StageError
from pipeline.base.pulse import Beats, Pulse, Remote
from pipeline.engine.executors import link
from pipeline.engine.executors.alike import differences, folders_of_code, installed, lacking
from pipeline.engine.executors.link import ClusterLost, Link
from pipeline.engine.profile import ProfileError, load
from pipeline.engine.stage_nets import hashes_in
from pipeline.registry.archives import BadModel
from pipeline.registry.models import MissingModel, Registry


def test_a_machine_is_like_itself_and_differences_are_named() -> None:
    here = installed()
    assert differences(here, here) == ""
    other = {**here, "numpy": "1.0", "its code": "000000000000", "torch": ""}
    assert differences({**here, "torch": "2.13.0"}, other) == (
        f"its code 000000000000 there, {here['its code']} here; numpy 1.0 there, {here['numpy']} here"
    ), "a package that one of them does not have does no harm"
    assert lacking(["json", "no_such_package.part"]) == ["no_such_package.part"]
    assert {folder.name for folder in folders_of_code()} == {"pipeline", "stages", "manifests"}


def test_a_node_takes_the_drivers_nets_alone(tmp_path: Path) -> None:
    here = Registry(cache=tmp_path / "cache")
    net = here.resolve(["theatre_gender"])
    there = here.here({net.name: net.sha256})
    assert there.cache == here.cache and there.resolve(["theatre_age", "theatre_gender"]).sha256 == net.sha256
    assert there.optional(["theatre_age"]) is None, "the driver has none, so that no result may come of one"
    with pytest.raises(BadModel, match="is not the driver's theatre_gender"):
        here.here({net.name: "0" * 64}).resolve(["theatre_gender"])


def test_a_node_has_folders_of_its_own_where_the_drivers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "own"))
    monkeypatch.delenv("CSG405_MODELS", raising=False)
    there = Registry(tmp_path / "models", tmp_path / "drivers", download=False).here({"dwpose_l": "0" * 64})
    assert there.cache == tmp_path / "own" / "models" and there.models is None
    with pytest.raises(MissingModel):
        there.resolve(["dwpose_l"])


def test_nets_are_read_from_what_outcomes_say_of_them() -> None:
    assert hashes_in("yolox_l 78, dwpose_l 72") == {"yolox_l": "78", "dwpose_l": "72"} and hashes_in("") == {}


def test_what_workers_elsewhere_count_is_added_up(tmp_path: Path) -> None:
    remote, pulse = Remote(tmp_path), Pulse(tmp_path)
    remote.write(1, Beats(1, 1, 0, 0, 0, 0))
    remote.write(2, Beats(1, 0, 40, 100, 5, 6))
    assert pulse.read() == Beats(2, 1, 40, 100, 5, 6)
    remote.end(2)
    remote.end(3)
    assert pulse.read() == Beats(1, 1, 0, 100, 5, 6), "what one did that is gone stays counted"
    Remote(None).write(1, Beats())


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "auto", "ray://head.example:10001", "[::1]:6379", ""])
def test_addresses(address: str) -> None:
    assert load("demo", [f"machine.address={address!r}".replace("'", '"')]).machine.address == address


@pytest.mark.parametrize("address", ["10.0.0.1", "http://x:1", "a b:1", "x:port"])
def test_no_addresses(address: str) -> None:
    with pytest.raises(ProfileError, match="address"):
        load("demo", [f'machine.address="{address}"'])


def test_a_process_joins_one_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_link", Link(None, "10.0.0.1:6379", None))
    assert link.joined("10.0.0.1:6379", 1).address == "10.0.0.1:6379"
    with pytest.raises(StageError, match=r"has joined 10.0.0.1:6379 and cannot join 10.0.0.2:1 too"):
        link.joined("10.0.0.2:1", 1)


def test_a_head_that_is_silent_for_long_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "GRACE_SECONDS", 20.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        door = server.getsockname()
        assert link._answers(door)
    assert not link._answers(door) and not link._answers("/nowhere/socket")
    found = Link(None, "10.0.0.1:6379", None)
    found.check()
    found._silent_since = 0.0
    with pytest.raises(ClusterLost, match=r"at 10.0.0.1:6379 has not answered for 20 s. What was done is committed"):
        found.check()


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("", True),
        ("127.0.0.1:6379", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("10.0.0.1:1", False),
        ("auto", False),
    ],
)
def test_loopback(address: str, home: bool) -> None:
    assert link._is_loopback(address) is home
