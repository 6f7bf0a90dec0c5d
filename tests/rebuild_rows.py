"""A manifest as the paper's release writes it, with known clips and planted faults, each on a line that is remembered."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.base.units import Box
from pipeline.sources.manifest.rows import clock
from tests.rebuild_films import TILES, Film

Entry = dict[str, Any]


@dataclass
class Planted:
    """What was written.

    Attributes:
        good: line -> (film, first frame, frames, crop of 1280x720 or None).
        faults: line -> what was planted there.
        beyond: lines of rows that are well formed and lie beyond the end of their video.
    """

    good: dict[int, tuple[Film, int, int, Box | None]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    beyond: set[int] = field(default_factory=set)


def entry_of(film: Film, start: int, end: int, box: Box | None, part: int = 0) -> Entry:
    """A row; times in milliseconds from the part's beginning."""
    times = {"start_time": clock(start * 1000), "end_time": clock(end * 1000)}
    return {"vid": film.video_id[3:], "part": part, **times, "crop_box": list(box) if box else []}


def frames_of(start: int, end: int) -> tuple[int, int]:
    """First frame and frames of a span of milliseconds from the video's beginning: nearest, halves up."""
    half = Fraction(1, 2)
    return int(Fraction(25 * start, 1000) + half), int(Fraction(25 * (end - start), 1000) + half)


def some_box(rng: random.Random) -> Box:
    """A crop of 1280x720, as often as not no square, at times over the picture's edge, always with a whole tile in it."""
    width, height = rng.randrange(2 * 1280 // TILES * 2, 720), rng.randrange(2 * 720 // TILES * 2, 720)
    if rng.random() < 0.4:
        height = width = max(width, height)
    x, y = rng.randrange(-60, 1280 - width + 60), rng.randrange(-40, max(1, 720 - height + 40))
    return x, y, x + width, y + height


# Each makes of a good entry, and the text it would be written as, the text that stands in the file.
FAULTS: dict[str, Callable[[Entry], Entry | str]] = {
    "id of 10 characters": lambda e: e | {"vid": e["vid"][:10]},
    "id with a space": lambda e: e | {"vid": f"{e['vid'][:5]} {e['vid'][6:]}"},
    "id that climbs": lambda e: e | {"vid": "../../../ab"},
    "id null": lambda e: e | {"vid": None},
    "id a number": lambda e: e | {"vid": 12345678901},
    "part below 0": lambda e: e | {"part": -1},
    "part a fraction": lambda e: e | {"part": 0.5},
    "part a word": lambda e: e | {"part": "first"},
    "no start": lambda e: {k: v for k, v in e.items() if k != "start_time"},
    "ends before it starts": lambda e: e | {"start_time": e["end_time"], "end_time": e["start_time"]},
    "ends where it starts": lambda e: e | {"end_time": e["start_time"]},
    "60 seconds a minute": lambda e: e | {"end_time": "00:00:60.000"},
    "time null": lambda e: e | {"end_time": None},
    "time NaN": lambda e: e | {"end_time": float("nan")},
    "lasts an hour": lambda e: e | {"end_time": "01:00:00.000"},
    "box of three": lambda e: e | {"crop_box": [0, 0, 300]},
    "box NaN": lambda e: e | {"crop_box": [0, 0, float("nan"), 300]},
    "box turned": lambda e: e | {"crop_box": [800, 0, 200, 600]},
    "box of words": lambda e: e | {"crop_box": ["0", "0", "300", "300"]},
    "box far away": lambda e: e | {"crop_box": [0, 0, 90000, 300]},
    "nested": lambda e: json.dumps(e)[:-1] + ', "x": ' + "[" * 3000 + "]" * 3000 + "}",
    "ten thousand digits": lambda e: json.dumps(e | {"part": 0})[:-1] + ', "part": ' + "1" * 10_000 + "}",
    "brace missing": lambda e: json.dumps(e, indent=4)[:-1].rstrip(),
    "quote missing": lambda e: json.dumps(e).replace('"start_time": "', '"start_time": ', 1),
    "a word": lambda e: '"clip"',
    "a list": lambda e: "[1, 2, 3]",
    "not UTF-8": lambda e: json.dumps(e | {"vid": "caf\udce9" + e["vid"][4:]}, ensure_ascii=False),
}


def write(path: Path, films: list[Film], rows: int, seed: int = 405) -> Planted:
    """Write a manifest of so many rows, 5 % of them faulty; each film is named in some good row."""
    rng = random.Random(seed)
    planted = Planted()
    kinds = [*FAULTS, "beyond the end", "twice"]
    faults = {at: kinds[i % len(kinds)] for i, at in enumerate(rng.sample(range(len(films), rows), rows // 20))}
    lines: list[str] = ["["]
    spans: set[tuple[str, int, int]] = set()
    last: Entry | None = None
    for at in range(rows):
        film = films[at % len(films)]
        entry, clip = _fresh(rng, film, spans)
        fault = faults.get(at)
        line = len(lines) + 1
        text: Entry | str = entry
        if fault == "twice":
            assert last is not None
            text = last
        elif fault == "beyond the end":
            late = round(film.seconds * 1000) - 300
            part, late = divmod(late, 3_600_000)
            text = entry_of(film, late, late + 1000, None, part)
            planted.beyond.add(line)
        elif fault:
            text = FAULTS[fault](entry)
        if fault:
            planted.faults[line] = fault
        else:
            planted.good[line] = clip
            last = entry
        shown = text if isinstance(text, str) else json.dumps(text, indent=4)
        lines += (shown + ("," if at < rows - 1 else "")).split("\n")
    path.write_bytes("\n".join([*lines, "]"]).encode("utf-8", "surrogateescape"))
    return planted


def _fresh(
    rng: random.Random, film: Film, spans: set[tuple[str, int, int]]
) -> tuple[Entry, tuple[Film, int, int, Box | None]]:
    """A good row whose pictures no other row names; in the second hour where the film has one."""
    box = some_box(rng) if rng.random() < 0.9 else None
    for part, low in _parts(film):
        high = round(film.seconds * 1000) - 1300
        while True:
            start = rng.randrange(low, high)
            end = start + rng.randrange(600, 900)
            first, frames = frames_of(start, end)
            if (film.video_id, first, frames) not in spans:
                break
        spans.add((film.video_id, first, frames))
        shift = part * 3_600_000
        return entry_of(film, start - shift, end - shift, box, part), (film, first, frames, box)
    raise AssertionError("a film has a part")


def _parts(film: Film) -> Iterator[tuple[int, int]]:
    """(part, its first millisecond) of the film's last part: the others show nothing new."""
    yield (1, 3_600_000) if film.seconds > 3601 else (0, 0)
