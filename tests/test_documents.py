"""Documents match the tree: the files they name exist, their links resolve, and the tables made from the code are fresh."""

import re
from pathlib import Path

import pytest

from tests import documents
from tests.documents import ROOT

NAMED = r"`((?:pipeline|stages|tests|manifests|docker|\.github|\.ci)/[\w./-]+)`"
DOCUMENTS = documents.documents()


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


def test_the_tables_made_from_the_code_are_fresh() -> None:
    assert not documents.stale(), "make docs"


@pytest.mark.parametrize("name", documents.TABLES)
def test_every_table_stands_in_a_document(name: str) -> None:
    assert any(f"<!-- made: {name} -->\n" in document.read_text() for document in DOCUMENTS)


def test_a_table_is_made_anew_between_its_marks_alone() -> None:
    text = "before\n<!-- made: reasons -->\n| old |\n<!-- end -->\nafter\n"
    anew = documents.made_anew(text)
    assert anew.startswith("before\n<!-- made: reasons -->\n\n| reason |") and anew.endswith(
        "\n\n<!-- end -->\nafter\n"
    )
    assert "| old |" not in anew and documents.made_anew(anew) == anew


def test_a_cell_is_what_it_says() -> None:
    assert documents.escaped("a < b | `c < d`\n e") == "a &lt; b \\| `c < d` e"
