"""Drivers on several machines of which the disk carries no locks, and whose clocks and names prove nothing."""

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import pytest

from pipeline.base.errors import StageError
from pipeline.engine.commits import Commits
from pipeline.engine.plan import plan
from pipeline.tables import drivers, heartbeat, lock
from pipeline.tables.drivers import drivers as drivers_of
from pipeline.tables.lock import NoLocks, Occupied, at_work, driving, program, taken_over
from pipeline.tables.store import Store
from tests.pipeline.engine import toys

KIND = "videos"


class Hosts:
    """Machines that share a disk without locks: each has locks, a name, a boot and a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch, self._folder = monkeypatch, folder
        self._real = (filelock.FileLock, time.time)
        self.at = threading.local()
        monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.1)
        monkeypatch.setattr(heartbeat, "machine", lambda: f"boot of {self.name}")
        monkeypatch.setattr(socket, "gethostname", lambda: getattr(self.at, "called", self.name))
        monkeypatch.setattr(filelock, "FileLock", self._lock)
        monkeypatch.setattr(heartbeat.time, "time", lambda: self._real[1]() + getattr(self.at, "ahead", 0.0))

    @property
    def name(self) -> str:
        return str(getattr(self.at, "name", "host"))

    def _lock(self, path: Path, **options: Any) -> Any:
        own = self._folder / self.name / Path(path).name
        own.parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()  # it is seen, and holds nobody off
        return self._real[0](own, **options)

    @contextmanager
    def on(self, name: str, *, called: str = "", ahead: float = 0.0) -> Iterator[None]:
        """Be on a machine, in this thread."""
        self.at.name, self.at.called, self.at.ahead = name, called or name, ahead
        try:
            yield
        finally:
            del self.at.name, self.at.called, self.at.ahead


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hosts:
    heartbeat._dead.clear()
    return Hosts(monkeypatch, tmp_path / "own locks")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def beat_of(run: Path, name: str = KIND) -> Path:
    return run / "locks" / f"{name}.heartbeat.json"


class Elsewhere:
    """A driver on another machine, in a thread, until it is told to end or dies."""

    def __init__(self, hosts: Hosts, run: Path, name: str, shard: Any = None, **about: Any) -> None:
        self.begun, self.stop, self.error = threading.Event(), threading.Event(), ""

        def work() -> None:
            with hosts.on(name, **about):
                try:
                    with driving(run, KIND, shard):
                        self.begun.set()
                        self.stop.wait(60)
                except Occupied as occupied:
                    self.error = str(occupied)
                self.begun.set()

        self.thread = threading.Thread(target=work)

    def __enter__(self) -> "Elsewhere":
        self.thread.start()
        assert self.begun.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize("ahead", [-86400.0, 0.0, 86400.0])
@pytest.mark.parametrize("called", ["", "localhost"])
def test_a_driver_elsewhere_is_seen_whatever_its_clock_and_name(
    hosts: Hosts, run: Path, ahead: float, called: str
) -> None:
    with Elsewhere(hosts, run, "a", ahead=ahead, called=called), hosts.on("b", called=called):
        assert list(at_work(run, [KIND])) == [KIND]
        assert [one.writes for one in drivers_of(run)] == [KIND]
        with pytest.raises(Occupied, match=f"on {called or 'a'} is writing videos"), driving(run, KIND):
            pass
    with hosts.on("b"), driving(run, KIND):
        pass


def test_shards_on_two_machines_work_side_by_side_and_others_are_refused(hosts: Hosts, run: Path) -> None:
    with Elsewhere(hosts, run, "a", (0, 2)) as first, hosts.on("b"):
        assert not first.error
        with driving(run, KIND, (1, 2)):
            assert list(at_work(run, [KIND])) == ["videos.1-of-2", "videos.0-of-2"]
        for rival in ((0, 2), None, (0, 3)):
            with pytest.raises(Occupied, match=r"is writing videos.0-of-2"), driving(run, KIND, rival):
                pass


def abandoned(hosts: Hosts, run: Path, **more: Any) -> None:
    """What a driver leaves that was killed with its machine."""
    with hosts.on("a"), Elsewhere(hosts, run, "a"):
        left = json.loads(beat_of(run).read_bytes())
    beat_of(run).write_text(json.dumps({**left, **more}))


@pytest.mark.parametrize(
    "more",
    [{}, {"time": 4e9}, {"pid": os.getpid()}, {"machine": None, "host": None}],
    ids=["as it was", "its clock ahead", "our process id", "nameless"],
)
def test_what_a_dead_machine_left_is_taken_over(hosts: Hosts, run: Path, more: dict[str, Any], capsys: Any) -> None:
    """Its clock was wrong, its process id is one of ours, or it does not say where it was: it does not beat."""
    abandoned(hosts, run, **more)
    with hosts.on("b"):
        assert at_work(run, [KIND]) == {}
        with driving(run, KIND):
            assert json.loads(beat_of(run).read_bytes())["host"] == "b"
    assert not beat_of(run).exists() and not list((run / "locks").glob(".*heartbeat*"))
    assert "still works on videos" in capsys.readouterr().err


def test_a_heartbeat_that_was_watched_to_its_end_is_not_watched_again(
    hosts: Hosts, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned(hosts, run)
    with hosts.on("b"):
        assert at_work(run, [KIND]) == {}
        monkeypatch.setattr(heartbeat.time, "sleep", lambda _: pytest.fail("it waits again"))
        assert at_work(run, [KIND]) == {}


def test_two_that_begin_at_once_without_locks_do_not_both_drive(hosts: Hosts, run: Path) -> None:
    """Both have looked and seen nobody: the file that one makes first keeps the other out."""
    looked = lock._refuse_rivals

    def and_then_a_rival(folder: Path, kind: str, name: str, shard: Any) -> Any:
        known = looked(folder, kind, name, shard)
        if hosts.name == "b":
            stack.enter_context(Elsewhere(hosts, run, "a", rival))
        return known

    for own, other in ((None, None), (None, (0, 2)), ((1, 2), None), ((1, 2), (0, 3))):
        rival = other
        with ExitStack() as stack, pytest.MonkeyPatch.context() as patch, hosts.on("b"):
            patch.setattr(lock, "_refuse_rivals", and_then_a_rival)
            with pytest.raises(Occupied, match="on a began to write"), driving(run, KIND, own):
                pass


def test_two_that_take_over_from_the_same_dead_one_do_not_both_drive(hosts: Hosts, run: Path) -> None:
    """The slower one puts aside what the faster one made, sees that, and puts it back."""
    abandoned(hosts, run)
    stale = heartbeat.sample(beat_of(run))
    with hosts.on("a"):
        faster = heartbeat.Heartbeat(beat_of(run))
        faster.take(stale)
        slower = heartbeat.Heartbeat(beat_of(run))
        with pytest.raises(heartbeat.Taken):
            slower.take(stale)
        assert faster.is_ours()
        faster.end()
    assert not list((run / "locks").glob("*heartbeat*")) and not list((run / "locks").glob(".*heartbeat*"))


def test_a_driver_that_was_taken_for_dead_commits_nothing_more(hosts: Hosts, run: Path) -> None:
    """Suspended for long, it wakes up while another one drives: it stops before it writes, and its end takes nothing away."""
    stage = toys.ToyCrawl(units=("a",))
    store = Store(run)
    with hosts.on("a"), driving(run, KIND):
        commits = Commits(stage, store, plan(stage, store))
        commits.check_there()
        beat_of(run).rename(run / "locks" / "aside")
        with Elsewhere(hosts, run, "b") as other:
            assert not other.error and taken_over(run, KIND) == f"process {os.getpid()} on b"
            with pytest.raises(StageError, match=r"on b took videos over.*what was committed is safe"):
                commits.check_there()
    assert not (run / "tables").exists()


def test_a_driver_does_not_end_the_heartbeat_of_the_one_that_took_over(hosts: Hosts, run: Path) -> None:
    with ExitStack() as stack:
        with hosts.on("a"), driving(run, KIND):
            beat_of(run).unlink()
            stack.enter_context(Elsewhere(hosts, run, "b"))
        assert json.loads(beat_of(run).read_bytes())["host"] == "b"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
@pytest.mark.parametrize("take", [lambda run: driving(run, KIND), program])
def test_a_disk_that_cannot_lock_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, number: int, take: Callable[[Path], Any]
) -> None:
    run.mkdir()

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    told = f"cannot be locked .*{os.strerror(number)}.*NFS: without nolock.*give --run a folder on another disk"
    with pytest.raises(NoLocks, match=told), take(run):
        pass
    assert list((run / "locks").iterdir()) == []


def test_locks_that_keep_nobody_out_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(NoLocks, match="a second lock of a file is given beside the first"), driving(run, KIND):
        pass


def test_where_nothing_can_be_written_a_foreign_heartbeat_is_read_by_our_clock(
    hosts: Hosts, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned(hosts, run)

    def touch(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "read-only")

    with hosts.on("b"):
        assert drivers._fresh(beat_of(run))
        monkeypatch.setattr(Path, "touch", touch)
        assert drivers._fresh(beat_of(run))
        os.utime(beat_of(run), (1, 1))
        assert not drivers._fresh(beat_of(run))


def test_a_reader_never_sees_the_end_of_an_older_beat(hosts: Hosts, run: Path) -> None:
    with hosts.on("a name of some length"), Elsewhere(hosts, run, "x" * 60):
        for _ in range(20):
            with suppress(FileNotFoundError):
                assert json.loads(beat_of(run).read_bytes())["host"] == "x" * 60
