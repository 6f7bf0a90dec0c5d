"""Seeded damage to rows of manifests and lists of every form, and what is made of them: `python -m tests.bench trust` runs many."""

import ast
import csv
import json
import random
import re
import string
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.sources.manifest import ManifestRow, read_manifest
from pipeline.sources.web.lists import read_list

Span = tuple[str, float, float]  # YouTube id, start and end in seconds

_ALPHABET = string.ascii_letters + string.digits + "_-"
_ODD = [
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\0",
    "\x1b",
    "\u202e",
    "\u2028",
    "é",
    "0",
    "9" * 40,
    '{"vid"',
    "[" * 400,
]
TALKVID_FPS = 24.0
_BYTES = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0")


@dataclass(frozen=True)
class Form:
    """A form of manifest.

    Attributes:
        row: a clip's text.
        head, between, tail: what makes a file of rows.
        truth: reads a row's text in another way than the reader does; raises where it is none.
        name: of the file.
    """

    row: Callable[[str, float, float], str]
    truth: Callable[[str], list[Span]]
    head: str = ""
    between: str = "\n"
    tail: str = "\n"
    name: str = "manifest.txt"


def _clock(seconds: float) -> str:
    whole, millis = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{millis:03d}"


def _seconds(text: str) -> float:
    hours, minutes, seconds = re.split("[:_]", text.replace(",", "."), maxsplit=2)
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds.replace("_", "."))


def _objects(text: str, key: str) -> Iterator[dict[str, Any]]:
    """All that a row still holds."""
    for brace in re.finditer("{", text):
        try:
            found = json.JSONDecoder().raw_decode(text, brace.start())[0]
        except (ValueError, RecursionError):
            continue
        if key in found:
            yield found


def _csg(vid: str, start: float, end: float) -> str:
    times = {"start_time": _clock(start), "end_time": _clock(end)}
    return json.dumps({"vid": vid, "part": 0, **times, "crop_box": [300, 0, 1020, 720]})


def _csg_truth(text: str) -> list[Span]:
    spans = []
    for entry in _objects(text, "vid"):
        shift = 3600 * int(entry["part"])
        spans.append((entry["vid"], shift + _seconds(entry["start_time"]), shift + _seconds(entry["end_time"])))
    return spans


def _name_truth(text: str) -> list[Span]:
    text = text.strip().removesuffix(".mp4")
    found = re.fullmatch(r"(?s)(.{11})_(\d+)_(\d\d.\d\d.\d\d.\d+)_(\d\d.\d\d.\d\d.\d+)", text)
    assert found
    return [(found[1], 3600 * int(found[2]) + _seconds(found[3]), 3600 * int(found[2]) + _seconds(found[4]))]


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([text], strict=True))]


def _id_in(url: str) -> str:
    found = re.search(r"(?i)(?:v=|youtu\.be/|embed/|shorts/|live/|/v/|/e/|yt:)([\w-]{11})(?![\w-])", url)
    assert found
    return found[1]


def _emtd_truth(text: str) -> list[Span]:
    _, url, start, end = _cells(text)[:4]
    return [(_id_in(url), _seconds(start), _seconds(end))]


def _panda(vid: str, start: float, end: float) -> str:
    stamps = str([[_clock(start), _clock(end)], [_clock(end + 1), _clock(end + 9)]])
    return (
        f'{vid},https://www.youtube.com/watch?v={vid},"{stamps}","[\'she says ""no"", and so on\', \'b\']","[0.4, 0.5]"'
    )


def _panda_truth(text: str) -> list[Span]:
    cells = _cells(text)
    pairs = ast.literal_eval(cells[2].replace("] [", "], ["))  # as numpy writes a list of lists
    return [(_id_in(cells[1]), _seconds(a), _seconds(b)) for a, b in pairs]


def _celebv(vid: str, start: float, end: float) -> str:
    box = {"top": 0.1, "bottom": 0.9, "left": 0.2, "right": 0.6}
    about = {"appearance": [0, 1] * 20, "emotion": {"sep_flag": False, "labels": "neutral"}}
    times = {"start_sec": start, "end_sec": end}
    return f'"{vid}_0": ' + json.dumps(
        {"ytb_id": vid, "duration": times, "bbox": box, "attributes": about, "version": "v0.1"}
    )


def _celebv_truth(text: str) -> list[Span]:
    entries = _objects(text, "ytb_id")
    return [(entry["ytb_id"], entry["duration"]["start_sec"], entry["duration"]["end_sec"]) for entry in entries]


def _release(vid: str, start: float, end: float) -> str:
    frames = {"first_frame": round(25 * start), "frames": round(25 * (end - start)), "width": 1280, "height": 720}
    times = {"start_seconds": start, "end_seconds": end}
    return json.dumps({"video_id": f"yt:{vid}", **times, **frames, "crop_box": [0, 0, 700, 700], "person": 0})


