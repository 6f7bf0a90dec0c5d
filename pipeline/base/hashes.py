"""The sha256 of a file, and JSON objects that carry their own."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OWN, _OF = "sha256", "of"


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex, read piece by piece. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def with_checksum(body: Mapping[str, Any], of: str = "", indent: int | None = None) -> str:
    """The body as JSON, with the sha256 of it as a last entry; `of` says what it is about."""
    whole = {**body, _OF: of} if of else body
    return json.dumps({**whole, _OWN: _checksum(whole)}, indent=indent)


def checked(text: str, of: str = "") -> dict[str, Any]:
    """The JSON object in a text, without its checksum; one that carries none is of an older version.

    Raises:
        ValueError: it is no JSON object, not the one that was written, or about something else than `of`.
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
    if of and (about := found.pop(_OF, of)) != of:
        raise ValueError(f"it is that of {about}")
    return found


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
