"""A setting as an option of a command: its name, its choices, its kind of value, and what a shell may complete it to."""

import json
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.base import toml
from pipeline.cli import complete

_LONGEST_DEFAULT = 40


def flag(key: str) -> str:
    """The option of a setting: `backend_dir` is `--backend-dir`."""
    return f"--{key.replace('_', '-')}"


def option_of(key: str, field: FieldInfo, parameter: str) -> Any:
    """The decorator that adds a setting to a command.

    Args:
        key: the setting's name.
        field: what pydantic knows of it.
        parameter: the name under which click hands it over.
    """
    names = choices(field.annotation)
    only = get_origin(_without_none(field.annotation)) is Literal
    kind = click.Choice(names) if names and only else None
    metavar = None if kind else kind_of(field)
    more: dict[str, Any] = {"shell_complete": complete.paths} if metavar == "TEXT" else {}  # most are names of files
    if metavar == "LIST":
        more = {"multiple": True, "callback": _joined}
    return click.option(
        flag(key), parameter, type=kind, metavar=metavar, help=_help(field, [] if only else names), **more
    )


def _joined(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """A list of one text as it was given, or of several options' texts: click takes the last one, and leaves the others out."""
    if len(given) < 2:
        return next(iter(given), None)
    for text in given:
        if _is_list(text):
            raise click.BadParameter(
                f"{text} is a list: give one list, or the option once for each item", context, option
            )
    # TOML takes no surrogate pairs, which JSON writes beyond U+FFFF, and no bare U+007F, which JSON leaves as it is.
    return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_list(text: str) -> bool:
    try:
        return isinstance(toml.parse(f"value = {text}").get("value"), list)
    except toml.BadToml:
        return False


def choices(annotation: Any) -> list[str]:
    """The names that a setting takes, or that its list is made of; none where it takes anything."""
    plain = _without_none(annotation)
    if get_origin(plain) is Literal:
        return [str(value) for value in get_args(plain)]
    inside = [part for part in get_args(plain) if part is not Ellipsis] if get_origin(plain) in (tuple, list) else []
    return choices(inside[0]) if len(inside) == 1 else []


def kind_of(field: FieldInfo) -> str:
    """What kind of value a setting takes, in a word."""
    plain = _without_none(field.annotation)
    if plain is bool:
        return "true|false"
    kinds = {int: "INTEGER", float: "NUMBER", str: "TEXT"}
    lists = {tuple: "LIST", list: "LIST", dict: "TABLE"}
    return kinds.get(plain) or lists.get(get_origin(plain) or plain) or "VALUE"


def _without_none(annotation: Any) -> Any:
    """The one type of `X | None`; other types as they are."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    optional = type(None) in get_args(annotation) and len(kinds) == 1
    return kinds[0] if optional else annotation


def _help(field: FieldInfo, names: list[str]) -> str:
    """What a setting does, what its list may hold, its range, and what it is when nothing is said."""
    notes = [f"of: {', '.join(names)}"] if names else []
    if limits := _limits(field):
        notes.append(limits)
    default = field.default
    if default is not PydanticUndefined and default not in (None, "", (), [], {}):
        text = default if isinstance(default, str) else json.dumps(default, default=str)
        notes.append(f"default: {text}" if len(text) <= _LONGEST_DEFAULT else "default: see `csg405 profile show`")
    return f"{field.description or ''}{'  [' + '; '.join(notes) + ']' if notes else ''}"


def _limits(field: FieldInfo) -> str:
    """A range as mathematicians write it; "" where there is none."""
    known = {
        name: getattr(one, name) for one in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(one, name)
    }
    low = f"{known['ge']}<=" if "ge" in known else f"{known['gt']}<" if "gt" in known else ""
    high = f"<={known['le']}" if "le" in known else f"<{known['lt']}" if "lt" in known else ""
    return f"{low}x{high}" if low or high else ""
