"""Profiles: annotated TOML files that say which stages run, on what, and with which settings.

A profile may extend another one; the command line may set single keys. Every error names the file, the line and the key.
"""

import difflib
import os
import re
from collections.abc import Sequence
from importlib import resources, util
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator

from pipeline.base import toml
from pipeline.base.errors import BadUse
from pipeline.base.strict import Strict, complaint
from pipeline.engine.executors import EXECUTORS
from pipeline.engine.lookup import settings_class
from pipeline.engine.settings import Settings
from pipeline.engine.stage import Stage
from pipeline.sources.web.settings import Web
from pipeline.storage.where import checked_url

STAGE = "stage:"  # before the name of a stage that is a target's too
MOST_WORKERS = 1024
_LONGEST_NAME_BYTES = 100


class ProfileError(BadUse):
    """Raised for a profile that cannot be used; the message names file, line and key, and what would be right."""


class Machine(Strict):
    """How this machine is used. Nothing here changes results."""

    workers: int = Field(
        0,
        ge=0,
        le=MOST_WORKERS,
        description="worker processes a stage; 0 = one a processor core, of all nodes with ray",
    )
    executor: str = Field(
        "local", description="what runs the units: local, in processes of this machine; ray, also on others"
    )
    address: str = Field(
        "",
        pattern=r"^(|auto|(ray://)?[^/\s:]+:\d{1,5}|(ray://)?\[[0-9a-fA-F:]+\]:\d{1,5})$",
        description="the Ray cluster to join: HOST:PORT, ray://HOST:PORT or auto; empty = one of its own, on this machine alone",
    )
    worker_cpus: float = Field(1.0, gt=0, le=1024, description="processor cores that ray keeps for each worker")
    worker_gpus: float = Field(
        0.25,
        gt=0,
        le=64,
        description="share of a GPU that ray keeps for each worker of a stage with nets, 0.25 = four a GPU",
    )
    ship_code: bool = Field(
        False,
        description="ray: send csg405's code to the nodes, which then need the packages alone, instead of its wheel there",
    )
    storage: str = Field(
        "",
        description="where raw videos, clips, previews and shards lie, such as s3://bucket/prefix (also gs, az, file); "
        '"" = in the run. Credentials come from the environment alone',
    )
    cache: str = Field(
        "", description='folder for copies of stored files on each machine; "" = the user\'s cache folder'
    )
    cache_gb: float = Field(
        50.0,
        gt=0,
        le=1e6,
        description="GiB of such copies that stay, per machine and run; and of sound and pictures decoded for later stages",
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="where nets run: auto, cpu or cuda")
    net_server: str = Field(
        "auto",
        pattern="^(auto|on|off)$",
        description="one process a GPU that holds a stage's nets for all workers of a machine: on, off, or auto = where several "
        "share a GPU; with ray each worker holds its own",
    )

    @field_validator("executor")
    @classmethod
    def _known_executor(cls, name: str) -> str:
        if name not in EXECUTORS:
            raise ValueError(f"no executor is called {name!r}{_did_you_mean(name, EXECUTORS)}")
        return name

    @field_validator("storage")
    @classmethod
    def _good_address(cls, url: str) -> str:
        return checked_url(url) if url else url


