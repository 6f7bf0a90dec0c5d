"""Takes a net's file out of the archive that it is released in."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.base import files
from pipeline.base.errors import UserError

LARGEST_MEMBER_BYTES = 4 << 30


class BadModel(UserError):
    """A net's bytes are not those that were expected."""


@contextmanager
def _opened(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """The member of this name, in whatever folder of a zip or tar archive it lies."""

    def chosen(names: Sequence[str]) -> str:
        for name in names:
            if name == member or name.endswith("/" + member):
                return name
        raise BadModel(f"{archive.name} holds no {member}")

    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tape:
            found = tape.extractfile(chosen([entry.name for entry in tape if entry.isfile()]))
            assert found is not None, "only plain files were looked at"
            yield found
    else:
        with zipfile.ZipFile(archive) as packed, packed.open(chosen(packed.namelist())) as source:
            yield source


def unpack(archive: Path, member: str, target: Path) -> None:
    """Copy one member of a zip or tar archive to the target; nothing else of the archive touches the disk."""
    try:
        with _opened(archive, member) as source, files.replacing(target) as temporary:
            left = LARGEST_MEMBER_BYTES  # counted, because what the archive says of itself need not be true
            with temporary.open("wb") as out:
                while block := source.read(1 << 20):
                    left -= len(block)
                    if left < 0:
                        raise BadModel(
                            f"{member} in {archive.name} unpacks to more than {LARGEST_MEMBER_BYTES:,} bytes"
                        )
                    out.write(block)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadModel(f"{archive.name} is no readable archive: {error}") from error
