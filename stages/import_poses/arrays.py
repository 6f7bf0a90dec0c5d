"""Arrays from bytes that somebody else wrote: never pickle, and nothing is allocated before its header was checked."""

import io
import tokenize
import zipfile

import numpy as np
from numpy.typing import NDArray

from pipeline.skeleton.released import POINTS

MAX_PERSONS = 64
_MAX_HEADER = 4096
_MAX_MEMBERS = 64
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"


class BadArray(ValueError):
    """Bytes that hold no array of poses; the message says why."""


def read_poses(data: bytes, max_bytes: int) -> NDArray[np.floating]:
    """The poses (F, P, 134, 3) of an .npy or .npz file; (F, 134, 3) is one person. At most so many bytes. Raises BadArray."""
    if data.startswith(_NPY):
        return _read(data, max_bytes)
    if data.startswith(_ZIP):
        return _from_npz(data, max_bytes)
    if data[:1] == b"\x80":
        raise BadArray("a pickle, which is never read")
    raise BadArray(f"neither .npy nor .npz: it begins with {data[:8]!r}")


def _read(data: bytes, max_bytes: int) -> NDArray[np.floating]:
    stream = io.BytesIO(data)
    shape, fortran, dtype = _header(stream)
    problem = _unfit(shape, dtype)
    if problem:
        raise BadArray(problem)
    count = int(np.prod([int(side) for side in shape], dtype=object))
    if count * dtype.itemsize > max_bytes:
        raise BadArray(f"{count * dtype.itemsize} bytes, limit {max_bytes}")
    body = memoryview(data)[stream.tell() :]
    if len(body) != count * dtype.itemsize:
        raise BadArray(f"its header announces {count * dtype.itemsize} bytes and {len(body)} follow")
    array = np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")
    return array if array.ndim == 4 else array[:, None]


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        return read(stream, max_header_size=_MAX_HEADER)
    except KeyError:
        raise BadArray("an .npy file of an unknown version") from None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise BadArray(f"its .npy header cannot be read: {str(error)[:120]}") from None


def _unfit(shape: tuple[int, ...], dtype: np.dtype) -> str:
    """Why an array of this kind holds no poses; "" when it may."""
    if dtype.hasobject:
        return "its values are pickled objects, which are never read"
    if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
        return f"its values are {dtype}, not floats"
    if len(shape) not in (3, 4) or shape[-2:] != (POINTS, 3) or not all(side > 0 for side in shape):
        return f"its shape is {shape}, not (frames, persons, {POINTS}, 3)"
    if len(shape) == 4 and shape[1] > MAX_PERSONS:
        return f"{shape[1]} persons, limit {MAX_PERSONS}"
    return ""


def _from_npz(data: bytes, max_bytes: int) -> NDArray[np.floating]:
    """The only array of an .npz file that may hold poses."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > _MAX_MEMBERS:
                raise BadArray(f"an .npz file of {len(infos)} arrays")
            arrays, problems = [], []
            for info in infos:
                with archive.open(info) as member:
                    head = io.BytesIO(member.read(_MAX_HEADER + 64))
                problem = _unfit_head(head)
                if not problem:
                    arrays.append(info)
                else:
                    problems.append(f"{info.filename[:40]}: {problem}")
            if len(arrays) != 1:
                raise BadArray(
                    f"{len(arrays)} of its arrays may be the poses" + "".join(f"; {p}" for p in problems[:3])
                )
            if arrays[0].file_size > max_bytes + _MAX_HEADER:
                raise BadArray(f"{arrays[0].file_size} bytes, limit {max_bytes}")
            with archive.open(arrays[0]) as member:
                return _read(member.read(max_bytes + _MAX_HEADER), max_bytes)
    except BadArray:
        raise
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise BadArray(f"its .npz cannot be read: {error}") from None
    except Exception as error:  # zlib and lzma have errors of their own
        if type(error).__module__ in ("zlib", "lzma", "_lzma"):
            raise BadArray(f"its .npz cannot be read: {error}") from None
        raise


def _unfit_head(head: io.BytesIO) -> str:
    try:
        shape, _, dtype = _header(head)
    except BadArray as error:
        return str(error)
    return _unfit(shape, dtype)
