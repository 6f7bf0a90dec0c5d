"""What each video is worth: table 2's measures of pictures, lips and faces, and those of skeletons; null ones say why."""

from typing import ClassVar

from pipeline.engine.stage import Context, Reads, Resources, Stage, Work
from stages.evaluate.gpus import claim
from stages.evaluate.scores.settings import ScoresSettings


class Scores(ScoresSettings, Stage):
    """Measures a video of a pair, on the 25-fps grid and in pixels of the test set's pictures.

    Paired: against the true frames (drawn ones where the back-end draws), cut to what the video shows. Unpaired, and of the
    true videos (`real`): faces against the reference's, lips against the sound, features for FID and FVD.
    """

    name: ClassVar[str] = "scores"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "what each video is worth"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("renditions", ("film", "film_sha256", "frames", "box", "keypoints", "scores")),
        Reads("pairs", ("setting", "reference", "voice", "content")),
    )
    writes: ClassVar[str] = "scores"
    unit: ClassVar[str] = "pair_id"
    resources: ClassVar[Resources] = Resources(
        seconds=7200, memory_gb=16, gpu=True, run_files=True, preload=("scipy.signal",)
    )

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.detector, self.pose) if self.annotate else ()

    def worker(self, context: Context) -> Work:
        claim(self.gpus, context.run)  # before torch is imported
        return super().worker(context)
