"""A Ray cluster of several nodes on this machine, which nothing else reaches, and what tests do to it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.engine.executors import link

MEGABYTE = 1 << 20


class Loopback:
    """A head without room for workers, and nodes with room for a few.

    Args:
        nodes: how many.
        cpus: workers that each takes.
    """

    def __init__(self, nodes: int = 2, cpus: int = 2) -> None:
        from ray import _raylet
        from ray.cluster_utils import Cluster

        _raylet.Config.initialize("")  # type: ignore[attr-defined]  # an earlier import has read the environment as it was
        self.cpus = cpus
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={**self._arguments(0), "include_dashboard": False},
            shutdown_at_exit=True,
        )
        self.nodes = [self.add() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self, cpus: int | None = None, **more: Any) -> Any:
        """A node comes."""
        return self._cluster.add_node(**self._arguments(self.cpus if cpus is None else cpus), **more)

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

    def _arguments(self, cpus: int) -> dict[str, Any]:
        return {
            "node_ip_address": "127.0.0.1",
            "num_cpus": cpus,
            "memory": 64 << 30,
            "object_store_memory": 100 * MEGABYTE,
        }


def _is_seat(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return "ray::Seat" in " ".join(process.cmdline())
    return False


@contextmanager
def loopback(folder: Path, nodes: int = 2, cpus: int = 2) -> Iterator[Loopback]:
    """A cluster, reached with a token that is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # else Ray takes 127.0.0.1 for the outward address
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", os.urandom(32).hex())
        patch.chdir(Path(__file__).parents[4])
        cluster = Loopback(nodes, cpus)
        try:
            yield cluster
        finally:
            link.part()
            cluster.end()
