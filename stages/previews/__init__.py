"""Small pictures for the report: what was kept with its skeleton drawn, and a sample of what was dropped."""

from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from pipeline.engine.stage import Context, Reads, Resources, Stage, Work
from pipeline.media.columns import PICTURE_COLUMNS
from stages.previews.paths import FOLDER, loop_path
from stages.previews.settings import PreviewsSettings, draw_order

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Previews(PreviewsSettings, Stage):
    """A contact strip a person, clip or video; for a kept person also a row of pictures of the exported clip.

    A unit is a video, so that a file is opened once; which videos are worth it is drawn by a seeded hash: those with kept
    people, and as many others as give each reason its share of pictures.
    """

    name: ClassVar[str] = "previews"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "small pictures of what was kept, and of a sample of what was dropped"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("videos", ("path", "sha256", "grid_frames", *PICTURE_COLUMNS)),
        Reads("clips", ("clip_id", "first_frame", "frames")),
        Reads("persons", ("clip_id", "keypoints", "scores")),
        Reads("pose_measures", ("crop_box",)),
        Reads("verdicts", ("keep", "reasons")),
        Reads("samples", ("video", "video_sha256", "keypoints", "scores")),
    )
    writes: ClassVar[str] = "previews"
    unchosen: ClassVar[str] = "with nothing to show"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(seconds=900)

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        """The videos that hold something to show, among `units`."""
        chosen: set[str] = set()
        waiting: dict[str, Counter[str]] = defaultdict(Counter)  # reason -> dropped ones of each video
        for row in store.read("verdicts", ["video_id", "keep", "reasons"]).to_pylist():
            if row["keep"]:
                chosen.add(row["video_id"])
            else:
                waiting[next(iter(row["reasons"] or ()), "")][row["video_id"]] += 1
        for kind in ("clips", "persons"):
            for row in store.outcomes(kind).select(["unit", "status", "reason"]).to_pylist():
                if row["status"] == "rejected":
                    waiting[row["reason"]][row["unit"].split("/")[0]] += 1
        for videos in waiting.values():
            shown = 0
            for video in sorted(videos, key=lambda video: draw_order(self.seed, video)):
                if shown >= self.dropped_a_reason:
                    break
                chosen.add(video)
                shown += min(videos[video], self.dropped_a_video)
        return [unit for unit in units if unit in chosen]

    def worker(self, context: Context) -> Work:
        from stages.previews.worker import PreviewDrawer

        return PreviewDrawer(self, context)

    def finish(self, context: Context, store: "Store") -> None:
        """Remove pictures that no row names."""
        strips = [Path(path) for path in store.read("previews", ["path"])["path"].to_pylist()]
        named = {path.name for path in strips} | {loop_path(path).name for path in strips}
        for entry in context.storage.list(FOLDER):
            name = PurePosixPath(entry.key).name
            if name.endswith(".webp") and name not in named:
                context.storage.delete(entry.key)
