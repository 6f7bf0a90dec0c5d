"""Cached hashes of large files: every command needs those of the nets, and reading them all takes seconds."""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.hashes import sha256_of

SETTLED_SECONDS = 5.0  # a file younger than this may change again without a sign: clocks of file systems are coarse

log = logging.getLogger(__name__)


class FileHashes:
    """sha256 of files, kept in one JSON file.

    An entry counts only while size, inode, and times of content and of inode are what they were: no program can set the
    last of these, so that a replaced file is hashed again even if its old date was restored.

    Args:
        memory: the JSON file; where it cannot be read or written, files are hashed each time.
    """

    def __init__(self, memory: Path) -> None:
        self.memory = memory

    def of(self, path: Path) -> str:
        """The file's sha256 in hex. Raises OSError when it cannot be read."""
        name, before = str(path.absolute()), _state(path)
        known = self._read().get(name)
        if isinstance(known, dict) and known.get("state") == before and isinstance(known.get("sha256"), str):
            return str(known["sha256"])
        digest = sha256_of(path)
        if _state(path) == before and time.time() - max(before[2:]) / 1e9 > SETTLED_SECONDS:
            self._remember(name, {"state": before, "sha256": digest})
        return digest

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.memory.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("%s cannot be used: %s; nets are hashed again", self.memory, error)
            return {}
        return content if isinstance(content, dict) else {}

    def _remember(self, name: str, entry: dict[str, Any]) -> None:
        kept = {path: value for path, value in self._read().items() if os.path.exists(path)}  # noqa: PTH110 - text
        try:
            files.write_text(self.memory, json.dumps({**kept, name: entry}, indent=1))
        except OSError as error:
            log.info("%s cannot be written: %s", self.memory, error)


def _state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
