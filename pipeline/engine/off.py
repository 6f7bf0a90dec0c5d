"""Settings that a profile can switch off: TOML has no null, so "off" stands for it."""

from typing import Any

from pydantic import BeforeValidator


def _none(value: Any) -> Any:
    return None if value == "off" else value


# Beside a type that takes None: `Annotated[float | None, SWITCHABLE]`.
SWITCHABLE = BeforeValidator(_none)
