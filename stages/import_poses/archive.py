"""An archive of released poses: a ZIP file, its parts, a folder of its files, or the skeletons of our own release.

Nothing is unpacked to the disk. A member is found by its clip's name, in either of the forms in which names are written, and read
by itself, its sizes checked before and while it is inflated.
"""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.base.errors import StageError
from pipeline.shards.release import VERSION, VERSION_KEY, schema, skeletons_of
from pipeline.tables.hashing import digest
from stages.import_poses.arrays import BadArray, read_poses
from stages.import_poses.index import PICKLES, SUFFIXES, Entry, Index, State, key_of_member, safe
from stages.import_poses.parts import open_joined, parts_of

Form = Literal["zip", "folder", "release"]

_MAX_RATIO = 200  # floats shrink to a half; arrays that are mostly zeros to a thousandth
_RATIO_FROM_BYTES = 16 << 20
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC = b"PK\x03\x04"
_UTF8 = 0x800
_TAIL_BYTES = 256 << 10
_VERSIONS = ("1", VERSION.split(".")[0])  # of releases; skeletons are the same in both


@dataclass(frozen=True)
class Limits:
    """What an archive may ask of this machine: bytes of one member and of all together once unpacked, and members."""

    member_bytes: int = 256 << 20
    total_bytes: int = 4 << 40
    members: int = 5_000_000


@dataclass(frozen=True)
class Archive:
    """What workers are told: the form, the files or the folder, and where the index lies."""

    form: Form
    paths: tuple[Path, ...]
    index: Path
    limits: Limits = Limits()


def form_of(path: Path) -> tuple[Form, tuple[Path, ...]]:
    """What an archive is, and its files in order. Raises StageError when there is none, or a part is missing."""
    path = Path(path)
    skeletons = skeletons_of(path)
    if skeletons and all(map(Path.is_file, skeletons)):
        return "release", skeletons
    if path.is_dir():
        zips = [p for p in sorted(path.iterdir()) if ".zip.part" in p.name or p.suffix == ".zip"]
        if not zips:
            return "folder", (path,)
        return "zip", tuple(parts_of(next((p for p in zips if p.suffix == ".zip"), zips[0])))
    return "zip", tuple(parts_of(path))


def identity(path: Path) -> str:
    """What tells one archive from another without reading it: sizes, and its directory's last bytes or its files' names."""
    form, paths = form_of(path)
    if form == "folder":
        listed = (f"{name} {size}" for name, _, size in sorted(_walk(paths[0])))
        return f"folder {digest(*listed):016x}"
    if form == "release" and len(paths) > 1:
        return f"release {digest(*(_tail((one,)) for one in paths)):016x}"
    return f"{form} {_tail(paths)}"


def _tail(paths: tuple[Path, ...]) -> str:
    """The size of files taken as one, and a hash of its last bytes."""
    with open_joined(paths) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        return f"{size} {digest(file.read()):016x}"


def build(path: Path, folder: Path, limits: Limits) -> Archive:
    """Index an archive into a folder. Raises StageError when it cannot be read as a whole."""
    form, paths = form_of(path)
    index = {"zip": _index_zip, "folder": _index_folder, "release": _index_release}[form](paths, limits)
    if not len(index):
        raise StageError(f"{path} holds no poses: expected .npy or .npz files named as the manifest names clips")
    index.save(folder)
    return Archive(form, paths, folder, limits)


def _index_zip(paths: tuple[Path, ...], limits: Limits) -> Index:
    try:
        with open_joined(paths) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            end = archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError) as error:
        parts = f" (parts {paths[0].name} to {paths[-1].name})" if len(paths) > 1 else ""
        advice = "is the last part here, and every download whole?" if parts else "is the download whole?"
        raise StageError(f"{paths[0]}{parts} is no whole ZIP archive: {error}; {advice}") from None
    if len(members) > limits.members:
        raise StageError(f"{paths[0]} holds {len(members)} members, limit {limits.members}")
    total = sum(member.file_size for member in members)
    if total > limits.total_bytes:
        raise StageError(f"{paths[0]} would unpack to {total / 2**30:.0f} GiB, limit {limits.total_bytes / 2**30:.0f}")
    overlapping = _overlapping(members, end)
    return Index.of(
        (key_of_member(member.filename), _entry(member, limits, number in overlapping))
        for number, member in enumerate(members)
        if _wanted(member.filename) and not member.is_dir()
    )


