"""What the report shows and plays: of what was kept, and of a sample of what was dropped."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.media.columns import FILM_COLUMNS
from pipeline.media.moments import STILL, STRIP, STRIP_PICTURES
from stages.previews.chosen import FARTHEST, draw_order, first_reason, nearness
from stages.previews.paths import FOLDER, SUFFIXES, loop_path
from stages.previews.settings import PreviewsSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Previews(PreviewsSettings, Stage):
    """A strip of pictures a person, clip or video, and what the report plays of it.

    Of a kept person that is the exported clip, where it lies; of anything dropped a small film with the sound that was measured.
    The skeleton lies beside it as a script. A unit is a video, so that a file is opened once; which videos are worth it is
    decided over the whole run: those with kept people, and of the others, for each reason, those nearest to being kept and some
    that are drawn by a seeded hash.
    """

    name: ClassVar[str] = "previews"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "what the report shows and plays: of what was kept, and of a sample of what was dropped"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("videos", ("path", "sha256", "grid_frames", "audio_codec", *FILM_COLUMNS)),
        Reads("clips", ("clip_id", "first_frame", "frames")),
        Reads("persons", ("clip_id", "keypoints", "scores")),
        Reads("pose_measures", ("crop_box",)),
        Reads("verdicts", ("keep", "reasons", "details")),
        Reads("samples", ("video", "video_sha256", "keypoints", "scores")),
    )
    writes: ClassVar[str] = "previews"
    unchosen: ClassVar[str] = "with nothing to show"
    unit: ClassVar[str] = "video_id"
    reads_decoded: ClassVar[bool] = True
    resources: ClassVar[Resources] = Resources(seconds=900)

    def wants_pictures(self) -> tuple[str, ...]:
        """What is kept serves the default strip, and a loop of a single picture; others are decoded."""
        strip = (STRIP,) if self.strip_frames == STRIP_PICTURES else ()
        return strip + ((STILL,) if self.loop_frames == 1 else ())

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        """The videos that hold something to show, among `units`."""
        chosen: set[str] = set()
        waiting: dict[str, dict[str, tuple[int, float]]] = defaultdict(dict)  # reason -> video -> its nearest person
        room: dict[str, dict[str, int]] = defaultdict(
            lambda: defaultdict(int)
        )  # reason -> video -> what would be shown

        def add(reason: str, video: str, near: tuple[int, float], most: int) -> None:
            waiting[reason][video] = min(near, waiting[reason].get(video, near))
            room[reason][video] = min(room[reason][video] + 1, most)

        verdicts = store.read("verdicts", ["video_id", "keep", "reasons", "details"])
        chosen.update(store.live("verdicts", ["video_id"], where="keep")["video_id"].unique().to_pylist())
        dropped = [at for at, keep in enumerate(verdicts["keep"].to_pylist()) if not keep]
        for row in verdicts.take(dropped).to_pylist() if dropped else ():
            add(first_reason(row), row["video_id"], nearness(row), self.dropped_a_video)
        # A video without clips is shown once, whatever is shown of one with clips.
        for kind, most in (("clips", 1), ("persons", self.dropped_a_video)):
            ends = store.outcomes(kind, ["unit", "status", "reason"])
            for unit, status, reason in zip(*(ends[n].to_pylist() for n in ("unit", "status", "reason")), strict=True):
                if status == "rejected":
                    add(reason, unit.split("/")[0], FARTHEST, most)
        for reason, videos in waiting.items():
            chosen.update(self._shown(videos, room[reason]))
        return [unit for unit in units if unit in chosen]

    def _shown(self, videos: dict[str, tuple[int, float]], room: dict[str, int]) -> Iterator[str]:
        """Videos that together hold about `dropped_a_reason` of what one reason dropped."""
        near = self.dropped_a_reason * self.nearest_share
        drawn = {video: draw_order(self.seed, video) for video in videos}
        order = sorted(videos, key=lambda video: (videos[video], drawn[video]))
        first = list(_as_many(order, room, near))
        lots = sorted(set(videos) - set(first), key=drawn.__getitem__)
        left = self.dropped_a_reason - sum(room[video] for video in first)
        return chain(first, _as_many(lots, room, left))

    def finish(self, context: Context, store: "Store") -> None:
        """Remove what no row names."""
        named: set[str] = set()
        for row in store.read("previews", ["path", "loop", "clip", "pose"]).to_pylist():
            loop = row["loop"] or loop_path(Path(row["path"])).as_posix()  # rows of older versions do not name it
            named |= {PurePosixPath(path).name for path in (row["path"], loop, row["clip"], row["pose"]) if path}
        for entry in context.storage.list(FOLDER):
            name = PurePosixPath(entry.key).name
            if name.endswith(SUFFIXES) and name not in named:
                context.storage.delete(entry.key)


def _as_many(videos: Iterable[str], room: dict[str, int], count: float) -> Iterator[str]:
    """Videos in order, until what they show comes to this many; those that would show nothing are left out."""
    shown = 0
    for video in filter(room.get, videos):
        if shown >= count:
            return
        yield video
        shown += room[video]
