"""Generates: a reference and a voice in; a video with the voice, its skeleton as `.npz` and Parquet out."""

from typing import ClassVar

from pipeline.engine.program import Program
from stages.generate.settings import GenerateSettings


class Generate(GenerateSettings, Program):
    """The reference is a picture (annotated by the run's own nets), a skeleton file, or a clip of the shards; so is the voice.

    Named neither, two held-out clips are taken: the first frame of one, the voice of another. The video is the drawn skeleton, or
    what a pose-to-video back-end makes of it.
    """

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "generate a video from a reference and a voice"
    extra: ClassVar[str] = "train"
    modules: ClassVar[tuple[str, ...]] = ("torch", "diffusers", "safetensors")

    def needed_modules(self) -> tuple[str, ...]:
        return () if self.transfer else self.modules