def _release_truth(text: str) -> list[Span]:
    entries = _objects(text, "video_id")
    return [(entry["video_id"].removeprefix("yt:"), entry["start_seconds"], entry["end_seconds"]) for entry in entries]


def _pretty(vid: str, start: float, end: float) -> str:
    return json.dumps(json.loads(_release(vid, start, end)), indent=2)


def _talkvid(vid: str, start: float, end: float) -> str:
    link = {"Person ID": "7", "Video Link": f"https://www.youtube.com/watch?v={vid}"}
    frames = {"start-frame": round(start * TALKVID_FPS), "end-frame": round(end * TALKVID_FPS)}
    times = {"start-time": start, "end-time": end, **frames}
    size = {"height": 1080, "width": 1920, "fps": TALKVID_FPS}
    return json.dumps({"id": "video-scene1", **size, **times, "info": link, "description": "A man, seated: he nods."})


def _talkvid_truth(text: str) -> list[Span]:
    found = []
    for entry in _objects(text, "info"):
        if "start-time" in entry or "end-time" in entry:
            span = entry["start-time"], entry["end-time"]
        else:  # both names are damaged: the pictures say the same
            span = entry["start-frame"] / entry["fps"], entry["end-frame"] / entry["fps"]
        found.append((_id_in(entry["info"]["Video Link"]), *span))
    return found


def _video2dataset(vid: str, start: float, end: float) -> str:
    row = {"url": f"https://youtu.be/{vid}", "caption": "a talk", "clips": [[_clock(start), _clock(end)]]}
    return json.dumps(row)


def _video2dataset_truth(text: str) -> list[Span]:
    found = []
    for entry in _objects(text, "clips"):
        found += [(_id_in(entry["url"]), _seconds(a), _seconds(b)) for a, b in entry["clips"]]
    return found


def _tabbed(vid: str, start: float, end: float) -> str:
    return f"a, {vid}\t{vid}\t{start}\t{end}"


def _tabbed_truth(text: str) -> list[Span]:
    _, vid, start, end = (cell.strip() for cell in text.split("\t")[:4])
    assert re.fullmatch(r"[\w-]{11}", vid, re.ASCII)
    return [(vid, float(start), float(end))]


FORMS = {
    "csg405_json": Form(_csg, _csg_truth, "[\n", ",\n", "\n]\n"),
    "csg405_json in one line": Form(_csg, _csg_truth, "[", ", ", "]"),
    "csg405_names": Form(lambda vid, a, b: f"{vid}_0_{_clock(a)}_{_clock(b)}", _name_truth),
    "emtd_csv": Form(
        lambda vid, a, b: f'"a, {vid}",https://youtu.be/{vid},{_clock(a)},{_clock(b)}',
        _emtd_truth,
        "Name,URL,Start Timecode,End Timecode\n",
    ),
    "panda_csv": Form(_panda, _panda_truth, "videoID,url,timestamp,caption,matching_score\n"),
    "celebv_json": Form(_celebv, _celebv_truth, '{"meta_info": {"x": [1]}, "clips": {\n', ",\n", "\n}}\n"),
    "objects": Form(_talkvid, _talkvid_truth, "[\n", ",\n", "\n]\n"),
    "objects in lines": Form(_video2dataset, _video2dataset_truth),
    "emtd_csv in tabs": Form(_tabbed, _tabbed_truth, "title\tvideo_id\tstart\tend\n"),
    "release": Form(_release, _release_truth),
    "release in several lines": Form(_pretty, _release_truth),
}


