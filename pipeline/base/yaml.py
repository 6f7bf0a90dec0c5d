"""Nested dicts, lists and plain values as YAML, with strings quoted as in JSON, of which YAML is a superset."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def dump(value: Mapping[str, Any]) -> str:
    """A mapping as block YAML; keys are plain words."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _is_block(inner):
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(inner))
            else:
                yield f"{key}: {_scalar(inner)}"
    else:
        for inner in value:
            first, *rest = _lines(inner) if _is_block(inner) else [_scalar(inner)]
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _is_block(value: Any) -> bool:
    return bool(value) and (isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)))


def _scalar(value: Any) -> str:
    # characters that YAML takes for line ends and JSON does not are escaped with all others beyond ASCII
    return json.dumps(value)
