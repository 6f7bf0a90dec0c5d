"""Results outside the tables: the files that rows promise, and which of them are missing or have another size.

A folder is listed once; nothing is read. What a row says of a file stands in the columns of `Kind.files` and `Kind.listings`,
so that a kind of a new stage is looked after by declaring them.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pipeline.base.hashes import sha256_of
from pipeline.storage import Storage, tombstone_of
from pipeline.tables.kinds import KINDS
from pipeline.tables.listings import Listings
from pipeline.tables.store import Store

FEW = 500  # files are looked at one by one, without listing their folder


class Promise(NamedTuple):
    """A file that a row names.

    Attributes:
        unit: of the row.
        path: relative to the run, or absolute.
        bytes: its size; None where the row does not say.
        sha256: in hex; None likewise.
    """

    unit: str
    path: str
    bytes: int | None = None
    sha256: str | None = None

    @property
    def ours(self) -> bool:
        """Whether it lies in the folder of its tables: what was used where it was found is somebody else's."""
        path = self.path  # of a hundred thousand: `PurePath` would take seconds
        return not path.startswith(("/", "../")) and "/../" not in path


class BrokenPromise(NamedTuple):
    """A promise that is not kept, and what is wrong with the file, as a clause."""

    promise: Promise
    problem: str


def promised(store: Store, kind: str, *, live: bool = False, hashes: bool = False) -> list[Promise]:
    """The files that winning rows of a kind name; with `live`, of those rows alone whose parents count; with `hashes`, theirs."""
    spec = KINDS[kind]
    if not spec.files and not spec.listings:
        return []
    about = [(c.path, c.bytes, c.sha256 if hashes else "") for c in spec.files]
    names = [name for columns in about for name in columns if name]
    wanted = [*dict.fromkeys([*names, *spec.listings])]
    rows = store.live(kind, wanted) if live else store.rows(kind, wanted)
    table = {name: rows[name].to_pylist() for name in dict.fromkeys(["unit", *wanted])}
    nothing = [None] * len(rows)
    found = [
        Promise(unit, path, size, sha256)
        for path_column, size_column, hash_column in about
        for unit, path, size, sha256 in zip(
            *(table["unit"], table[path_column], table.get(size_column, nothing), table.get(hash_column, nothing)),
            strict=True,
        )
        if path
    ]
    for name in spec.listings:
        for unit, listing in zip(table["unit"], table[name], strict=True):
            found += [Promise(unit, path, *known) for path, known in read_listing(listing).items()]
    # a listing says more of a file than its path
    listed = {(one.unit, one.path): one for one in found} if spec.listings else {}
    return list(listed.values()) or found


def stored_listing(storage: Storage, keys: Iterable[str]) -> dict[str, tuple[int, str]]:
    """{key: (bytes, sha256)} of stored files; those that are not there are left out."""
    found = {key: (storage.size(key), storage.sha256(key)) for key in sorted(keys)}
    return {key: (size, sha256) for key, (size, sha256) in found.items() if size is not None and sha256 is not None}


def listing_of(
    run: Path, paths: Iterable[Path], known: Mapping[Path, tuple[int, str]] = MappingProxyType({})
) -> dict[str, tuple[int, str]]:
    """{path relative to the run: (bytes, sha256)} of files that were just written, in the order of their names.

    Args:
        run: folder.
        paths: the files.
        known: bytes and sha256 of those of which the writer knows them; the rest is read.
    """
    return {
        path.relative_to(run).as_posix(): known.get(path) or (path.stat().st_size, sha256_of(path))
        for path in sorted(paths)
    }


def write_listing(listing: Mapping[str, tuple[int, str]]) -> str:
    """A listing as it stands in a row."""
    return json.dumps(listing)


def read_listing(text: str | None) -> dict[str, tuple[int, str]]:
    """The reverse of `write_listing`; nothing where there is none."""
    return {path: (int(size), str(sha256)) for path, (size, sha256) in json.loads(text).items()} if text else {}


def broken(storage: Storage, promises: Collection[Promise], listings: Listings | None = None) -> list[BrokenPromise]:
    """Which files are missing or have another size, those freed on purpose left out; one listing of each folder at most.

    Args:
        storage: of the run.
        promises: all that are looked after.
        listings: of before, where several stages ask in turn.

    Raises OSError where the disk cannot be read: that is no damage.
    """
    sizes = _listed(storage, promises, listings or Listings()) if storage.remote or len(promises) > FEW else {}
    found = []
    for one in promises:
        if one.path in sizes and one.bytes in (None, sizes[one.path]):
            continue
        if one.path not in sizes and tombstone_of(one.path) in sizes:
            continue
        # a link, which no listing holds, or a file that has just been written, is there
        if problem := _problem(storage, one):
            found.append(BrokenPromise(one, problem))
    return found


def _listed(storage: Storage, promises: Iterable[Promise], listings: Listings) -> Mapping[str, int]:
    folders = {one.path.partition("/")[0] for one in promises if "/" in one.path} - {"", ".."}
    found = [listings.sizes(storage, folder) for folder in sorted(folders)]
    return found[0] if len(found) == 1 else {key: size for sizes in found for key, size in sizes.items()}


def _problem(storage: Storage, one: Promise) -> str:
    """What is wrong with a file; "" where nothing is, or where it was freed on purpose."""
    size = storage.size(one.path)
    if size is None:
        return "" if one.ours and storage.exists(tombstone_of(one.path)) else "is missing"
    if one.bytes is None or size == one.bytes:
        return ""
    return (
        f"has {size:,} of {one.bytes:,} bytes" if size < one.bytes else f"has {size:,} bytes in place of {one.bytes:,}"
    )


def altered(storage: Storage, promises: Iterable[Promise]) -> Iterator[BrokenPromise | None]:
    """Read files and compare their sha256: of each what is wrong, or None; one that was freed on purpose is well."""
    for one in promises:
        if one.sha256:
            # `broken` tells those that should be there
            same = storage.sha256(one.path) in (None, one.sha256)
            yield None if same else BrokenPromise(one, "holds other bytes than were written (its sha256 differs)")
