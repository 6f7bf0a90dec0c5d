"""The films of a run as they are compared by motion: read a few at a time, since all of them do not fit into memory."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from pipeline.base.units import Row
from pipeline.engine.unit import Unit
from stages.twins.clusters import clusters
from stages.twins.motion import Film
from stages.twins.moving import Moving

_HELD = 384  # films; one of ten minutes takes 4 MB once it was compared
_AT_ONCE = 96  # films that are read at once
_BESIDE = 128  # films that are compared with as many others while all of them are held
_COLUMNS = (
    "video_id",
    "first_frame",
    "frames",
    "manifest_line",
    "motion_print",
    "scene_print",
)  # the last two where they are with the unit
_SCENES = 6  # clips of a film that tell its scenes, the longest ones


def for_reuse(pairs: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs in an order in which few films are read again: studio by studio, and of a large one some beside some others."""
    place = {
        video: (studio, at // _BESIDE)
        for studio, videos in enumerate(clusters(pairs))
        for at, video in enumerate(videos)
    }
    return sorted(pairs, key=lambda pair: (place[pair[0]], place[pair[1]], pair))


class Films:
    """Reads what moves in the videos of a run from its clips.

    Args:
        unit: of the whole run.
        videos: those that are compared.

    Attributes:
        unseen: videos whose clips are of a `split` that did not note their motion; known once `scenes` is through.
        of_manifest: videos whose clips a manifest gave, of which nothing is decoded; likewise.
    """

    def __init__(self, unit: Unit, videos: Iterable[str]) -> None:
        self._unit = unit
        self._rows: dict[str, list[int]] = {video: [] for video in videos}
        clips = unit.table("clips")  # of millions, no dict each
        self._clips = {name: clips[name].to_pylist() for name in _COLUMNS if name in clips.column_names}
        self._clips.setdefault("manifest_line", [None] * len(clips))
        self._held: OrderedDict[str, Film] = OrderedDict()
        for at, video in enumerate(self._clips.get("video_id", ())):
            if video in self._rows:
                self._rows[video].append(at)
        self.unseen = self.of_manifest = 0

    def scenes(self) -> Iterator[tuple[str, list[bytes]]]:
        """The thumbnails of each video's longest clips; none where its clips were not looked at so."""
        videos = iter(self._rows.items())
        while chosen := list(islice(videos, _AT_ONCE)):
            wanted = [sorted(rows, key=lambda at: (-self._clips["frames"][at], at))[:_SCENES] for _, rows in chosen]
            loaded = iter(self._load([at for rows in wanted for at in rows]))
            for (video, _), rows in zip(chosen, wanted, strict=True):
                found = [row["scene_print"] for row in islice(loaded, len(rows)) if row["scene_print"]]
                if rows and not found:
                    given = self._clips["manifest_line"][rows[0]] is not None
                    self.of_manifest += given
                    self.unseen += not given
                yield video, found

    def of(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[Film, Film]]:
        """The films of each pair, in order: best in that of `for_reuse`."""
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
