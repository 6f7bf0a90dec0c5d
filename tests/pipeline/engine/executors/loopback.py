"""A Ray cluster of several nodes on this machine, which nothing else reaches, and what tests do to it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import psutil
import pytest

from pipeline.engine.executors import link

MEGABYTE = 1 << 20
STORE = 100 * MEGABYTE
_TOKEN = os.urandom(32).hex()  # of all clusters of this process: Ray reads it once
OWN_CACHE = "own"  # of a blind node, in what it sees


class Loopback:
    """A head without room for workers, and nodes with room for a few.

    Args:
        nodes: how many.
        cpus: workers that each takes.
        store: bytes of the head's object store, in which the driver finds results.
    """

    def __init__(self, nodes: int = 2, cpus: int = 2, store: int = STORE) -> None:
        from ray import _raylet
        from ray.cluster_utils import Cluster

        _raylet.Config.initialize("")  # type: ignore[attr-defined]  # an earlier import has read the environment as it was
        self.cpus = cpus
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={**self.arguments(0), "object_store_memory": store, "include_dashboard": False},
            shutdown_at_exit=True,
        )
        self.nodes = [self.add() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self, cpus: int | None = None, **more: Any) -> Any:
        """A node comes."""
        return self._cluster.add_node(**self.arguments(self.cpus if cpus is None else cpus), **more)

    def retire(self) -> None:
        """All nodes but the head leave, in good order."""
        for node in self.nodes:
            self._cluster.remove_node(node)
        self.nodes.clear()

    def kill(self, node: Any) -> None:
        """SIGKILL of everything of a node."""
        self._cluster.remove_node(node, allow_graceful=False)
        if node in self.nodes:
            self.nodes.remove(node)

    def kill_head(self) -> None:
        """SIGKILL of the head's control process, which all others need."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.name() == "gcs_server":
                    process.kill()

    def actors(self) -> list[psutil.Process]:
        """Ray's processes that hold a worker."""
        return [process for process in psutil.Process().children(recursive=True) if _is_seat(process)]

    def workers(self) -> list[psutil.Process]:
        """The workers' own processes."""
        found = []
        for actor in self.actors():
            with suppress(psutil.NoSuchProcess):
                found += [child for child in actor.children() if "executors.seat" in " ".join(child.cmdline())]
        return found

    def end(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "ray" in " ".join(process.cmdline()[:2]):
                    process.send_signal(signal.SIGKILL)

    def arguments(self, cpus: int) -> dict[str, Any]:
        """Of a node."""
        return {
            "node_ip_address": "127.0.0.1",
            "num_cpus": cpus,
            "memory": 64 << 30,
            "object_store_memory": STORE,
        }


def _is_seat(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return "ray::Seat" in " ".join(process.cmdline())
    return False


@contextmanager
def loopback(folder: Path, nodes: int = 2, cpus: int = 2, store: int = STORE) -> Iterator[Loopback]:
    """A cluster, reached with a token that is not the user's."""
    # One at a time on this machine: Ray looks for ports that are free, and two that look together may find the same.
    alone = filelock.FileLock(Path(tempfile.gettempdir()) / "csg405-tests-of-ray.lock", is_singleton=True)
    with alone, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # else Ray takes 127.0.0.1 for the outward address
        for limit in ("raylet_start_wait_time_s", "worker_register_timeout_seconds"):  # 30 and 60
            patch.setenv(f"RAY_{limit}", "300")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", _TOKEN)
        patch.chdir(Path(__file__).parents[4])
        cluster = Loopback(nodes, cpus, store)
        try:
            yield cluster
        finally:
            link.part()
            cluster.end()


@contextmanager
def blind_nodes(cluster: Loopback, folder: Path, count: int = 2) -> Iterator[list[Path]]:
    """Nodes that see an empty folder of their own in the place of one of the driver's, where their caches lie too.

    Skips the test where no mount namespace can be made.

    Yields: the folder as each of them sees it.
    """
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can hide a folder from a node: unshare --mount is refused here")
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(folder)]
    command = [*hidden, sys.executable, "-c", _NODE, cluster.address, json.dumps(cluster.arguments(1))]
    environment = {**os.environ, "CSG405_CACHE": str(folder / OWN_CACHE)}
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):  # one after the other: nodes of one machine number their sockets
            nodes.append(node := subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
            assert node.stdout is not None and node.stdout.readline() == b"there\n", "a node ended"
        yield [Path(f"/proc/{node.pid}/root{folder}") for node in nodes]
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.communicate()


_NODE = """
import json, signal, sys
from ray._private.node import Node
from ray._private.parameter import RayParams
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
ports = {"min_worker_port": 0, "max_worker_port": 0, "node_manager_port": 0, "dashboard_agent_listen_port": None}
asked = {**json.loads(sys.argv[2]), **ports, "include_log_monitor": False}
node = Node(RayParams(gcs_address=sys.argv[1], redis_address=sys.argv[1], **asked), head=False, shutdown_at_exit=False)
print("there", flush=True)
signal.sigwait({signal.SIGTERM})
node.kill_all_processes(check_alive=False, allow_graceful=True)
"""