class Profile(Strict):
    """A profile after its parents were merged in.

    Attributes:
        targets: what `make crawl`, `make annotate` and `make filter` run, stage by stage.
        required: stages without which the run must stop; others are skipped with a line when a package or net is missing.
        stages: settings by stage name.
    """

    name: str
    description: str = ""
    machine: Machine = Machine()
    web: Web = Web()
    opt_out: str = ""  # file of video ids and channels whose owners asked not to be included
    targets: dict[str, list[str]] = {}
    required: list[str] = []
    stages: dict[str, dict[str, Any]] = {}

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        """Its runs lie in `runs/<name>` unless told otherwise."""
        plain = name.isprintable() and not re.search(r"[/\\]|^[.\s-]|[.\s]$", name)
        if not name or not plain or len(name.encode()) > _LONGEST_NAME_BYTES:
            shown = repr(name[:40])
            raise ValueError(
                f"expected what can be the name of a folder, up to {_LONGEST_NAME_BYTES} bytes without a slash, not {shown}"
            )
        return name

    def stage(self, name: str) -> Stage:
        """The stage of this name with the profile's settings; ProfileError where it is a program, not a stage."""
        stage = self.settings(name)
        if not isinstance(stage, Stage):
            raise ProfileError(f"{name} is a program of its own: python -m stages.{name}")
        return stage

    def settings(self, name: str) -> Settings:
        """The stage or program of this name with the profile's settings; they were checked when the profile was loaded."""
        return settings_class(name)(**self.stages.get(name, {}))

    def expand(self, names: Sequence[str]) -> list[str]:
        """Targets and stage names as a list of stages, in order; ProfileError on a name that is neither.

        A stage may be named though no target holds it: some, such as `probe`, run only when asked for. `stage:crawl` is the stage
        where a target has its name.
        """
        stages: list[str] = []
        for name in names:
            if name.startswith(STAGE) and is_stage(name.removeprefix(STAGE)):
                stages.append(name.removeprefix(STAGE))
            elif name in self.targets:
                stages += self.targets[name]
            elif name in self.all_stages or is_stage(name):
                stages.append(name)
            else:
                known = {*self.targets, *self.all_stages}
                raise ProfileError(f"{name!r} is no target or stage of profile {self.name}{_did_you_mean(name, known)}")
        return list(dict.fromkeys(stages))

    def replacing(self, old: str, new: str) -> "Profile":
        """A copy with one stage replaced by another, in every target and among the required ones."""

        def swapped(stages: list[str]) -> list[str]:
            return [new if stage == old else stage for stage in stages]

        targets = {name: swapped(stages) for name, stages in self.targets.items()}
        return self.model_copy(update={"targets": targets, "required": swapped(self.required)})

    def without(self, *names: str) -> "Profile":
        """A copy without these stages, in every target and among the required ones."""
        targets = {target: [s for s in stages if s not in names] for target, stages in self.targets.items()}
        return self.model_copy(update={"targets": targets, "required": [s for s in self.required if s not in names]})

    @property
    def all_stages(self) -> list[str]:
        return list(dict.fromkeys(stage for stages in self.targets.values() for stage in stages))


SECTIONS: dict[str, type[BaseModel]] = {"machine": Machine, "web": Web}


def is_stage(name: str) -> bool:
    """Whether there is a stage of this name, in the profile or not."""
    return bool(re.fullmatch(r"[a-z]\w*", name)) and util.find_spec(f"stages.{name}") is not None


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
    for stage, settings in merged.get("stages", {}).items():  # each file was right; together they may not be
        _check_stage(stage, settings, lambda _: f"profile {name}: ")
    profile = Profile(**{**merged, "name": _read(_chain(name)[0]).get("name", Path(name).stem)})
    for stage in [*profile.all_stages, *profile.required]:
        if not is_stage(stage):
            raise ProfileError(f"profile {name}: targets name {stage!r}, which does not exist")
    return profile


def _chain(name: str) -> list[Path]:
    """The profile's file and those that it extends, nearest first."""
    chain: list[Path] = []
    while name:
        path = _file(name, chain[-1] if chain else None)
        if path in chain:
            raise ProfileError(f"{chain[-1]}:{_line(chain[-1], 'extends')}: extends: {path} extends itself")
        chain.append(path)
        name = _read(path).get("extends", "")
        if not isinstance(name, str):
            raise ProfileError(
                f"{path}:{_line(path, 'extends')}: extends: expected the name of a profile, not {name!r}"
            )
    return chain