def _overlapping(members: list[zipfile.ZipInfo], end: int) -> set[int]:
    """Members whose bytes run into the next one's header or the directory, or begin before the file: the trick of small bombs."""
    starts = np.array([member.header_offset for member in members], np.int64)
    stops = starts + _LOCAL.size + np.array([member.compress_size for member in members], np.int64)
    order = np.argsort(starts, kind="stable")
    following = np.append(starts[order][1:], end)
    return set(order[(stops[order] > following) | (starts[order] < 0)].tolist())


def _entry(member: zipfile.ZipInfo, limits: Limits, overlaps: bool) -> Entry:
    kind = stat.S_IFMT(member.external_attr >> 16)
    bomb = member.file_size > _RATIO_FROM_BYTES and member.file_size > _MAX_RATIO * max(1, member.compress_size)
    checks = {
        State.UNSAFE_NAME: not safe(member.orig_filename),
        State.LINK: kind not in (0, stat.S_IFREG),
        State.ENCRYPTED: bool(member.flag_bits & 1),
        State.PICKLE: member.filename.lower().endswith(PICKLES),
        State.OVERLAPS: overlaps,
        State.TOO_LARGE: max(member.file_size, member.compress_size) > limits.member_bytes,
        State.BOMB: bomb,
        State.UNKNOWN_METHOD: member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
    }
    state = next((state for state, wrong in checks.items() if wrong), State.FINE)
    sizes = max(0, member.header_offset), member.compress_size, member.file_size, member.CRC
    return Entry(member.filename, *sizes, member.compress_type, state)


def _wanted(name: str) -> bool:
    """Arrays, and pickles, so that it can be said why these are not read; not the notes that macOS leaves."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return last.lower().endswith((*SUFFIXES, *PICKLES)) and not last.startswith("._")


def _index_folder(paths: tuple[Path, ...], limits: Limits) -> Index:
    entries = []
    for name, link, size in _walk(paths[0]):
        states = {
            State.LINK: link,
            State.PICKLE: name.lower().endswith(PICKLES),
            State.TOO_LARGE: size > limits.member_bytes,
        }
        state = next((state for state, wrong in states.items() if wrong), State.FINE)
        entries.append((key_of_member(name), Entry(name, size=size, state=state)))
    return Index.of(entries)


def _walk(root: Path) -> Iterator[tuple[str, bool, int]]:
    """(path within the folder, is a link, bytes) of every array in it; links to folders are not followed."""
    pending = [""]
    while pending:
        inside = pending.pop()
        with os.scandir(root / inside) as entries:
            for entry in entries:
                name = f"{inside}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{name}/")
                elif _wanted(entry.name):
                    yield name, entry.is_symlink(), entry.stat(follow_symlinks=False).st_size


def _index_release(paths: tuple[Path, ...], limits: Limits) -> Index:
    """Where each row of each file is: `offset` is its number in the file, `size` the file's."""
    rows: list[tuple[str, Entry]] = []
    for file, path in enumerate(paths):
        clips = _released_clips(path, limits)
        rows += ((release_key(clip), Entry(clip, offset=at, size=file)) for at, clip in enumerate(clips))
        if len(rows) > limits.members:
            raise StageError(f"{path} holds, with the files before it, {len(rows)} rows, limit {limits.members}")
    return Index.of(rows, unique=False)


def _released_clips(path: Path, limits: Limits) -> list[str]:
    try:
        with pq.ParquetFile(path) as file:
            version = (file.schema_arrow.metadata or {}).get(VERSION_KEY, b"none").decode()
            if version.split(".")[0] not in _VERSIONS:
                raise StageError(f"{path} has the form {version} of released skeletons, and this reads {VERSION}")
            _check_release(path, file, limits)
            return [clip or "" for clip in file.read(columns=["clip_id"])["clip_id"].to_pylist()]
    except (OSError, ValueError, KeyError) as error:
        raise StageError(f"{path} holds no released skeletons: {error}") from None


