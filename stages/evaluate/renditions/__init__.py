"""A video of every pair: generated, transferred from the true motion, or taken from another system."""

import shutil
from typing import TYPE_CHECKING, ClassVar

from pipeline.engine.stage import Context, Reads, Resources, Stage, Work
from pipeline.tables import people
from stages.evaluate.gpus import claim
from stages.evaluate.renditions.folders import VIDEOS, WORK, keep_log
from stages.evaluate.renditions.settings import RenditionsSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Renditions(RenditionsSettings, Stage):
    """Films pairs, each worker one after the other; what is filmed already is not filmed again.

    - `ours`: a skeleton from the voice and the reference, by the trained model; then the back-end.
    - `transfer`: the true skeleton of the voice's clip, fitted to the reference; then the back-end.
    - `folder`: nothing is filmed, another system's videos are looked up.
    - `true`: the clip itself, for pairs of one subject.
    """

    name: ClassVar[str] = "renditions"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "a video of every pair"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("pairs", ("setting", "reference", "voice", "content", "given")),)
    writes: ClassVar[str] = "renditions"
    unit: ClassVar[str] = "pair_id"
    resources: ClassVar[Resources] = Resources(seconds=48 * 3600, memory_gb=64, gpu=True, run_files=True)

    def worker(self, context: Context) -> Work:
        gpu = claim(self.gpus, context.run)
        from stages.evaluate.renditions.worker import Filmer

        if self.method != "ours":
            return Filmer(self, context, gpu)
        from stages.evaluate.renditions.generating import Generator  # torch, which the other methods do without

        return Filmer(self, context, gpu, Generator(self, context))

    def finish(self, context: Context, store: "Store") -> None:
        """Videos that no row names are of other settings, or of pairs that are no more."""
        named = {context.run / name for name in store.read("renditions", ["film"])["film"].to_pylist()}
        named |= {people.note_of(path) for path in named}
        for path in (context.run / VIDEOS).glob("*/*"):
            if path.is_dir():
                shutil.rmtree(path)  # of a video that was being written when it was killed
            elif path not in named:
                path.unlink()
        for work in (context.run / WORK).glob("[!.]*"):
            keep_log(work)