def _file(name: str, child: Path | None) -> Path:
    if name.endswith(".toml"):
        path = Path(name) if child is None else child.parent / name
        if not path.is_file():
            where = f"{child}:{_line(child, 'extends')}: extends: " if child else ""
            raise ProfileError(f"{where}no profile file {path}")
        return path if child is None else Path(os.path.normpath(path))
    path = Path(str(resources.files("manifests").joinpath("profiles", f"{name}.toml")))
    if not re.fullmatch(r"[\w-]+", name) or not path.is_file():
        where = f"{child}:{_line(child, 'extends')}: extends: " if child else ""
        raise ProfileError(f"{where}no profile is called {name!r}{_did_you_mean(name, shipped())}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return toml.read(path)
    except (toml.BadToml, OSError) as error:
        raise ProfileError(f"{path}: {error}") from None


def _checked(path: Path) -> dict[str, Any]:
    """The file's content, each of its settings checked by the stage it belongs to."""
    values = _read(path)
    known = {*Profile.model_fields, "extends"}
    for key in values:
        if key not in known:
            raise ProfileError(f"{path}:{_line(path, key)}: {key}: unknown key{_did_you_mean(key, known)}")
    stages = values.get("stages", {})
    if not isinstance(stages, dict):
        raise ProfileError(f"{path}:{_line(path, 'stages')}: stages: expected tables such as [stages.split]")
    for stage, settings in stages.items():
        _check_stage(stage, settings, lambda key, stage=stage: f"{path}:{_line(path, key, f'stages.{stage}')}: ")
    rest = {key: value for key, value in values.items() if key not in ("stages", "extends")}
    try:
        Profile(**{"name": path.stem, **rest})
    except ValidationError as error:
        keys = [str(part) for part in error.errors()[0]["loc"]]
        line = _line(path, keys[-1], ".".join(keys[:-1]))
        raise ProfileError(f"{path}:{line}: {'.'.join(keys)}: {complaint(error)}") from None
    return values


def _check_stage(stage: str, settings: dict[str, Any], where: Any) -> None:
    """Raise ProfileError with `where(key)` in front when the stage refuses its settings."""
    try:
        cls = settings_class(stage)
    except (ModuleNotFoundError, LookupError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and not f"stages.{stage}".startswith(error.name or "stages"):
            raise  # the stage is there, and a package that it imports is not
        raise ProfileError(f"{where('')}stages.{stage}: no such stage") from None
    if not isinstance(settings, dict):
        raise ProfileError(f"{where('')}stages.{stage}: expected a table of settings, not {settings!r}")
    for key in settings:
        if key not in cls.model_fields:
            hint = _did_you_mean(key, cls.model_fields)
            raise ProfileError(f"{where(key)}stages.{stage}.{key}: unknown setting{hint}")
    try:
        cls(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # settings that do not go together, which the sentence names
            raise ProfileError(f"{where('')}stages.{stage}: {complaint(error)}") from None
        key = str(first["loc"][0])
        raise ProfileError(f"{where(key)}stages.{stage}.{key}: {complaint(error)}, not {first['input']!r}") from None


def _checked_setting(text: str, merged: dict[str, Any]) -> dict[str, Any]:
    """One `--set a.b=value` as a nested dict, checked like a file."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ProfileError(f"--set {text}: expected key=value, such as split.min_clip_seconds=6")
    try:
        parsed = toml.parse(f"value = {value}")["value"]
    except toml.NotToml:
        parsed = value.strip()
    except toml.BadToml as error:
        raise ProfileError(f"--set {key}: {error}") from None
    if parts == ["opt_out"]:
        return {"opt_out": str(parsed)}
    if parts[0] in SECTIONS and len(parts) == 2:
        try:
            SECTIONS[parts[0]](**{**merged.get(parts[0], {}), parts[1]: parsed})
        except ValidationError as error:
            shown = key if parts == ["machine", "storage"] else text  # a refused address may hold a password
            raise ProfileError(f"--set {shown}: {complaint(error)}") from None
        return {parts[0]: {parts[1]: parsed}}
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
        if match := re.match(r"\s*\[\[?([^\[\]]+)\]", line):
            current = _dotted(match[1])
            header = number if current == table else header
        elif match := re.match(r"""([\w\s."'-]+)=""", line):
            name = _dotted(f"{current}.{match[1]}" if current else match[1])
            if key and name == (f"{table}.{key}" if table else key):
                return number
            header = number if name == table else header  # an inline table
    return header


def _dotted(key: str) -> str:
    return ".".join(part.strip(" \t\"'") for part in key.split("."))


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def as_toml(value: Any) -> str:
    """A value as it stands behind a key of a TOML file."""
    from pipeline.engine import annotated  # tomlkit, which commands that change no setting do without

    return str(annotated.in_toml(value).as_string())
