"""The sha256 of a file, and JSON objects that carry their own."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OWN = "sha256"


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex, read piece by piece. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def with_checksum(body: Mapping[str, Any], indent: int | None = None) -> str:
    """The body as JSON, with the sha256 of it as a last entry."""
    return json.dumps({**body, _OWN: _checksum(body)}, indent=indent)


def checked(text: str) -> dict[str, Any]:
    """The JSON object in a text, without its checksum; one that carries none is of an older version.

    Raises:
        ValueError: it is no JSON object, or not the one that was written.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    told = found.pop(_OWN, None)
    if told is not None and told != _checksum(found):
        raise ValueError("its checksum does not match")
    return found


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
