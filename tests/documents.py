"""The tables in the documents that are made from the code: `make docs` writes them anew, `make lint` asks whether they are stale.

In a document, `<!-- made: NAME -->` stands before such a table and `<!-- end -->` behind it.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import click
import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.base.reasons import Reason
from pipeline.cli.main import SECTIONS as SECTIONS_OF_COMMANDS
from pipeline.cli.main import main
from pipeline.engine.lookup import settings_class
from pipeline.engine.profile import SECTIONS, Profile, as_toml, load, shipped
from pipeline.engine.settings import is_runtime
from pipeline.engine.thresholds import Threshold
from pipeline.registry.models import Entry, load_entries
from pipeline.shards.format import shard_measures, shard_schema
from stages.judge.settings import CHECKS, JudgeSettings

ROOT = Path(__file__).parents[1]
PLACE = re.compile(r"(<!-- made: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SHORT = {"float": "float32", "double": "float64", "halffloat": "float16"}
TYPED = re.compile(r"([A-Z_]+=\S+ )*(csg405|make|\.venv/bin/\S+|python -m|sh) .")
LONGEST = 100  # characters of a value in a cell
SETTING = ("setting", "default", "what", "in profiles")


def documents() -> list[Path]:
    """Every document of the tree, sorted."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return sorted(ROOT / name for name in names)


def made_anew(text: str) -> str:
    """A document's text with its tables made anew; KeyError for one that nothing makes."""
    return PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]]()}\n\n{place[4]}", text)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([escaped(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Markdown takes `|` for the end of a cell and `<` for the start of a tag, but in code."""
    text = " ".join(text.split()).replace("|", "\\|")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(text.split("`")))


def code(value: object) -> str:
    """A value as code, cut where it is long; nothing for nothing."""
    text = str(value)
    return f"`{text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'}`" if text else ""


def commands_in(text: str) -> list[str]:
    """What a document has its readers type: lines of its blocks of shell, and code within sentences that begins like one."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line for line in lines if line and not line.startswith("#")] + [one for one in inline if TYPED.match(one)]


def columns() -> str:
    """A shard's own columns, then those of each kind of measure."""
    layout = shard_schema()
    taken = shard_measures()
    own = [name for name in layout.names if not any(name in names for names in taken.values())]
    parts = [_columns(layout, own)]
    parts += [f"### `{kind}`\n\n{_columns(layout, names)}" for kind, names in taken.items()]
    return "\n\n".join(parts)


def _columns(layout: pa.Schema, names: Iterable[str]) -> str:
    def row(field: pa.Field) -> list[str]:
        unit, text = (field.metadata.get(key, b"").decode() for key in (b"unit", b"text"))
        return [code(field.name), code(short(field.type)), unit, text]

    return table(("column", "type", "unit", "what"), (row(layout.field(name)) for name in names))


def short(kind: pa.DataType) -> str:
    """A column's type in a word: `list<float32[266]>`, one vector a frame."""
    if pa.types.is_fixed_size_list(kind):
        return f"{short(kind.value_type)}[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"list<{short(kind.value_type)}>"
    return SHORT.get(str(kind), str(kind))


def reasons() -> str:
    """Every reason for which a unit is rejected or fails."""
    return table(
        ("reason", "class", "what it says"), ((code(one.code), one.kind.value, one.sentence) for one in Reason)
    )


def profiles() -> str:
    """The profiles that come with the project, with the stages of each target."""
    rows = []
    for profile in _profiles():
        targets = "; ".join(f"{name}: {', '.join(names)}" for name, names in profile.targets.items())
        rows.append((code(profile.name), profile.description, targets))
    return table(("profile", "what it builds", "its targets"), rows)


def nets() -> str:
    """The registry: what each net is for, how large it is, its licence and where it comes from."""

    def row(name: str, entry: Entry) -> tuple[str, ...]:
        size = f"{entry.bytes / 1e6:.0f} MB" if entry.bytes else ""
        known = "yes" if entry.sha256 else "made by code" if entry.builder else "no: `csg405 models pin`"
        return code(name), entry.purpose, size, entry.licence, known, _host(entry)

    entries = load_entries().items()
    return table(("net", "what for", "size", "licence", "hash known", "from"), (row(*entry) for entry in entries))


def _host(entry: Entry) -> str:
    if entry.url:
        return urlsplit(entry.url).hostname or ""
    return f"the package {code(entry.package)}" if entry.package else "this project" if entry.builder else "your folder"


