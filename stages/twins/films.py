"""The films of a run as they are compared by motion: read a few at a time, since all of them do not fit into memory."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pipeline.base.units import Row
from pipeline.engine.unit import Unit
from stages.twins.motion import Film
from stages.twins.moving import Moving

_HELD = 384  # films; one of ten minutes takes 4 MB once it was compared
_AT_ONCE = 96  # films that are read at once
_COLUMNS = (
    "video_id",
    "first_frame",
    "frames",
    "motion_print",
    "scene_print",
)  # the last two where they are with the unit
_SCENES = 6  # clips of a film that tell its scenes, the longest ones


class Films:
    """Reads what moves in the videos of a run from its clips.

    Args:
        unit: of the whole run.
        videos: those that are compared.

    Attributes:
        unseen: videos with clips that nobody noted the motion of; known once `scenes` is through.
    """

    def __init__(self, unit: Unit, videos: Iterable[str]) -> None:
        self._unit = unit
        self._rows: dict[str, list[int]] = {video: [] for video in videos}
        clips = unit.table("clips")  # of millions, no dict each
        self._clips = {name: clips[name].to_pylist() for name in _COLUMNS if name in clips.column_names}
        self._held: OrderedDict[str, Film] = OrderedDict()
        for at, video in enumerate(self._clips.get("video_id", ())):
            if video in self._rows:
                self._rows[video].append(at)
        self.unseen = 0

    def scenes(self) -> Iterator[tuple[str, list[bytes]]]:
        """The thumbnails of each video's longest clips; none where its clips were not looked at so."""
        videos = iter(self._rows.items())
        while chosen := list(islice(videos, _AT_ONCE)):
            wanted = [sorted(rows, key=lambda at: (-self._clips["frames"][at], at))[:_SCENES] for _, rows in chosen]
            loaded = iter(self._load([at for rows in wanted for at in rows]))
            for (video, _), rows in zip(chosen, wanted, strict=True):
                found = [row["scene_print"] for row in islice(loaded, len(rows)) if row["scene_print"]]
                self.unseen += bool(rows) and not found
                yield video, found

    def of(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[Film, Film]]:
        """The films of each pair, in order; pairs that have one in common are best given one after the other."""
        for first in range(0, len(pairs), _AT_ONCE // 2):
            some = pairs[first : first + _AT_ONCE // 2]
            self._fetch(list(dict.fromkeys(video for pair in some for video in pair)))
            for a, b in some:
                yield self._held[a], self._held[b]

    def _fetch(self, videos: Sequence[str]) -> None:
        missing = [video for video in videos if video not in self._held]
        loaded = iter(self._load([at for video in missing for at in self._rows[video]]))
        for video in missing:
            clips = list(islice(loaded, len(self._rows[video])))
            self._held[video] = Film(Moving.of(clip for clip in clips if clip["motion_print"]))
        for video in videos:
            self._held.move_to_end(video)
        while len(self._held) > _HELD:
            self._held.popitem(last=False)

    def _load(self, rows: Sequence[int]) -> list[Row]:
        """The rows with these numbers, whole."""
        loaded = self._unit.heavy("clips", rows)
        return [
            {name: values[at] for name, values in self._clips.items()} | heavy
            for at, heavy in zip(rows, loaded, strict=True)
        ]
