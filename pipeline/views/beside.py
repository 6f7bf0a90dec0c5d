"""Rows of an evaluation with the paper's figures beside them."""

import csv
import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

MEASURED = "table2.csv"  # of an evaluation: every method that was measured under its folder

WIDTH, NAME = 80, 24  # columns of a terminal, and of its first
PAPER = "  the paper"
_COMMAND, _HELD = re.compile("`[^`]*`"), "\0"

# Column of both tables -> heading, digits
MEASURES = {
    "ssim": ("SSIM ↑", 2),
    "psnr_db": ("PSNR, dB ↑", 2),
    "csim": ("CSIM ↑", 2),
    "fid": ("FID ↓", 1),
    "fvd": ("FVD ↓", 0),
    "sync_c": ("Sync-C ↑", 2),
    "sync_d": ("Sync-D ↓", 2),
}
SKELETONS = {
    "keypoint_error_px": ("error, px ↓", 1),
    "hand_error_px": ("hands, px ↓", 1),
    "mouth_correlation": ("mouth to loudness ↑", 3),
    "gesture_distance": ("gesture distance ↓", 2),
}


@dataclass(frozen=True)
class Line:
    """A row.

    Attributes:
        name: as the paper or we call it.
        figures: {measure: number} that were measured; empty where nothing was.
        paper: {measure: number} of the paper; empty where it has no such row.
        why: what is missing and what to do about it; "" where the row was made.
    """

    name: str
    figures: dict[str, float]
    paper: dict[str, float]
    why: str = ""


def measured(folder: Path) -> dict[str, dict[str, float]]:
    """{method: {measure: number}} of what was measured under an evaluation's folder."""
    path = folder / MEASURED
    return _figures(path.read_text("utf-8"), "method", "source", "measured") if path.is_file() else {}


def published(table: str, key: str, of: str = "", value: str = "") -> dict[str, dict[str, float]]:
    """{row: {measure: number}} of a table of the paper that comes with the project.

    Args:
        table: its file in `manifests`.
        key: column of the rows' names.
        of, value: take only rows whose column `of` is this.
    """
    return _figures(resources.files("manifests").joinpath(table).read_text("utf-8"), key, of, value)


def _figures(text: str, key: str, of: str, value: str) -> dict[str, dict[str, float]]:
    names = (*MEASURES, *SKELETONS)
    return {
        row[key]: {name: float(row[name]) for name in names if row.get(name)}
        for row in csv.DictReader(io.StringIO(text))
        if not of or row[of] == value
    }


def markdown(title: str, lines: Sequence[Line]) -> str:
    """The rows: measured figures, those of the paper behind a slash; then what is missing, a line a row."""
    text = [f"# {title}", "", "Measured / the paper's; - stands for none.", ""]
    text += _grid(MEASURES, lines)
    if any(name in line.figures for line in lines for name in SKELETONS):
        text += ["", "Skeletons, which the paper does not measure:", "", *_grid(SKELETONS, lines)]
    lacking = [f"- {line.name}: {' '.join(line.why.split())}" for line in lines if line.why]
    text += ["", "Rows that were not made, or not whole:", "", *lacking] if lacking else []
    return "\n".join(text) + "\n"


def plain(title: str, lines: Sequence[Line]) -> str:
    """The same for a terminal of 80 columns: the paper's figures stand in a line of their own."""
    text = [title, "", *_columns(MEASURES, lines)]
    if any(name in line.figures for line in lines for name in SKELETONS):
        text += ["", "Skeletons, which the paper does not measure:", *_columns(SKELETONS, lines)]
    lacking: dict[str, list[str]] = {}
    for line in lines:
        if line.why:
            lacking.setdefault(" ".join(line.why.split()), []).append(line.name)
    text += ["", "Rows that were not made, or not whole:"] if lacking else []
    for why, names in lacking.items():
        text += _wrapped(f"{', '.join(names)}: {why}")
    return "\n".join(text)


def _wrapped(text: str) -> list[str]:
    """An entry of a list; what stands in backticks stays in one line, for whoever copies it."""
    whole = _COMMAND.sub(lambda found: found[0].replace(" ", _HELD), text)
    lines = textwrap.wrap(
        whole, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )
    return [line.replace(_HELD, " ") for line in lines]


def _columns(columns: dict[str, tuple[str, int]], lines: Sequence[Line]) -> list[str]:
    """Right-aligned figures; a row that neither has any is told below the table alone."""
    width = (WIDTH - NAME) // len(columns)
    text = _headings([heading for heading, _ in columns.values()], width)
    for line in lines:
        own, theirs = (_aligned(columns, figures, width) for figures in (line.figures, line.paper))
        if own or theirs:
            named = [line.name] if len(line.name) > NAME else []  # above its figures
            text += [*named, f"{'' if named else line.name:<{NAME}}" + (own or f"{'-':>{width}}" * len(columns))]
            text += [f"{PAPER:<{NAME}}{theirs}"] if theirs else []
    return text


def _headings(headings: Sequence[str], width: int) -> list[str]:
    """Of columns of this width, over as many lines as the longest takes."""
    each = [textwrap.wrap(heading, width - 1) for heading in headings]
    most = max(map(len, each))
    rows = zip(*([""] * (most - len(words)) + words for words in each), strict=True)
    return [" " * NAME + "".join(f"{word:>{width}}" for word in row) for row in rows]


def _aligned(columns: dict[str, tuple[str, int]], figures: dict[str, float], width: int) -> str:
    if not any(name in figures for name in columns):
        return ""
    cells = [f"{figures[name]:.{digits}f}" if name in figures else "-" for name, (_, digits) in columns.items()]
    return "".join(f"{cell:>{width}}" for cell in cells)


def _grid(columns: dict[str, tuple[str, int]], lines: Sequence[Line]) -> list[str]:
    text = [f"| row | {' | '.join(heading for heading, _ in columns.values())} |", "|---|" + "---:|" * len(columns)]
    for line in lines:
        cells = [_cell(line, name, digits) for name, (_, digits) in columns.items()]
        text.append(f"| {line.name} | {' | '.join(cells)} |")
    return text


def _cell(line: Line, name: str, digits: int) -> str:
    own, theirs = (f"{figures[name]:.{digits}f}" if name in figures else "-" for figures in (line.figures, line.paper))
    return f"{own} / {theirs}" if name in MEASURES else own
