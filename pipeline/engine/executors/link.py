"""The connection of this process to a Ray cluster: one, from the first stage that needs it to the process's end."""

import atexit
import contextlib
import ipaddress
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.base import install
from pipeline.base.errors import StageError
from pipeline.base.progress import doing
from pipeline.nets.environ import variables

PROBE_SECONDS = 2.0  # between two looks whether the head is there
GRACE_SECONDS = 20.0  # for a head that starts again
PROBE_TIMEOUT = 5.0
_GO_ON = "What was done is committed; run the same command to go on once the cluster is there."

log = logging.getLogger(__name__)


class ClusterLost(StageError):
    """Raised when the head of the cluster does not answer any more."""


class Link:
    """A cluster that this process has joined, or its own.

    Attributes:
        ray: the module, imported here alone.
        address: as the user gave it; "" for a cluster of our own.
    """

    def __init__(self, ray: Any, address: str, info: Any) -> None:
        self.ray, self.address = ray, address
        self._doors = _doors(info)
        self._silent_since: float | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def own(self) -> bool:
        return not self.address

    def check(self) -> None:
        """Raise ClusterLost where the head has been silent for too long."""
        since = self._silent_since
        if since is not None and time.monotonic() - since > GRACE_SECONDS:
            where = f"the Ray cluster at {self.address}" if self.address else "this machine's Ray"
            raise ClusterLost(f"{where} has not answered for {GRACE_SECONDS:.0f} s. {_GO_ON}")

    def end(self) -> None:
        """Leave the cluster; one of our own ends."""
        self._ended.set()
        self.ray.shutdown()

    def _watch(self) -> None:
        while not self._ended.wait(PROBE_SECONDS):
            silent = not all(_answers(door) for door in self._doors)
            if not silent:
                self._silent_since = None
            elif self._silent_since is None:
                self._silent_since = time.monotonic()


_link: Link | None = None


def joined(address: str, cpus: int) -> Link:
    """The link to a cluster, made by the first call. StageError where that cannot be, in a line.

    Args:
        address: "host:port", "auto" or "ray://host:port"; "" starts a cluster on this machine, reached from it alone.
        cpus: of such a cluster: workers at a time.
    """
    global _link
    if _link is None:
        with doing("joining the Ray cluster" if address else "starting Ray on this machine"):
            _link = _begin(address, cpus)
        atexit.register(part)
    if _link.address != address:
        raise StageError(f"this process has joined {_link.address or 'a Ray of its own'} and cannot join {address} too")
    return _link


def part() -> None:
    """Leave the cluster that this process has joined, if it has."""
    global _link
    if _link is not None:
        _link.end()
        _link = None


def _begin(address: str, cpus: int) -> Link:
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "600"}
    # Ray takes the machine's outward address for 127.0.0.1, and listens everywhere then; without clusters of several machines,
    # which Windows has not, it stays at home.
    home = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if _is_loopback(address) else {}
    # Others of this machine reach a cluster at home, too: without its token they run nothing in it.
    own = (
        {}
        if address or "RAY_AUTH_MODE" in os.environ
        else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    )
    with variables(**quiet, **home, **own), _our_signals():
        ray = _imported()
        options: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "configure_logging": False}
        if not address:
            options |= {"num_cpus": cpus, "include_dashboard": False}
        try:
            info = ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            what = f"the Ray cluster at {address} cannot be joined" if address else "Ray does not start on this machine"
            raise StageError(f"{what}: {' '.join(str(error).split())[:400]}") from error
    return Link(ray, address, info)


def _imported() -> Any:
    try:
        import ray
        from ray._private import ray_constants, worker
    except ModuleNotFoundError as error:
        raise StageError(
            f"machine.executor is ray, and {error.name} is missing: {install.with_extra('ray')}"
        ) from error
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") != "0"  # imported before
    logging.getLogger("ray").setLevel(logging.ERROR)
    setattr(worker, "print_to_stdstream", _noted)  # noqa: B010 - else it prints pages to the terminal
    return ray


def _noted(message: Any, *_: Any, **__: Any) -> None:
    """What Ray has to say of its own processes, into the run's log."""
    log.info("%s", "\n".join(message.get("lines", ()))[:2000])


@contextmanager
def _our_signals() -> Iterator[None]:
    """Keep this process's own handling of Ctrl-C and SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_loopback(address: str) -> bool:
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if not address or host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _doors(info: Any) -> list[Any]:
    """Where a cluster is knocked at to know whether it is there: its head, and the node that this driver is attached to."""
    told = getattr(info, "address_info", None) or {}
    head, node = str(told.get("gcs_address") or ""), told.get("raylet_socket_name")
    host, _, port = head.rpartition(":")
    doors: list[Any] = [(host.strip("[]"), int(port))] if port.isdigit() else []
    return [*doors, node] if node else doors


def _answers(door: Any) -> bool:
    try:
        if isinstance(door, tuple):
            socket.create_connection(door, PROBE_TIMEOUT).close()
        else:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(PROBE_TIMEOUT)
                line.connect(door)
    except OSError:
        return False
    return True
