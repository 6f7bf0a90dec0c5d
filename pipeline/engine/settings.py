"""Settings of stages and programs: pydantic models whose fields are the settings of a profile."""

from typing import Any, ClassVar

from pydantic import BeforeValidator

from pipeline.base.strict import Strict


class Settings(Strict):
    """What `stages.<name>` can be told: its fields are its settings, with defaults, and units in their names.

    A field marked `json_schema_extra=runtime()` (batch sizes, paths, pace) never changes results and is left out of
    the fingerprint.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # bump when results change
    summary: ClassVar[str] = ""
    extra: ClassVar[str] = ""  # the pip extra that brings `modules`
    modules: ClassVar[tuple[str, ...]] = ()  # importable packages without which it cannot run

    def needed_modules(self) -> tuple[str, ...]:
        """The packages without which it cannot run with these settings; they come with the extra `extra`."""
        return self.modules

    def result_settings(self) -> dict[str, Any]:
        """The settings that can change results: every field but the runtime ones."""
        return {name: value for name, value in self.model_dump(mode="json").items() if not is_runtime(type(self), name)}


def is_runtime(stage: type[Settings], name: str) -> bool:
    """Whether the stage's field of this name is marked `runtime`."""
    extra = stage.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("runtime"))


def stays(stage: type[Settings], name: str) -> bool:
    """Whether a run goes on with the value it began with, whatever a later version's profile says: marked `staying`."""
    extra = stage.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("stays"))


def staying() -> dict[str, Any]:
    """`Field(json_schema_extra=staying())`: another value would move what was published."""
    return {"stays": True}


def runtime(**extra: Any) -> dict[str, Any]:
    """`Field(json_schema_extra=runtime())`: this setting never changes results."""
    return {"runtime": True, **extra}


def _none(value: Any) -> Any:
    return None if value == "off" else value


# Beside a type that takes None: `Annotated[float | None, SWITCHABLE]`. TOML has no null, so "off" stands for it.
SWITCHABLE = BeforeValidator(_none)
