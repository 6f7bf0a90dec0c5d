"""TOML from outside: read in linear time, with caps, and with the same class of error for everything that is wrong with it."""

import re
import tomllib
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20  # the longest profile that comes with the project has 5 kB
MAX_DEPTH = 32  # of tables and lists in each other
_BETWEEN_KEYS = re.compile(r"[,=\[\]{}\n]")


class BadToml(ValueError):
    """Raised for text that is no TOML, is nested too deeply, is too long, or holds NUL characters; the message says which."""


class NotToml(BadToml):
    """Raised for text that does not follow the grammar."""


def read(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises BadToml, and OSError as `open` does."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BadToml(f"over {MAX_BYTES:,} bytes: this is no file of settings")
    try:
        return parse(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadToml(f"not UTF-8: byte 0x{content[error.start]:02x} in line {line}; save it as UTF-8") from None


def parse(text: str) -> dict[str, Any]:
    """The content of TOML text. Raises BadToml."""
    # tomllib takes time and memory quadratic in the length of a dotted key: 20,000 parts take 8 s
    if any(piece.count(".") > MAX_DEPTH for piece in _BETWEEN_KEYS.split(text) if len(piece) > MAX_DEPTH):
        raise BadToml(f"nested too deeply: a key, or a text, with over {MAX_DEPTH} dots")
    try:
        found = tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        raise BadToml(f"nested too deeply: over {MAX_DEPTH} tables and lists in each other") from None
    except ValueError as error:
        raise NotToml(str(error)) from None
    _check(found)
    return found


def _check(found: dict[str, Any]) -> None:
    """Raise BadToml for values nested too deeply or that hold NUL, which no path, link or name can; without recursion."""
    waiting: list[tuple[str, Any, int]] = [("", found, 0)]
    while waiting:
        key, value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise BadToml(f"nested too deeply: {key} holds over {MAX_DEPTH} tables and lists in each other")
        if isinstance(value, dict):
            waiting += [(f"{key}.{name}" if key else name, entry, depth + 1) for name, entry in value.items()]
            if any("\0" in name for name in value):
                raise BadToml(f"{key or 'a table'} has a key that holds a NUL character")
        elif isinstance(value, list):
            waiting += [(key, entry, depth + 1) for entry in value]
        elif isinstance(value, str) and "\0" in value:
            raise BadToml(f"{key} holds a NUL character")
