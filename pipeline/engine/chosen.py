"""What was chosen for a run: its profile, and everything that was set beside it; kept in `settings.toml` of the run.

What a profile says by itself is not in it, so that a better default of a later version reaches the run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.base import files, toml
from pipeline.base.errors import BadUse
from pipeline.engine.lookup import settings_class
from pipeline.engine.profile import SECTIONS, Profile, ProfileError, as_toml, is_stage
from pipeline.engine.settings import stays
from pipeline.engine.stage import Stage

CHOSEN = "settings.toml"
KEPT = "profile.toml"  # in the run folder: the resolved profile of its last command
ALL_OF_IT = "all"
TABLES = ("sets", "kept")  # of `Chosen`; its other fields are texts


@dataclass(frozen=True)
class Chosen:
    """Choices of the user.

    Attributes:
        profile: a name, or the absolute path of a file; "" where nothing is known.
        name: the profile's own name.
        models: the folder that is searched for nets first.
        input, manifest, poses: what the run is made from.
        sets: {"judge.min_speech_share": "0.5"}: settings, and their values in TOML.
        kept: {stage: version} whose new version does not make rows of older ones anew (`--keep`); of readers, see `old_rows`.
    """

    profile: str = ""
    name: str = ""
    models: str = ""
    input: str = ""
    manifest: str = ""
    poses: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)

    def without(self, keys: Iterable[str]) -> "Chosen":
        """A copy in which these are back to what the profile says: settings, stages, `models` and the like, or `all`.

        Raises:
            BadUse: there is no such setting.
        """
        found = self
        for key in keys:
            if key not in self.sets:  # one that another version knew can be forgotten
                _check_key(key)
            if key in _NAMES:
                nothing: dict[str, Any] = {key: ""}
                found = replace(found, **nothing)
            stays = {
                name: value for name, value in found.sets.items() if not (name == key or name.startswith(f"{key}."))
            }
            found = Chosen(self.profile, self.name) if key == ALL_OF_IT else replace(found, sets=stays)
        return found

    def write(self, run: Path, profile: Profile | None = None) -> None:
        """Write it into the run folder, and beside it the profile that it resolves to, where they differ from what is there."""
        from pipeline.engine import annotated  # tomlkit, which commands that only look do without

        texts = {CHOSEN: annotated.chosen(self)} | ({KEPT: annotated.show(profile)} if profile else {})
        written = [files.write_if_changed(run / name, text.encode()) for name, text in texts.items()]
        if any(written):
            files.sync(run)


TEXTS = tuple(each.name for each in fields(Chosen) if each.name not in TABLES)
_NAMES = tuple(name for name in TEXTS if name != "name")  # a profile's own name is not chosen by itself


def _check_key(key: str) -> None:
    """Raise BadUse unless there is such a setting, stage, section or name."""
    first, _, rest = key.partition(".")
    known = [*_NAMES, ALL_OF_IT, "opt_out", *SECTIONS]
    if first in SECTIONS:
        fine = not rest or rest in SECTIONS[first].model_fields
    else:
        fine = key in known or (is_stage(first) and (not rest or rest in settings_class(first).model_fields))
    if not fine:
        raise BadUse(f"--reset {key}: no setting is called so; give STAGE.SETTING, STAGE, or one of {', '.join(known)}")


def chosen_of(run: Path) -> Chosen | None:
    """What was chosen for a run; None where no `settings.toml` says. Raises ProfileError for a file that cannot be used."""
    try:
        found = toml.read(run / CHOSEN)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except toml.BadToml as error:
        raise ProfileError(f"{run / CHOSEN}: {error}") from None
    wrong = set(found) - {each.name for each in fields(Chosen)}
    tables = [found.get(name, {}) for name in TABLES]
    texts = [found.get(name, "") for name in TEXTS] + (list(tables[0].values()) if isinstance(tables[0], dict) else [])
    numbers = list(tables[1].values()) if isinstance(tables[1], dict) else [""]
    if wrong or not isinstance(tables[0], dict) or not all(isinstance(text, str) for text in texts):
        raise ProfileError(
            f"{run / CHOSEN}: expected texts, and a table `sets` of texts{_first(wrong)}: mend or delete it"
        )
    if not all(isinstance(number, int) for number in numbers):
        raise ProfileError(f"{run / CHOSEN}: expected whole numbers in the table `kept`: mend or delete it")
    return Chosen(**found)


def keeps_older(stage: Stage, run: Path) -> bool:
    """Whether results of older versions of a stage stay: what was fetched, always; else where `--keep` said so of this version."""
    if stage.resources.network:
        return True
    found = chosen_of(run)
    return bool(found and found.kept.get(stage.name) == stage.version)


def _first(wrong: set[str]) -> str:
    return f", not {min(wrong)!r}" if wrong else ""


def assigned(text: str) -> tuple[str, str]:
    """The key and the value of `key=value`, as `--set` takes it. Raises ProfileError where there is no key or value."""
    key, equals, value = text.partition("=")
    key = key.strip().removeprefix("stages.")
    if not equals or not all(key.split(".")):
        raise ProfileError(f"--set {text}: expected key=value, such as split.min_clip_seconds=6")
    return key, value.strip()


def settings_of(path: Path) -> dict[str, str]:
    """Settings of a TOML file with tables such as [judge] or [stages.judge], as `Chosen.sets` has them. Raises ProfileError."""
    try:
        found = toml.read(path)
    except (OSError, toml.BadToml) as error:
        raise ProfileError(f"--settings {path}: {error}") from None
    tables = {**found, **found.get("stages", {})} if isinstance(found.get("stages", {}), dict) else found
    tables.pop("stages", None)
    sets = {"opt_out": as_toml(tables.pop("opt_out"))} if "opt_out" in tables else {}
    for section, values in tables.items():
        if not isinstance(values, dict):
            raise ProfileError(
                f"--settings {path}: {section}: expected tables of settings such as [judge], and no whole profile"
            )
        sets |= {f"{section}.{key}": as_toml(value) for key, value in values.items()}
    return sets


def placed(key: str, value: str) -> str:
    """A setting's value as a run remembers it: where it is the path of a file, an absolute one, for any folder to go on from."""
    if not _is_path(key):
        return value
    try:
        given = toml.parse(f"value = {value}")["value"]
    except toml.BadToml:
        given = value.strip()
    if not isinstance(given, str) or given in ("", "off") or Path(given).is_absolute():
        return value
    return as_toml(str(Path(given).expanduser().absolute()))


