"""Which storage a run has: `storage.json` in it says so, written once; a run without it lies on its own disk."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from pipeline.base import files
from pipeline.base.errors import BadUse

MARK = "storage.json"
SCHEMES = ("s3", "gs", "az", "file")
CACHE, CACHE_GB = "CSG405_CACHE", "CSG405_CACHE_GB"
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True)
class Where:
    """The storage of a run, as its file and a worker's context hold it: no secret is in it.

    Attributes:
        url: such as s3://bucket/prefix.
        id: of the run; a note in the storage names it, so that no two runs share a prefix.
        cache: the folder of copies on this machine; "" is the user's cache folder.
        cache_gb: how much of them stays.
        proven: the prefix is this run's, and the store keeps what is there when it is asked to.
    """

    url: str
    id: str
    cache: str = ""
    cache_gb: float = 50.0
    proven: bool = False

    @property
    def cache_folder(self) -> Path:
        """Where copies of this storage's files lie on this machine."""
        wanted = os.environ.get(CACHE, "") or self.cache
        return (Path(wanted).expanduser() if wanted else platformdirs.user_cache_path("csg405")) / "storage" / self.id

    @property
    def cache_bytes(self) -> int:
        """How many bytes of copies stay on this machine. Raises BadUse for a variable that is no number."""
        return cache_limit(self.cache_gb)


def cache_limit(cache_gb: float) -> int:
    """Bytes of a setting in GiB, unless the variable says another. Raises BadUse for a variable that is no number."""
    told = os.environ.get(CACHE_GB, "")
    try:
        return int(float(told or cache_gb) * (1 << 30))
    except (ValueError, OverflowError):
        raise BadUse(f"{CACHE_GB}={told}: expected a number of GiB") from None


def checked_url(url: str) -> str:
    """A storage's address without a slash at its end. Raises ValueError for one that cannot be, or that holds a secret."""
    try:
        parts = urlsplit(url)
        name, secret = parts.hostname, parts.username or parts.password or parts.query or parts.fragment
    except ValueError:
        raise ValueError("is no address: expected one such as s3://bucket/prefix") from None
    if secret or "@" in parts.netloc:
        raise ValueError(
            "holds a name, password or key: give them in the environment (AWS_ACCESS_KEY_ID and the like), not here"
        )
    if parts.scheme not in SCHEMES:
        raise ValueError(f"expected {', '.join(f'{one}://' for one in SCHEMES)}, such as s3://bucket/prefix")
    steps = parts.path.strip("/").split("/")
    if not url.isprintable() or any(step in (".", "..") for step in steps) or "\\" in url or "//" in parts.path:
        raise ValueError("holds an empty step, a dot as a step, a backslash or what cannot be printed")
    if parts.scheme == "file" and (name or not parts.path.strip("/")):
        raise ValueError("expected a folder of this machine, such as file:///mnt/big/run")
    if parts.scheme != "file" and not (name and parts.path.strip("/")):
        raise ValueError("expected a bucket and a prefix that is this run's alone, such as s3://bucket/prefix")
    return url.rstrip("/")


def where_of(run: Path) -> Where | None:
    """The storage that a run's file names; None where the run lies on its own disk. Raises BadUse for a file that does not do."""
    path = run / MARK
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = Where(**json.loads(text))
        checked_url(found.url)
        if not _ID.fullmatch(found.id) or not isinstance(found.cache, str):
            raise ValueError
        float(found.cache_gb)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadUse(
            f"{path} does not say where the run's files lie: put back the file, or write "
            '{"url": "s3://bucket/prefix", "id": what the note `run` below that prefix says}'
        ) from None
    return found


def write(run: Path, where: Where) -> None:
    """Write a run's file."""
    files.write_text(run / MARK, json.dumps(asdict(where)) + "\n")
