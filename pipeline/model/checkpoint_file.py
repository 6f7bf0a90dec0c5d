"""Reading of a foreign PyTorch checkpoint, of which nothing is trusted."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.registry.archives import BadModel

LARGEST_PICKLE_BYTES = 64 << 20  # what describes the tensors; that of 209 with their optimiser has 100 kB
MOST_MEMBERS = 100_000
_UNREADABLE = (  # what torch raises over a damaged file
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError),
    *(OSError, EOFError, MemoryError, OverflowError, struct.error),
)


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """The mapping that `torch.save` wrote, on the processor; tensors are mapped from the file, so that only those used are read.

    Raises:
        BadModel: the file is truncated, of another form, asks for code to be run, or claims to be larger than it is.
    """
    _check_archive(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        why = str(error)
        asked = why.partition("GLOBAL ")[2].split() or why.partition("Unsupported global: ")[2].split()
        what = f"it asks for {asked[0]}" if asked else "its pickle holds more than tensors and plain containers"
        raise BadModel(
            f"{path} is refused, because reading it would run code or build foreign objects: {what}"
        ) from error
    except _UNREADABLE as error:
        trouble = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadModel(f"{path} is damaged, or no PyTorch checkpoint: {trouble[:200]}") from error
    if not isinstance(held, dict):
        raise BadModel(f"{path} holds a {type(held).__name__}, not the mapping of a checkpoint")
    return held


def _check_archive(path: Path) -> None:
    """Look at the form of the file and the sizes that it claims, before anything of it is read."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
        size = path.stat().st_size
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
            raise BadModel(f"{path} is a safetensors file, not the .pth checkpoint that the authors' scripts save")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadModel(f"{path} is cut short, or no checkpoint as torch.save writes them ({error})") from error
    if len(members) > MOST_MEMBERS:
        raise BadModel(f"{path} has {len(members):,} members: it is no checkpoint")
    if (
        any(member.compress_type != zipfile.ZIP_STORED for member in members)
        or sum(m.file_size for m in members) > size
    ):
        claimed = sum(member.file_size for member in members)
        raise BadModel(f"{path} has {size:,} bytes and unpacks to {claimed:,}: checkpoints are not compressed")
    if any(m.file_size > LARGEST_PICKLE_BYTES for m in members if m.filename.endswith(".pkl")):
        raise BadModel(f"{path}: what describes its tensors is larger than {LARGEST_PICKLE_BYTES >> 20} MiB")