def _is_path(key: str) -> bool:
    stage, _, name = key.partition(".")
    if key == "opt_out":
        return True
    field = settings_class(stage).model_fields.get(name) if is_stage(stage) else None
    return field is not None and Path in (field.annotation, *get_args(field.annotation))


def guessed(run: Path, profile: Profile, reference: str) -> Chosen:
    """What was chosen for a run made before choices were kept apart: whatever differs from today's profile of its name."""
    kept = kept_of(run)
    old, new = flat(kept), settings_in(profile)
    stages = kept.get("stages", {})
    manifest, poses = (next((s[key] for s in stages.values() if s.get(key)), "") for key in ("manifest", "archive"))
    found = stages.get("crawl", {}).get("input", "")
    input_ = "" if manifest or found == new.get("crawl.input") else found
    places = {name for name in old if name.endswith((".manifest", ".archive"))} | {"crawl.input"}
    sets = {
        key: as_toml("off" if value is None else value)
        for key, value in old.items()
        if key in new and new[key] != value and key not in places
    }
    return Chosen(reference, profile.name, "", input_, manifest, poses, sets)


def staying_of(run: Path, profile: Profile, chosen: Chosen) -> dict[str, str]:
    """Settings, with values in TOML, that a run keeps as it began where today's profile says otherwise and nobody chose that.

    Args:
        run: its folder.
        profile: as it is loaded now.
        chosen: what the user chose; in a profile of their own, what that file itself says counts as chosen.
    """
    kept, new = flat(kept_of(run)), settings_in(profile)
    own = toml.read(Path(chosen.profile)).get("stages", {}) if chosen.profile.endswith(".toml") else {}
    found: dict[str, str] = {}
    for key, value in kept.items():
        stage, _, name = key.partition(".")
        marked = is_stage(stage) and name in settings_class(stage).model_fields and stays(settings_class(stage), name)
        if marked and key in new and new[key] != value and key not in chosen.sets and name not in own.get(stage, {}):
            found[key] = as_toml(value)
    return found


def kept_of(run: Path) -> dict[str, Any]:
    """The resolved profile that a run keeps, as it stands in the file; {} where there is none. Raises ProfileError."""
    try:
        found = toml.read(run / KEPT)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except toml.BadToml as error:
        raise ProfileError(f"{run / KEPT}: {error}") from None
    stages = found.get("stages", {})
    if not isinstance(stages, dict) or not all(isinstance(table, dict) for table in stages.values()):
        raise ProfileError(f"{run / KEPT}: stages: expected tables such as [stages.split]")
    return found


def flat(kept: Mapping[str, Any]) -> dict[str, Any]:
    """{"judge.min_speech_share": 0.5} of a resolved profile; settings that this version does not know are left out."""
    found: dict[str, Any] = {"opt_out": kept.get("opt_out", "")}
    for section, cls in SECTIONS.items():
        found |= _known(section, cls, kept.get(section, {}))
    for stage, values in kept.get("stages", {}).items():
        if is_stage(stage):
            found |= _known(stage, settings_class(stage), values)
    return found


def _known(section: str, cls: Any, values: Any) -> dict[str, Any]:
    values = (
        {key: value for key, value in values.items() if key in cls.model_fields} if isinstance(values, dict) else {}
    )
    try:
        settings = cls(**values).model_dump(mode="json")
    except ValidationError:  # of another version
        settings = values
    return {f"{section}.{key}": settings[key] for key in values}


def settings_in(profile: Profile) -> dict[str, Any]:
    """The same of a profile, with every setting of its stages."""
    found: dict[str, Any] = {"opt_out": profile.opt_out}
    for section in SECTIONS:
        values = getattr(profile, section).model_dump(mode="json")
        found |= {f"{section}.{key}": value for key, value in values.items()}
    for stage in dict.fromkeys([*profile.all_stages, *profile.stages]):
        values = profile.settings(stage).model_dump(mode="json")
        found |= {f"{stage}.{key}": value for key, value in values.items()}
    return found