def thresholds() -> str:
    """Every threshold of `judge`, in the order in which reasons are told, and what profiles make of it."""

    def row(check: Threshold) -> tuple[str, ...]:
        text = JudgeSettings.model_fields[check.setting].description or ""
        where = _elsewhere("judge", check.setting)
        return code(f"judge.{check.setting}"), _value(check.default), text, code(check.reason.code), where

    return table(("setting", "default", "what is compared with it", "reason", "in profiles"), map(row, CHECKS))


def settings() -> str:
    """Every setting: those of a profile's sections, then those of each stage and program but the thresholds."""
    names = sorted(path.parent.name for path in (ROOT / "stages").glob("*/__init__.py"))
    return "\n\n".join([*(_section(*section) for section in SECTIONS.items()), *map(_stage, names)])


def _section(name: str, section: type[BaseModel]) -> str:
    def row(key: str, field: FieldInfo) -> tuple[str, ...]:
        values = {profile.name: getattr(getattr(profile, name), key) for profile in _profiles()}
        return _setting(f"{name}.{key}", field, values)

    return f"### `{name}`\n\n{table(SETTING, (row(*item) for item in section.model_fields.items()))}"


def _stage(name: str) -> str:
    cls = settings_class(name)
    apart = {check.setting for check in CHECKS} if name == "judge" else set()
    rows = [
        _setting(f"{name}.{key}", field, _values(name, key), "; never changes results" if is_runtime(cls, key) else "")
        for key, field in cls.model_fields.items()
        if key not in apart
    ]
    return f"### `{name}`\n\n{table(SETTING, rows)}" if rows else f"### `{name}`\n\nNo settings."


def _setting(name: str, field: FieldInfo, values: Mapping[str, object], note: str = "") -> tuple[str, ...]:
    default = field.get_default(call_default_factory=True)
    return code(name), _value(default), (field.description or "") + note, _apart(values, default)


def _elsewhere(stage: str, key: str) -> str:
    default = settings_class(stage).model_fields[key].get_default(call_default_factory=True)
    return _apart(_values(stage, key), default)


def _values(stage: str, key: str) -> dict[str, object]:
    """What each profile that knows a stage makes of a setting of it."""
    return {
        one.name: getattr(one.settings(stage), key) for one in _profiles() if stage in {*one.all_stages, *one.stages}
    }


def _apart(values: Mapping[str, object], default: object) -> str:
    """The profiles in which a setting is not what it is by default, those of one value together."""
    by_value: dict[str, list[str]] = {}
    for profile, value in values.items():
        if value != default:
            by_value.setdefault(_value(value), []).append(profile)
    return "; ".join(f"{', '.join(names)}: {value}" for value, names in by_value.items())


def _value(value: object) -> str:
    if value is PydanticUndefined:
        return "has to be given"
    return code("off" if value is None else as_toml(value))


@cache
def _profiles() -> tuple[Profile, ...]:
    return tuple(map(load, shipped()))


def commands() -> str:
    """Every command of `csg405`, by what one wants."""
    rows = [
        (section if place == 0 else "", *row)
        for section, names in SECTIONS_OF_COMMANDS.items()
        for place, row in enumerate(row for name in names for row in _command(main, name, "csg405"))
    ]
    return table(("to", "command", "what"), rows)


def _command(group: click.Group, name: str, path: str) -> Iterator[tuple[str, str]]:
    context = click.Context(group)
    command = group.get_command(context, name)
    assert command is not None, name
    arguments = [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]
    yield code(" ".join([path, name, *arguments])), (command.help or "").split("\n\n")[0]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _command(command, below, f"{path} {name}")


def targets() -> str:
    """The targets of the Makefile, with what each does."""
    found = re.findall(r"^([a-z0-9-]+):.*?## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return table(("target", "what"), ((code(f"make {name}"), text) for name, text in found))


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made for made in (columns, reasons, profiles, nets, thresholds, settings, commands, targets)
}


def stale(write: bool = False) -> list[str]:
    """The documents with a table that is not as the code makes it; with `write` they are mended."""
    found = []
    for document in documents():
        text = document.read_text()
        if (anew := made_anew(text)) != text:
            found.append(str(document.relative_to(ROOT)))
            if write:
                document.write_text(anew)
    return found


if __name__ == "__main__":
    checking = sys.argv[1:] == ["--check"]
    changed = stale(write=not checking)
    for name in changed:
        print(f"{name} is stale: make docs" if checking else f"{name} is written anew")
    sys.exit(checking and bool(changed))
