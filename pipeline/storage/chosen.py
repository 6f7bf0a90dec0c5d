"""Giving a run the storage that its settings name, once: later commands find it by the run's file alone."""

import uuid
from dataclasses import replace
from pathlib import Path

import filelock

from pipeline.base.errors import BadUse, UserError
from pipeline.base.reasons import Failure, Reason
from pipeline.storage import opened
from pipeline.storage.base import FOLDERS, Storage
from pipeline.storage.disk import DiskStorage
from pipeline.storage.where import MARK, Where, where_of, write

NOTE = "run"  # below the prefix: the id of the run that it is for


def choose(run: Path, url: str, cache: str, cache_gb: float) -> None:
    """Let a run's files lie where its settings say.

    Args:
        run: the run's folder.
        url: the storage; "" is the run's own folder.
        cache, cache_gb: where copies lie on this machine, "" for the user's cache folder, and how many GiB of them stay.

    Raises:
        BadUse: the run's files lie elsewhere already, the prefix is another run's, or the store cannot put under a condition.
    """
    if not url and where_of(run) is None:
        return
    locks = run / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(locks / "storage.lock"):  # shards that begin together make one note
        _choose(run, url, cache, cache_gb)


def _choose(run: Path, url: str, cache: str, cache_gb: float) -> None:
    now = where_of(run)
    holds = now if now and now.proven else None  # one that is not proven holds nothing yet
    if holds is None or holds.url != url:
        _refuse_to_leave(run, holds, url)
    if not url:
        (run / MARK).unlink()
        return
    wanted = replace(now, url=url, proven=now.proven and now.url == url) if now else Where(url, uuid.uuid4().hex)
    wanted = replace(wanted, cache=cache, cache_gb=cache_gb)
    if wanted != now:
        write(run, wanted)  # before the note: a kill between the two leaves no prefix that is nobody's
    try:
        if not wanted.proven:
            wanted = _own(wanted)
            write(run, wanted)
    except UserError as error:
        if isinstance(error, Failure) and error.reason is Reason.NETWORK:
            raise  # the prefix may be ours by now: the next call asks again
        if holds is None:
            (run / MARK).unlink(missing_ok=True)
        else:
            write(run, holds)
        raise


def _own(wanted: Where) -> Where:
    """Make the run the owner of its prefix. Returns: the storage, proven."""
    storage = opened(wanted)
    owner = storage.claim(NOTE, wanted.id)
    if owner == wanted.id:
        owner = storage.claim(
            NOTE, f"not {wanted.id}"
        )  # a store that takes this one would let two runs write over each other
        if owner != wanted.id:
            storage.delete(NOTE)
    if owner != wanted.id:
        why = (
            "does not keep what is there when it is asked to (If-None-Match): no run can lie in it"
            if owner.startswith("not ")
            else "holds another run: give each run a prefix of its own"
        )
        raise BadUse(f"machine.storage={wanted.url} {why}")
    return replace(wanted, proven=True)


def _refuse_to_leave(run: Path, now: Where | None, url: str) -> None:
    """Raise BadUse where files of the run would be left behind."""
    storage: Storage = DiskStorage(run) if now is None else opened(now)
    held = next((entry.key for folder in FOLDERS for entry in storage.list(folder)), "")
    if not held:
        return
    here = f"in {now.url}" if now else "in the run itself"
    keep = f"--set machine.storage={now.url}" if now else "--reset machine.storage"
    there = url or str(run)
    raise BadUse(
        f"{run}: its files lie {here} (such as {held}), and machine.storage says {url or 'the run itself'}: go on with {keep}, "
        f"or first copy {', '.join(FOLDERS)} to {there} and delete them where they were"
    )
