"""Profiles: annotated TOML files that say which stages run, on what, and with which settings.

A profile may extend another one; the command line may set single keys. Every error names the file, the line and the key.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from pipeline.stage import Stage, is_runtime, stage_class


class ProfileError(Exception):
    """A profile cannot be used; the message names file, line and key, and what would be right."""


class Machine(BaseModel):
    """How this machine is used. Nothing here changes results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(0, ge=0, le=1024, description="worker processes a stage; 0 = one a processor core")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="where nets run: auto, cpu or cuda")


class Profile(BaseModel):
    """A profile after its parents were merged in.

    Attributes:
        targets: what `make crawl`, `make annotate` and `make filter` run, stage by stage.
        required: stages without which the run must stop; others are skipped with a line when a package or net is missing.
        stages: settings by stage name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    machine: Machine = Machine()
    targets: dict[str, list[str]] = {}
    required: list[str] = []
    stages: dict[str, dict[str, Any]] = {}

    def stage(self, name: str) -> Stage:
        """The stage of this name with the profile's settings; they were checked when the profile was loaded."""
        return stage_class(name)(**self.stages.get(name, {}))

    def expand(self, names: Sequence[str]) -> list[str]:
        """Targets and stage names as a list of stages, in order; ProfileError on a name that is neither."""
        found: list[str] = []
        for name in names:
            if name in self.targets:
                found += self.targets[name]
            elif name in self.all_stages:
                found.append(name)
            else:
                known = {*self.targets, *self.all_stages}
                raise ProfileError(f"{name!r} is no target or stage of profile {self.name}{_did_you_mean(name, known)}")
        return list(dict.fromkeys(found))

    @property
    def all_stages(self) -> list[str]:
        return list(dict.fromkeys(stage for stages in self.targets.values() for stage in stages))


def shipped() -> list[str]:
    """Names of the profiles that come with the project."""
    folder = resources.files("manifests").joinpath("profiles")
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml"))


def load(name: str, sets: Sequence[str] = ()) -> Profile:
    """Load a shipped profile by name, or a TOML file by path, and apply `key=value` settings.

    Args:
        name: "folder", or "my/profile.toml".
        sets: such as "split.min_clip_seconds=6" or "machine.workers=4"; values are TOML, bare words are strings.

    Raises ProfileError.
    """
    merged: dict[str, Any] = {}
    for path in reversed(_chain(name)):
        merged = _merge(merged, _checked(path))
    for text in sets:
        merged = _merge(merged, _checked_setting(text, merged))
    merged.pop("extends", None)
    merged.setdefault("name", Path(name).stem)
    return Profile(**merged)


def _chain(name: str) -> list[Path]:
    """The profile's file and those that it extends, nearest first."""
    chain: list[Path] = []
    while name:
        path = _file(name, chain[-1] if chain else None)
        if path in chain:
            raise ProfileError(f"{path}: extends itself")
        chain.append(path)
        name = _read(path).get("extends", "")
    return chain


def _file(name: str, child: Path | None) -> Path:
    if name.endswith(".toml"):
        path = Path(name) if child is None else child.parent / name
        if not path.is_file():
            raise ProfileError(f"no profile file {path}")
        return path
    path = Path(str(resources.files("manifests").joinpath("profiles", f"{name}.toml")))
    if not re.fullmatch(r"[\w-]+", name) or not path.is_file():
        where = f"{child}:{_line(child, 'extends')}: extends: " if child else ""
        raise ProfileError(f"{where}no profile is called {name!r}{_did_you_mean(name, shipped())}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: {error}") from None


def _checked(path: Path) -> dict[str, Any]:
    """The file's content, each of its settings checked by the stage it belongs to."""
    values = _read(path)
    known = {*Profile.model_fields, "extends"}
    for key in values:
        if key not in known:
            raise ProfileError(f"{path}:{_line(path, key)}: {key}: unknown key{_did_you_mean(key, known)}")
    for stage, settings in values.get("stages", {}).items():
        _check_stage(stage, settings, lambda key, stage=stage: f"{path}:{_line(path, key, f'stages.{stage}')}: ")
    rest = {key: value for key, value in values.items() if key not in ("stages", "extends")}
    try:
        Profile(**{"name": path.stem, **rest})
    except ValidationError as error:
        keys = [str(part) for part in error.errors()[0]["loc"]]
        line = _line(path, keys[-1], ".".join(keys[:-1]))
        raise ProfileError(f"{path}:{line}: {'.'.join(keys)}: {error.errors()[0]['msg']}") from None
    return values


def _check_stage(stage: str, settings: dict[str, Any], where: Any) -> None:
    """Raise ProfileError with `where(key)` in front when the stage refuses its settings."""
    try:
        cls = stage_class(stage)
    except (ModuleNotFoundError, LookupError):
        raise ProfileError(f"{where('')}stages.{stage}: there is no such stage") from None
    for key in settings:
        if key not in cls.model_fields:
            hint = _did_you_mean(key, cls.model_fields)
            raise ProfileError(f"{where(key)}stages.{stage}.{key}: unknown setting{hint}")
    try:
        cls(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        raise ProfileError(f"{where(key)}stages.{stage}.{key}: {first['msg']}, not {first['input']!r}") from None


def _checked_setting(text: str, merged: dict[str, Any]) -> dict[str, Any]:
    """One `--set a.b=value` as a nested dict, checked like a file."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ProfileError(f"--set {text}: expected key=value, such as split.min_clip_seconds=6")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    if parts[0] == "machine" and len(parts) == 2:
        try:
            Machine(**{**merged.get("machine", {}), parts[1]: parsed})
        except ValidationError as error:
            raise ProfileError(f"--set {text}: {error.errors()[0]['msg']}") from None
        return {"machine": {parts[1]: parsed}}
    if parts[0] == "stages":
        parts = parts[1:]
    if len(parts) != 2:
        raise ProfileError(f"--set {text}: expected STAGE.SETTING=value")
    settings = {**merged.get("stages", {}).get(parts[0], {}), parts[1]: parsed}
    _check_stage(parts[0], settings, lambda _: f"--set {text}: ")
    return {"stages": {parts[0]: {parts[1]: parsed}}}


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _line(path: Path, key: str, table: str = "") -> int:
    """The line on which a key of a table stands in a TOML file; that of the table's header, else 1, when it cannot be found."""
    current, header = "", 1
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if found := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = found[1].strip()
            header = number if current == table else header
        elif key and current == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return header


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def show(profile: Profile) -> str:
    """The whole profile as annotated TOML: every setting of every stage with its value, default and description."""
    lines = [f'name = "{profile.name}"', f"description = {_toml(profile.description)}", "", "[machine]"]
    for name, field in Machine.model_fields.items():
        lines.append(f"{name} = {_toml(getattr(profile.machine, name))}  # {field.description}")
    lines += ["", "[targets]", *(f"{name} = {_toml(stages)}" for name, stages in profile.targets.items())]
    for name in profile.all_stages:
        cls = stage_class(name)
        stage = profile.stage(name)
        lines += ["", f"[stages.{name}]  # {cls.summary}"]
        for key, field in cls.model_fields.items():
            notes = [field.description or "", "never changes results" if is_runtime(cls, key) else ""]
            default = field.get_default(call_default_factory=True)
            value = getattr(stage, key)
            if default is not PydanticUndefined and default != value:
                notes.append(f"default {_toml(default)}")
            shown = f"{key} = {_toml(value)}" if value is not None else f"# {key} is not set"
            lines.append(f"{shown}  # {'; '.join(note for note in notes if note)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
