"""The data card of a release: what it holds, what its numbers mean, whose rights it touches, in Markdown."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.base.text import printable
from pipeline.shards import release
from pipeline.views.nets import MadeBy
from stages.release.contents import Counts
from stages.release.settings import ReleaseSettings

_SHOWN = 80  # lines of a table of counts
_CARD = """\
# {title}

{speakers:,} speakers in {clips:,} clips of {videos:,} videos, {hours:.2f} hours at 25 frames/s. Made with csg405.

**Links, boxes, skeletons and measures only.** No picture, no sound, no embedding, no title and no name of anybody is in
these files. Whoever wants the pictures fetches the videos from where they were published, as far as they still are.

- `{links}`: a JSON object a line and speaker. `first_frame` and `frames` count pictures of the video at 25 frames/s (picture n
  is shown at n/25 s); `crop_box` is x1, y1, x2, y2 in pixels of a picture of `width` x `height`.
- `{skeletons}`: a row a speaker. `keypoints` (frames x 133 x, y; COCO-WholeBody) in pixels of the source picture, as
  annotated, neither cropped nor smoothed here, NaN where not seen; `scores` and `boxes` a frame.
- `{measures}`: a row a speaker. What the checks measured; units stand in the metadata of its columns.
- `{index}`: counts, settings, and the sha256 of the other files.

## Rebuild

    make rebuild MANIFEST={links} POSES={skeletons}

fetches what is left of the videos, cuts the same clips and gives them these skeletons.

## What the numbers mean

Keypoints, scores and measures are **estimates of neural nets** and of geometry on top of them, not ground truth: nobody checked
them by hand. A score says how sure the net was, not how far off the point is. `yaw_degrees`, speeds and shares are estimated from
keypoints and are as wrong as these are. Missing measures are null: not measured, not zero.{smoothed}
Estimated age, sex, descent and emotion of persons are not published.

## Rights

The videos belong to those who published them, and the people in them did not ask to be in a data set. A link gives no right to the
video behind it: its own licence and the law where you are decide what you may do.

{rights}

Licences as the sources state them, by video:

{licences}

**To be left out:** {contact}. Whoever uses this release should drop entries that a later version no longer has, by
`video_id`.

## Speech types and languages, by video

{types}

{languages}

## Nets

{nets}

## Settings

{settings}
"""


def text(
    title: str, counts: Counts, settings: Mapping[str, Any], wanted: ReleaseSettings, nets: Sequence[MadeBy] = ()
) -> str:
    """The card."""
    smoothed = f"\n{counts.smoothed:,} skeletons came smoothed from an earlier release (`smoothed`)." * bool(
        counts.smoothed
    )
    return _CARD.format(
        title=_plain(title),
        speakers=counts.speakers,
        clips=counts.clips,
        videos=counts.videos,
        hours=counts.hours,
        links=release.LINKS,
        skeletons=release.SKELETONS,
        measures=release.MEASURES,
        index=release.INDEX,
        smoothed=smoothed,
        rights=f"These files themselves: {_plain(wanted.licence)}."
        if wanted.licence
        else "No licence was chosen for these files themselves.",
        licences=_table("licence", counts.licences),
        contact=f"write to {_plain(wanted.contact)}" if wanted.contact else "write to whoever gave you these files",
        types=_table("speech type", counts.speech_types),
        languages=_table("language", counts.languages),
        nets=_nets(nets) if nets else "The run recorded none.",
        settings=_code(settings) if settings else "The run left no profile.",
    )


def _table(name: str, counts: Counter[str]) -> str:
    lines = [f"| {name} | videos |", "|---|---|"]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"| {_plain(value)} | {count:,} |" for value, count in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(f"| {len(ordered) - _SHOWN} others | {sum(count for _, count in ordered[_SHOWN:]):,} |")
    return "\n".join(lines)


def _nets(nets: Sequence[MadeBy]) -> str:
    lines = ["| stage | nets, with their sha256 | version | units |", "|---|---|---|---|"]
    lines += [f"| {_plain(n.stage)} | {n.words(64)} | {_plain(n.version)} | {n.units:,} |" for n in nets]
    return "\n".join(lines)


def _code(settings: Mapping[str, Any]) -> str:
    lines = (f"    {line}" for line in json.dumps(settings, indent=1, sort_keys=True).splitlines())
    return "\n".join(lines)


def _plain(words: str) -> str:
    """Somebody else's words as one harmless line of Markdown."""
    kept = printable(words, " ")[:200]
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#|!" else c for c in kept).strip()
