"""Which form a manifest has, by how it begins.

- `csg405_json`: the paper's `all_with_crop.json`, a list of {vid, part, start_time, end_time, crop_box};
- `csg405_names`: its `all.txt`, `{vid}_{part}_{start}_{end}` a line, with or without `.mp4`, times with `:` and `.` or `_`;
- `emtd_csv`: a table with columns for a link or an id and for the start and end of a clip, as EMTD's;
- `panda_csv`: one whose column `timestamp` or `clips` lists the clips of a video, as Panda-70M's and video2dataset's;
- `celebv_json`: CelebV-HQ's and CelebV-Text's object of `clips` by name, with `ytb_id`, `duration` and `bbox`;
- `objects`: JSON objects of linked videos with the times of their clips, as TalkVid's and video2dataset's;
- `parquet`: rows of the same columns;
- `release`: our own links, a JSON object a line, or printed over several lines;
- `speakervid_list`: SpeakerVid-5M's lists of names, which are refused: they give no times.
"""

import re
from collections import Counter
from pathlib import Path

from pipeline.base.text import is_text
from pipeline.sources.manifest.csv_rows import separator_of
from pipeline.sources.manifest.linked import IDS, LINKS, is_linked
from pipeline.sources.manifest.parquet_rows import columns_of, holds_lists
from pipeline.sources.manifest.times import STAMPS, is_timed

JSON, NAMES, EMTD, RELEASE = "csg405_json", "csg405_names", "emtd_csv", "release"
PANDA, CELEBV, OBJECTS, PARQUET, SPEAKERVID = "panda_csv", "celebv_json", "objects", "parquet", "speakervid_list"

PARQUET_MAGIC = b"PAR1"
CLOCK = r"\d\d:\d\d:\d\d\.\d{3}|\d\d_\d\d_\d\d_\d{3}"
CLIPS = re.compile(r'"clips"\s*:\s*\{')

_SNIFFED_BYTES = 64 << 10
_NAME_ENDS = re.compile(rf".*_({CLOCK})(?:\.mp4)?", re.ASCII)
_KEYS = re.compile(r'"([A-Za-z_ -]{1,30})"\s{0,20}:')
_RELEASED = ("first_frame", "frames", "start_seconds")
_STAMPED = re.compile(rf'"(?:{"|".join(STAMPS)})"\s{{0,20}}:\s{{0,20}}"?\[', re.IGNORECASE)
_SPEAKERVID = re.compile(r'[\[{]\s*(?:"[^"\n]{0,80}"\s*:\s*\[\s*)?"[\w-]{11}_[^"\n]{1,120}\.(?:json|mp4)"', re.ASCII)


def form_of(path: Path) -> str | None:
    """Which manifest a file is, by its first 64 KB; None when it is none: a list of links without times, say, or no text.

    Raises ManifestError for a Parquet file that does not read.
    """
    with path.open("rb") as file:
        head = file.read(_SNIFFED_BYTES)
    if head.startswith(PARQUET_MAGIC):
        return _form_of_parquet(path)
    text = head.decode("utf-8-sig", "replace").lstrip()
    if not is_text(text):
        return None
    return _form_of_json(text) if text[:1] in ("[", "{") else _form_of_lines(text)


def _form_of_parquet(path: Path) -> str | None:
    names = {name.lower() for name in columns_of(path)}
    return PARQUET if is_linked(_times(names, holds_lists(path, STAMPS))) else None


def _form_of_json(text: str) -> str | None:
    if _SPEAKERVID.match(text):
        return SPEAKERVID
    keys = Counter(key.lower() for key in _KEYS.findall(text))
    if text[0] == "{" and '"ytb_id"' in text and CLIPS.search(text):
        return CELEBV
    ours = keys["vid"] if text[0] == "[" else sum(keys[name] for name in _RELEASED)
    others = sum(keys[name] for name in {*LINKS, *IDS} - {"vid"})
    if ours >= others:  # by number, since a damaged row may hold any key
        return JSON if text[0] == "[" else RELEASE
    return OBJECTS if is_timed(_times(set(keys), bool(_STAMPED.search(text)))) else None


def _times(names: set[str], stamped: bool) -> set[str]:
    """The names without those of time stamps where none is a list: `timestamp` is often the day of an upload."""
    return names if stamped else names - {*STAMPS}


def _form_of_lines(text: str) -> str | None:
    lines = [line.strip() for line in text.split("\n")]
    columns = [cell.strip().strip('"').lower() for cell in lines[0].split(separator_of(text))]
    if is_linked(_times(set(columns), "[" in text)):
        return PANDA if not _times(set(columns), "[" in text).isdisjoint(STAMPS) else EMTD
    if any(_NAME_ENDS.fullmatch(line) for line in lines if "/" not in line):
        return NAMES
    return None