def _check_release(path: Path, file: "pq.ParquetFile", limits: Limits) -> None:
    """Raise StageError when the skeletons are too many, too large, or of other types than those that are released."""
    if file.metadata.num_rows > limits.members:
        raise StageError(f"{path} holds {file.metadata.num_rows} rows, limit {limits.members}")
    largest = max((file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups)), default=0)
    if largest > limits.member_bytes:
        raise StageError(f"{path} has row groups of {largest} bytes, limit {limits.member_bytes}")
    stored = file.schema_arrow
    odd = [f.name for f in schema() if f.name not in stored.names or stored.field(f.name).type != f.type]
    if odd:
        raise StageError(f"{path} holds no released skeletons: {', '.join(odd)} missing or of another type")


def release_key(clip_id: str) -> str:
    """The beginning of a clip: its length may differ by what another encoding of its video lacks at the end."""
    return clip_id.rpartition("+")[0]


class MissingPoses(LookupError):
    """The archive has no readable member for a clip; the message says why."""


class Reader:
    """Reads members by name, in a worker.

    Args:
        archive: what the driver built.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.index = Index.load(archive.index)
        self._file: io.BufferedReader | None = None

    def poses(self, name: str) -> NDArray[np.floating]:
        """The poses (F, P, 134, 3) of the clip of this name. Raises MissingPoses, BadArray."""
        key = key_of_member(name)
        entries = [entry for entry in self.index.find(key) if key_of_member(entry.name) == key]
        if not entries:
            raise MissingPoses(f"the archive has no member named {key}")
        entry = entries[0]
        if entry.state != State.FINE:
            raise MissingPoses(f"{entry.name[:120]} is not read: {entry.state.sentence}")
        data = self._member(entry) if self.archive.form == "zip" else self._loose(entry)
        try:
            return read_poses(data, self.archive.limits.member_bytes)
        except BadArray as error:
            raise BadArray(f"{entry.name[:120]}: {error}") from None

    def rows(self, clip_id: str) -> list[Entry]:
        """Where the speakers of clips that begin like this one stand in our own release."""
        key = release_key(clip_id)
        return [entry for entry in self.index.find(key) if release_key(entry.name) == key]

    def _member(self, entry: Entry) -> bytes:
        """The bytes of a member, inflated to its announced size and no further."""
        if self._file is None:
            self._file = open_joined(self.archive.paths)
        file = self._file
        file.seek(entry.offset)
        head = _exactly(file, _LOCAL.size, entry)
        magic, _, flags, method, _, _, _, _, _, name_bytes, extra_bytes = _LOCAL.unpack(head)
        name = _exactly(file, name_bytes, entry).decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        if magic != _LOCAL_MAGIC or method != entry.method or key_of_member(name) != key_of_member(entry.name):
            raise BadArray(f"{entry.name[:120]}: the directory of the archive leads elsewhere")
        _exactly(file, extra_bytes, entry)
        data = _exactly(file, entry.packed, entry)
        if method == zipfile.ZIP_DEFLATED:
            data = _inflated(data, entry)
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise BadArray(f"{entry.name[:120]}: its bytes are damaged")
        return data

    def _loose(self, entry: Entry) -> bytes:
        """The bytes of a file of the folder, if it is still the regular file that was indexed."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)
        try:
            handle = os.open(self.archive.paths[0] / entry.name, flags)
        except OSError as error:
            raise MissingPoses(f"{entry.name[:120]}: {error.strerror}") from None
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise MissingPoses(f"{entry.name[:120]} is no regular file")
            return file.read(self.archive.limits.member_bytes)


def _exactly(file: io.BufferedReader, count: int, entry: Entry) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise BadArray(f"{entry.name[:120]}: the archive ends within it")
    return data


def _inflated(data: bytes, entry: Entry) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        out = inflater.decompress(data, entry.size + 1)
    except zlib.error as error:
        raise BadArray(f"{entry.name[:120]}: {error}") from None
    if len(out) > entry.size:
        raise BadArray(f"{entry.name[:120]} unpacks to more than the {entry.size} bytes that it announces")
    return out
