"""Files are replaced as a whole, and only where they differ."""

from pathlib import Path

import pytest

from pipeline.base import files


@pytest.mark.parametrize("there", [b"old", b"new", b"nex", None])
def test_files_are_written_where_they_differ(tmp_path: Path, there: bytes | None) -> None:
    path = tmp_path / "a.js"
    if there is not None:
        path.write_bytes(there)
    before = path.stat().st_ino if there else 0
    assert files.write_if_changed(path, b"new") is (there != b"new")
    assert path.read_bytes() == b"new"
    assert (path.stat().st_ino == before) == (there == b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["a.js"]
