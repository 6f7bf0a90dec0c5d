"""The sha256 of a file, by the standard's own examples and at sizes about a buffer's."""

import hashlib
import re
from pathlib import Path

import pytest

from pipeline.base.hashes import sha256_of

ROOT = Path(__file__).parents[3]


def test_the_hash_is_that_of_the_standard(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3_000_001])
def test_the_hash_is_of_the_whole_file(tmp_path: Path, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError):
        sha256_of(tmp_path)


def test_no_other_module_hashes_a_file() -> None:
    modules = [p for room in ("pipeline", "stages") for p in (ROOT / room).rglob("*.py")]
    found = {str(p.relative_to(ROOT)) for p in modules if re.search(r"file_digest|sha256\([^)]*read", p.read_text())}
    assert found == {"pipeline/base/hashes.py"}
