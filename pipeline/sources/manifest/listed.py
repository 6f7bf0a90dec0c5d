"""A manifest, read: its good rows, its bad ones, and what it gives that no row holds."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from pipeline.base.text import printable
from pipeline.sources.manifest.rows import ManifestRow

USUAL_SECONDS = (5.0, 15.0)  # of the paper's clips
_MAX_NAMES = 12  # of columns that are not read, in one line


@dataclass
class Manifest:
    """The content of a manifest.

    Attributes:
        form: of `pipeline.sources.manifest.forms`.
        numbered_by: what `line` counts: `line`, `entry` in a JSON file that does not give each entry a line, or `row`.
        rows: the good rows, in order.
        bad: line -> what is wrong with its row.
        unread: name of a column or key -> rows that give it, of those that no row of ours has a place for.
        boxless: why a box could not be used -> rows whose clip was read without it.
    """

    form: str
    numbered_by: str = "line"
    rows: list[ManifestRow] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    unread: "Counter[str]" = field(default_factory=Counter)
    boxless: "Counter[str]" = field(default_factory=Counter)

    def by_video(self) -> dict[str, list[ManifestRow]]:
        """The good rows of each video, videos in the order of their first row."""
        rows: dict[str, list[ManifestRow]] = defaultdict(list)
        for row in self.rows:
            rows[row.video_id].append(row)
        return dict(rows)

    def left_out(self) -> str:
        """What of the list is not used, in a line; "" where everything is."""
        parts = [f"{len(self.bad):,} bad rows, beside {len(self.rows):,} clips that are read"] if self.bad else []
        parts += [f"{count:,} boxes ({why})" for why, count in self.boxless.most_common()]
        if self.unread:
            parts.append(f"not read: {unread_names(self.unread)}")
        return "; ".join(parts)

    def unusual(self) -> str:
        """How many clips are shorter or longer than the paper's, in a line; "" where none is."""
        shortest, longest = USUAL_SECONDS
        lengths = [row.end_seconds - row.start_seconds for row in self.rows]
        short = sum(length < shortest - 0.0005 for length in lengths)
        long = sum(length > longest + 0.0005 for length in lengths)
        parts = [f"{short:,} are shorter than {shortest:g} s"] if short else []
        parts += [f"{long:,} are longer than {longest:g} s"] if long else []
        return f"of {len(lengths):,} clips {' and '.join(parts)}: they are kept as the list gives them" if parts else ""


def unread_names(unread: "Counter[str]") -> str:
    """The names of columns that are not read, the most frequent first."""
    names = [printable(name[:40]) for name, _ in unread.most_common(_MAX_NAMES)]
    more = len(unread) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")
