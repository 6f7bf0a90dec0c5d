"""The disk of a run: room, what kind of file system it is and what it can do, and the clock."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import filelock
import psutil

from pipeline.base import files
from pipeline.engine.profile import Profile
from pipeline.views.doctor.finding import MISSING, OK, WARN, Finding

GIGA = 2**30
_LEAST_CACHE_GIGABYTES = 2.0  # the nets of `folder` take a third of that
_SHARED = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "fuse", "9p", "afs", "glusterfs")
_FLEETING = ("tmpfs", "ramfs")
_FIRST_YEAR, _LAST_YEAR = 2026, 2100
_SKEW_SECONDS = 2.0  # file systems keep whole seconds, some every second one


def nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())


def room(profile: Profile, run: Path, cache: Path) -> Iterator[Finding]:
    """Room for the run, against the limit at which downloads stop, and for nets."""
    for what, folder, least in (
        ("runs", nearest(run), profile.web.min_free_gigabytes),
        ("nets", nearest(cache), _LEAST_CACHE_GIGABYTES),
    ):
        usage = shutil.disk_usage(folder)
        text = f"{what}: {usage.free / GIGA:,.1f} of {usage.total / GIGA:,.1f} GiB free at {folder}"
        if usage.free < least * GIGA:
            stops = "downloads stop there (web.min_free_gigabytes)" if what == "runs" else "nets may not fit"
            yield Finding(
                WARN, "disk", f"{text}, under {least:g} GiB: {stops}", "free some, or name another --run folder"
            )
        else:
            yield Finding(OK, "disk", text)


def file_system(run: Path) -> Iterator[Finding]:
    """The kind of file system, and whether what commits rest on works there: rename, fsync, locks."""
    folder = nearest(run)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            MISSING,
            "file system",
            f"{folder} cannot be written",
            "check its owner and mount, or name another --run folder",
        )
        return
    kind = kind_of(folder)
    with _scratch(folder) as scratch:
        failed = [name for name, works in _WORKS.items() if not works(scratch)]
    text = f"{kind} at {folder}"
    if failed:
        yield Finding(MISSING, "file system", f"{text}: {', '.join(failed)} failed", "put runs on another disk")
    elif kind.startswith(_SHARED):
        advice = "many small files are slow here, and locks may not reach other machines: a heartbeat does"
        yield Finding(WARN, "file system", f"{text}: shared; rename, fsync and locks work", advice)
    elif kind in _FLEETING:
        yield Finding(WARN, "file system", f"{text}: memory, gone after a restart", "put runs on a disk")
    else:
        yield Finding(OK, "file system", f"{text}: rename, fsync and locks work")


def kind_of(folder: Path) -> str:
    """The file system of a folder: ext4, nfs4, overlay ...; "unknown" where the machine does not say."""
    there = folder.resolve()
    mounts = [one for one in psutil.disk_partitions(all=True) if there.is_relative_to(one.mountpoint)]
    return max(mounts, key=lambda one: len(one.mountpoint)).fstype if mounts else "unknown"


def clock(run: Path) -> Iterator[Finding]:
    """The clock of this machine against reason, and against that of the file system."""
    now = datetime.now(UTC)
    with _scratch(nearest(run)) as scratch:
        before = time.time()
        (scratch / "now").write_text("now")
        skew = (scratch / "now").stat().st_mtime - before
    text = f"{now:%Y-%m-%d %H:%M} UTC, {abs(skew):.1f} s from that of the file system"
    if not _FIRST_YEAR <= now.year <= _LAST_YEAR:
        yield Finding(MISSING, "clock", text, "set it: certificates of web sites fail, and outcomes get wrong dates")
    elif abs(skew) > _SKEW_SECONDS:
        yield Finding(WARN, "clock", text, "let NTP set the clocks: drivers on other machines are judged by heartbeats")
    else:
        yield Finding(OK, "clock", text)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder that goes; `gc` knows its name should it stay."""
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY, dir=folder) as made:
        yield Path(made)


def _renames(scratch: Path) -> bool:
    for name in ("old", "new"):
        (scratch / name).write_text(name)
    (scratch / "new").replace(scratch / "old")
    return (scratch / "old").read_text() == "new"


def _syncs(scratch: Path) -> bool:
    (scratch / "synced").write_text("x")
    try:
        files.sync(scratch / "synced")
        files.sync(scratch)
    except OSError:
        return False
    return True


def _locks(scratch: Path) -> bool:
    first, second = (filelock.FileLock(scratch / "lock", timeout=0, is_singleton=False) for _ in range(2))
    try:
        with first:
            try:
                second.acquire()
            except filelock.Timeout:
                return True
            second.release()
            return False
    except (OSError, NotImplementedError):
        return False


_WORKS = {"rename": _renames, "fsync": _syncs, "a lock": _locks}