def mutated(rng: random.Random, text: str) -> bytes:
    """A row with one to three damages, none of which begins a line anew."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, to = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        match rng.randrange(7):
            case 0:
                text = text[:at] + text[at + 1 :]
            case 1 | 2:
                text = text[:at] + rng.choice(_ODD) + text[at:]
            case 3:
                text = text[:at] + rng.choice(_ODD) + text[at + 1 :]
            case 4:
                text = text[:to] + text[at:to].replace("\n", " ") + text[to:]
            case 5:
                text = text[:at]
            case _:
                text = text[:at] + rng.choice(_ALPHABET) + text[at + 1 :]
    raw = text.encode()
    if rng.random() < 0.1:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + rng.choice(_BYTES) + raw[at:]
    return raw


def clips(rng: random.Random, count: int) -> list[Span]:
    ids = ["".join(rng.choices(_ALPHABET, k=11)) for _ in range(count)]
    starts = [rng.randrange(3_000_000) / 1000 for _ in range(count)]
    return [
        (vid, start, round(start + rng.randrange(5000, 15000) / 1000, 3))
        for vid, start in zip(ids, starts, strict=True)
    ]


def read_damaged(form: Form, rng: random.Random, count: int, folder: Path) -> "Counter[str]":
    """Write a manifest of so many rows, one in four of them damaged, and count what came of it.

    Counts `rows`, `damaged`, `accepted` (damaged, and what it still says was read), and what must not be: `crashes`,
    `lost` (rows that were not damaged), `unsaid` (damaged rows of which nothing is read and nothing said) and `wrong`.
    """
    spans = clips(rng, count)
    whole = [form.row(*span) for span in spans]
    rows = [text.encode() for text in whole]
    damaged = set(rng.sample(range(count), count // 4))
    for at in damaged:
        rows[at] = mutated(rng, whole[at])
    path = folder / form.name
    path.write_bytes(form.head.encode() + form.between.encode().join(rows) + form.tail.encode())
    found: Counter[str] = Counter(rows=count, damaged=len(damaged))
    try:
        read_list(path)
        manifest = read_manifest(path)
    except Exception:  # noqa: BLE001 - that is what is counted
        return found + Counter(crashes=1, lost=count - len(damaged))
    true: dict[Span, int] = {}
    for at, row in enumerate(rows):
        for vid, start, end in _told(form, row.decode(errors="replace")):
            true.setdefault((vid, round(start, 3), round(end, 3)), at)
    read = Counter(true.get(_span(row), -1) for row in manifest.rows)
    found["wrong"] = read.pop(-1, 0)
    found["lost"] = sum(1 for at in range(count) if at not in damaged and not read[at])
    found["accepted"] = sum(1 for at in damaged if read[at])
    silent = [at for at in damaged if rows[at].decode(errors="replace").strip() and not read[at]]
    joined = _joined(damaged) if "url" in form.head.lower() else 0
    found["unsaid"] = max(0, len(silent) - len(manifest.bad) - joined)
    return found


def read_damaged_links(name: str, rng: random.Random, count: int, folder: Path) -> "Counter[str]":
    """The same for a list of links, of which a good line is a link or a bare id, or a row with a quoted title."""
    ids = [span[0] for span in clips(rng, count)]
    table = name.endswith(".csv")
    whole = [
        f'"a, {n}",https://a.org/{vid}' if table else rng.choice((f"https://a.org/{vid}", vid))
        for n, vid in enumerate(ids)
    ]
    lines = [text.encode() for text in whole]
    damaged = set(rng.sample(range(count), count // 4))
    for at in damaged:
        lines[at] = mutated(rng, whole[at])
    (folder / name).write_bytes((b"title,url\n" if table else b"") + b"\n".join(lines) + b"\n")
    found: Counter[str] = Counter(rows=count, damaged=len(damaged))
    try:
        read = read_list(folder / name)
    except Exception:  # noqa: BLE001 - that is what is counted
        return found + Counter(crashes=1, lost=count - len(damaged))
    named = {link[-11:] for link in read.links}
    found["lost"] = sum(1 for at, vid in enumerate(ids) if at not in damaged and vid not in named)
    found["wrong"] = max(0, len(read.links) - (count - found["lost"]))
    kept = len(read.links) + read.repeated
    said = sum(1 for line in lines if line.decode(errors="replace").strip() and not line.lstrip().startswith(b"#"))
    found["unsaid"] = max(0, said - kept - len(read.bad) - (_joined(damaged) if table else 0))
    return found


def _joined(damaged: set[int]) -> int:
    """Damaged lines that follow one: with a quote open in both, a table of CSV has one row there, of which one thing is said."""
    return sum(at - 1 in damaged for at in damaged)


def _span(row: ManifestRow) -> Span:
    return row.video_id[3:], round(row.start_seconds, 3), round(row.end_seconds, 3)


def _told(form: Form, text: str) -> list[Span]:
    try:
        return form.truth(text)
    except Exception:  # noqa: BLE001 - it says nothing that could be read
        return []


def figures(seed: int, rows: int) -> dict[str, dict[str, int]]:
    """What came of so many rows of each form, a thousand a file at most."""
    table: dict[str, dict[str, int]] = {}
    for name in ("links.txt", "links.csv"):
        with tempfile.TemporaryDirectory() as folder:
            table[name] = dict(read_damaged_links(name, random.Random(f"{seed} {name}"), rows, Path(folder)))
    for name, form in FORMS.items():
        rng = random.Random(f"{seed} {name}")
        total: Counter[str] = Counter()
        for begin in range(0, rows, 1000):
            with tempfile.TemporaryDirectory() as folder:
                total.update(read_damaged(form, rng, min(1000, rows - begin), Path(folder)))
        table[name] = dict(total)
    return table
