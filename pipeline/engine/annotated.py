"""Profiles and choices as TOML that explains itself, as commands show and keep them."""

from typing import Any

import tomlkit
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from tomlkit import TOMLDocument
from tomlkit.items import Item, Table

from pipeline.engine.chosen import TABLES, TEXTS, Chosen
from pipeline.engine.profile import SECTIONS, Profile
from pipeline.engine.settings import Settings, is_runtime


def show(profile: Profile) -> str:
    """The whole profile as annotated TOML: every setting of every stage with its value, default and description."""
    text = tomlkit.document()
    _add(text, "name", profile.name)
    _add(text, "description", profile.description)
    _add(text, "opt_out", profile.opt_out, "file of ids and channels that are left out everywhere")
    _add(text, "required", profile.required)
    for section, cls in SECTIONS.items():
        table = tomlkit.table()
        for name, field in cls.model_fields.items():
            _add(table, name, getattr(getattr(profile, section), name), field.description)
        text.add(tomlkit.nl()).add(section, table)
    targets = tomlkit.table()
    for name, stages in profile.targets.items():
        _add(targets, name, stages)
    text.add(tomlkit.nl()).add("targets", targets)
    all_stages = tomlkit.table(is_super_table=True)
    for name in dict.fromkeys([*profile.all_stages, *profile.stages]):
        _add_stage(all_stages, name, profile.settings(name))
    if all_stages:
        text.add(tomlkit.nl()).add("stages", all_stages)
    return tomlkit.dumps(text)


def chosen(choices: Chosen) -> str:
    """What was chosen for a run, for its folder."""
    text = tomlkit.document()
    text.add(
        tomlkit.comment("What was chosen for this run, however it is named; everything else is as the profile says.")
    )
    text.add(tomlkit.comment("`csg405 run TARGET --reset KEY` goes back to the profile's."))
    for key in TEXTS:
        if value := getattr(choices, key):
            text.add(key, value)
    for title in TABLES:
        if table := getattr(choices, title):
            text.add(tomlkit.nl()).add(title, dict(table))
    return tomlkit.dumps(text)


def _add_stage(stages: Table, name: str, settings: Settings) -> None:
    """Append the table of a stage's settings; one that is not set is a comment, since TOML has no null."""
    cls, values, table = type(settings), settings.model_dump(mode="json"), tomlkit.table()
    for key, field in cls.model_fields.items():
        notes = [field.description or "", "never changes results" if is_runtime(cls, key) else ""]
        default = field.get_default(call_default_factory=True)
        if default is not PydanticUndefined and default != getattr(settings, key):
            notes.append(f"default {in_toml(default).as_string()}")
        note = "; ".join(note for note in notes if note)
        if values[key] is None and default is None:
            table.add(tomlkit.comment(f"{key} is not set" + (f"  # {_line_of(note)}" if note else "")))
        else:
            _add(table, key, "off" if values[key] is None else values[key], note)  # TOML has no null: see `SWITCHABLE`
    if stages:
        table.trivia.indent = "\n"  # an empty line before its header
    stages.add(name, _commented(table, cls.summary))


def _add(table: TOMLDocument | Table, key: str, value: Any, comment: str | None = "") -> None:
    table.add(key, _commented(in_toml(value), comment))


def _commented(item: Item, comment: str | None) -> Item:
    """The item with a comment behind it, after two blanks as in Python."""
    if comment:
        item.comment(_line_of(comment))
        item.trivia.comment_ws = "  "
    return item


def _line_of(text: str) -> str:
    return " ".join(text.split())


def in_toml(value: Any) -> Item:
    """The value in TOML, on one line; entries of a table that are None are left out."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, entry in value.items():
            if entry is not None:
                table.add(str(key), in_toml(entry))
        return table
    if isinstance(value, list | tuple | set | frozenset):
        array = tomlkit.array()
        array.extend(in_toml(entry) for entry in value)
        return array
    return tomlkit.item(value if isinstance(value, bool | int | float) else str(value))
