"""The data set card of a release: what it holds, what its numbers mean, whose rights it touches, in Markdown."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.base.text import printable
from pipeline.shards import release
from pipeline.shards.release import citation
from pipeline.shards.release.about import About
from pipeline.shards.release.counts import Counts
from pipeline.shards.release.hub import head

_SHOWN = 80  # lines of a table of counts
USE = (
    "Research on gestures that go with speech. Not for finding out who somebody is, not for making somebody seem to say or do "
    "what they did not, and not for judging people by how they move."
)
_CARD = """\
---
{head}---

# {title}

{speakers:,} speakers in {clips:,} clips of {videos:,} videos, {hours:.2f} hours at 25 frames/s. Version {version}.
Made with csg405.

**Links, boxes, skeletons and measures only.** No picture, no sound, no embedding, no title and no name of anybody is in
these files. Whoever wants the pictures fetches the videos from where they were published, as far as they still are.{unlinked}

| split | speakers |
|---|---|
{splits}

- `links/`: a row a speaker: where the clip is, and where in its picture the speaker stands. `{links}` says the same, an object a
  line, for `make rebuild`.
- `skeletons/`: a row a speaker: 133 keypoints, scores and a box a frame, in pixels of the source picture, as annotated: neither
  cropped nor smoothed here, NaN where not seen.
- `measures/`: a row a speaker: what the checks measured. Missing measures are null: not measured, not zero.
- `availability/`: a row a video: whether it was still there when it was last looked at.
- `{index}`: counts, settings, nets and the sha256 of the other files; `{croissant}`: the same for programs; `{sums}`: for
  `sha256sum -c {sums}`.

## Read it

```python
from datasets import load_dataset
links = load_dataset("path/of/this/folder", "links", split="train")          # skeletons, measures, availability
points = load_dataset("path/of/this/folder", "skeletons", split="train").with_format("numpy")[0]["keypoints"]  # (frames, 266)
```

pandas, polars and DuckDB read the folders of Parquet files as they are; rows of different tables belong together by `person_id`.

## Rebuild

    make rebuild MANIFEST={links} POSES=.

in a clone of csg405, with the paths of this folder, fetches what is left of the videos, cuts the same clips and gives them these
skeletons.

## Columns
{columns}
## What the numbers mean

Keypoints, scores and measures are **estimates of neural nets** and of geometry on top of them, not ground truth: nobody checked
them by hand. A score says how sure the net was, not how far off the point is. `yaw_degrees`, speeds and shares are estimated from
keypoints and are as wrong as these are.{smoothed}
Estimated age, sex, descent and emotion of persons are not published.

## Ethics and rights

The videos belong to those who published them, and the people in them did not ask to be in a data set. A link gives no right to the
video behind it: its own licence and the law where you are decide what you may do. How a person moves, and the points of a face, can
tell who it is, and the links lead to that person: these are data about people. {use}

{rights}

Licences as the sources state them, by video:

{licences}

**To be left out:** {contact}. Whoever uses this release should drop entries that a later version no longer has, by
`video_id` and `person_id`.

## Changes

{changes}

## Speech types, languages and availability, by video

{types}

{languages}

{states}

## Cite

```bibtex
{paper}

{software}
```

## Nets

{nets}

## Settings

{settings}
"""


def text(about: About, counts: Counts, schemas: Mapping[str, pa.Schema]) -> str:
    """The card."""
    contact = "no address was set; write to whoever gave you these files"
    if about.contact:
        contact = f"write to {_plain(about.contact)}"
    rights = "No licence was chosen for these files themselves."
    if about.licence:
        rights = f"These files themselves: {_plain(about.licence)}."
    smoothed = ""
    if counts.smoothed:
        smoothed = f"\n{counts.smoothed:,} skeletons came smoothed from an earlier release (`smoothed`)."
    return _CARD.format(
        head=head(
            about.title, about.licence, counts.speakers, list(counts.languages), counts.files, counts.rows, schemas
        ),
        title=_plain(about.title),
        version=about.version,
        speakers=counts.speakers,
        clips=counts.clips,
        videos=counts.videos,
        hours=counts.hours,
        unlinked=_unlinked(counts),
        splits="\n".join(f"| {split} | {count:,} |" for split, count in counts.splits.items()),
        links=release.LINKS,
        index=release.INDEX,
        croissant=release.CROISSANT,
        sums=release.SUMS,
        columns="".join(_columns(table, schema) for table, schema in schemas.items()),
        smoothed=smoothed,
        use=USE,
        rights=rights,
        licences=_table("licence", counts.licences),
        contact=contact,
        changes="\n".join(f"- {_plain(change)}" for change in reversed(about.changes))
        or "None: this is the first version.",
        types=_table("speech type", counts.speech_types),
        languages=_table("language", counts.languages),
        states=_table("last seen", counts.states),
        paper=citation.PAPER,
        software=citation.SOFTWARE,
        nets=_nets(about.nets) if about.nets else "The run recorded none.",
        settings=_code(about.settings) if about.settings else "The run left no profile.",
    )


def _unlinked(counts: Counts) -> str:
    if not counts.unlinked:
        return ""
    return (
        f"\n\n**{counts.unlinked:,} of the {counts.speakers:,} speakers have no link** (`url` is null: they come from local "
        "files): their clips cannot be rebuilt by anybody who has not those files."
    )


def _columns(table: str, schema: pa.Schema) -> str:
    lines = [f"\n### `{table}`\n", "| column | type | unit | what |", "|---|---|---|---|"]
    for field in schema:
        unit, what = (_plain(field.metadata[key].decode()) for key in (b"unit", b"text"))
        lines.append(f"| `{field.name}` | `{type_of(field.type)}` | {unit} | {what} |")
    return "\n".join(lines) + "\n"


def type_of(kind: pa.DataType) -> str:
    """An Arrow type as NumPy would say it: list<float32[266]>."""
    if pa.types.is_fixed_size_list(kind):
        return f"{type_of(kind.value_type)}[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"list<{type_of(kind.value_type)}>"
    return {"float": "float32", "double": "float64"}.get(str(kind), str(kind))


def _table(name: str, counts: Counter[str]) -> str:
    lines = [f"| {name} | videos |", "|---|---|"]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"| {_plain(value)} | {count:,} |" for value, count in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(f"| {len(ordered) - _SHOWN} others | {sum(count for _, count in ordered[_SHOWN:]):,} |")
    return "\n".join(lines)


def _nets(nets: Mapping[str, Any]) -> str:
    lines = ["| stage | nets, with their sha256 | version | units |", "|---|---|---|---|"]
    for stage, made in nets.items():
        for one in made:
            named = ", ".join(f"{name} {sha256}" for name, sha256 in one["nets"].items()) or "not recorded"
            lines.append(f"| {_plain(stage)} | {_plain(named, 2000)} | {_plain(one['version'])} | {one['units']:,} |")
    return "\n".join(lines)


def _code(settings: Mapping[str, Any]) -> str:
    lines = (f"    {line}" for line in json.dumps(settings, indent=1, sort_keys=True).splitlines())
    return "\n".join(lines)


def _plain(words: str, longest: int = 200) -> str:
    """Somebody else's words as one harmless line of Markdown."""
    kept = printable(words, " ")[:longest]
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#|!" else c for c in kept).strip()
