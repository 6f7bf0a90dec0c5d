"""Documents match the tree: the files they name exist, their links resolve, and every column of a shard is listed."""

import re
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.shards.format import shard_measures, shard_schema

ROOT = Path(__file__).parents[1]
NAMED = r"`((?:pipeline|stages|tests|manifests|docker|\.github|\.ci)/[\w./-]+)`"
DOCUMENTS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
)
SHORT = {"float": "float32", "double": "float64", "halffloat": "float16"}


def columns() -> str:
    """The tables of `pipeline/shards/README.md`: the shard's own columns, then those of each kind of measure."""
    layout = shard_schema()
    taken = shard_measures()
    own = [name for name in layout.names if not any(name in names for names in taken.values())]
    parts = [table(layout, own)]
    parts += [f"### `{kind}`\n\n{table(layout, names)}" for kind, names in taken.items()]
    return "\n\n".join(parts)


def table(layout: pa.Schema, names: list[str] | tuple[str, ...]) -> str:
    lines = ["| column | type | unit | what |", "|---|---|---|---|"]
    for field in (layout.field(name) for name in names):
        unit, text = (escaped(field.metadata.get(key, b"").decode()) for key in (b"unit", b"text"))
        lines.append(f"| `{field.name}` | `{short(field.type)}` | {unit} | {text} |")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Markdown takes `|` for the end of a cell and `<` for the start of a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def short(kind: pa.DataType) -> str:
    """A column's type in a word: `list<float32[266]>`, one vector a frame."""
    if pa.types.is_fixed_size_list(kind):
        return f"{short(kind.value_type)}[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"list<{short(kind.value_type)}>"
    return SHORT.get(str(kind), str(kind))


def test_there_are_documents_to_check() -> None:
    assert {ROOT / "README.md", ROOT / "stages" / "README.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_a_document_names_exist(document: Path) -> None:
    named = re.findall(NAMED, document.read_text())
    real = [name for name in named if "NAME" not in name]  # `stages/NAME.py` stands for any stage
    assert not [name for name in real if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()) if "://" not in link]
    for target, _, anchor in (link.partition("#") for link in links):
        path = document.parent / target if target else document
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path / "README.md" if path.is_dir() else path), (target, anchor)


def anchors(document: Path) -> set[str]:
    """What GitHub makes of the headings: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_column_of_a_shard_is_described() -> None:
    assert columns() in (ROOT / "pipeline" / "shards" / "README.md").read_text()
