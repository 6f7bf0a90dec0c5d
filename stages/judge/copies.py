"""Which clips are in the run a second time, in a better copy."""

from collections.abc import Iterable, Iterator, Sequence

from pipeline.base.ids import check_clip_id
from pipeline.base.units import FPS, Row

COPIES = ("video_id", "twin_of", "better_spans")
_LEAST_SHARE = 0.5  # of the clip that the better copy has to hold


def better_copies(persons: Sequence[Row], twins: Iterable[Row]) -> Iterator[tuple[int, str, str]]:
    """Yield the place of each person whose clip is better elsewhere, the video with the best copy, and a line that says so.

    Args:
        persons: with `clip_id` and `video_id`.
        twins: rows of `twins`.
    """
    better = {row["video_id"]: row for row in twins if row["twin_of"]}
    for at, person in enumerate(persons):
        twin = better.get(person["video_id"])
        if twin is None:
            continue
        clip = check_clip_id(person["clip_id"])
        begin, length = clip.first_frame / FPS, clip.frames / FPS
        held = sum(max(0.0, min(end, begin + length) - max(start, begin)) for start, end in twin["better_spans"])
        if held >= _LEAST_SHARE * length:
            yield at, twin["twin_of"], f"{held:.1f} of its {length:.1f} s are in {twin['twin_of']} too, the better copy"
