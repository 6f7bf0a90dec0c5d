"""Do several people speak at once? The whole sound of a video is heard once, and cut into its clips afterwards.

Done by pyannote's segmentation-3.0, as the paper does it. A clip's first sample is its first frame x 640.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PrivateAttr

from pipeline.base.units import FPS, Row
from pipeline.engine.gate import DEFAULT, Gate
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.nets.footage import check_footage, footage_of

if TYPE_CHECKING:
    from pipeline.nets.session import Device
    from pipeline.nets.sound.segmentation import Listener
    from pipeline.nets.sound.voices import Span, Voices
    from pipeline.tables.store import Store

CPU_BATCH, GPU_BATCH = 8, 64  # windows: on a processor more of them no longer fit its caches, and take longer each


class Overlap(Stage):
    """Overlapped speech, voices and voiced share of every clip of the videos that the gate lets through."""

    name: ClassVar[str] = "overlap"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "seconds in which several people speak at once, and how many voices there are"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("clips", ("clip_id", "video_id", "first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec", "footage")),
    )
    writes: ClassVar[str] = "overlaps"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(seconds=7200, memory_gb=8, gpu=True)

    net: tuple[str, ...] = Field(
        ("segmentation",), min_length=1, description="segmentation nets in the model registry, best first"
    )
    backend: Literal["onnx", "pyannote"] = Field(
        "onnx", description="pyannote is slower and brings torch: a reference to compare with"
    )
    checkpoint: tuple[str, ...] = Field(
        ("segmentation_checkpoint",), min_length=1, description="what the backend pyannote takes instead of `net`"
    )
    step_seconds: float = Field(1.0, gt=0, le=10, description="from the start of a window of 10 s to the next, seconds")
    soft: bool = Field(False, description="average probabilities over windows; else decisions, as pyannote does")
    onset: float = Field(0.5, gt=0, lt=1, description="score above which a span begins")
    offset: float = Field(0.5, gt=0, lt=1, description="score below which a span ends")
    min_overlap_seconds: float = Field(0.0, ge=0, description="shorter overlaps are not counted, seconds")
    min_gap_seconds: float = Field(0.0, ge=0, description="shorter gaps between two spans are closed, seconds")
    min_voice_seconds: float = Field(0.25, ge=0, description="speech in the clip that makes a voice, seconds")
    keep_scores: bool = Field(False, description="store the scores of every frame in voice_scores")
    # How it runs
    gate: Gate = Field(
        DEFAULT,
        description="conditions on cheap measures: videos in which nobody meets all of them are not listened to",
        json_schema_extra=runtime(),
    )
    batch: int = Field(
        0,
        ge=0,
        description=f"windows of 10 s a run of the net; 0 takes {CPU_BATCH} on a processor, {GPU_BATCH} on a GPU",
        json_schema_extra=runtime(),
    )

    _context: Context = PrivateAttr()
    _listener: "Listener" = PrivateAttr()
    _footage: dict[str, str] = PrivateAttr(default_factory=dict)  # net -> the only footage it can hear

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.checkpoint if self.backend == "pyannote" else self.net,)

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        from pipeline.engine.gate import through

        worth = through(store, self.gate, "video_id")
        return [unit for unit in units if unit in worth]

    def setup(self, context: Context) -> None:
        assert context.models is not None, "the driver hands every worker a model registry"
        self._context = context
        net = context.models.resolve(*self.model_names())  # which has checked the file's hash
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        batch = self.batch or (GPU_BATCH if device == "cuda" else CPU_BATCH)
        if self.backend == "pyannote":
            from pipeline.nets.sound.pyannote_segmentation import PyannoteSegmentation

            self._listener = PyannoteSegmentation(
                net.path, device, batch, self.step_seconds, soft=self.soft, threads=context.threads
            )
            return
        from pipeline.nets.session import open_session
        from pipeline.nets.sound.segmentation import SegmentationNet

        session = open_session(net.path, device, context.threads)
        self._listener = SegmentationNet(session, batch, self.step_seconds, soft=self.soft)
        self._footage = {net.name: footage_of(session)}

    def process(self, unit: Unit) -> Iterator[Row]:
        clips, video = unit.rows("clips"), unit.row("videos")
        check_footage(self._footage, video["footage"], "`overlap.net`")
        voices = self._hear(video)
        found = self._spans(voices) if voices is not None else None
        for clip in clips:
            row: Row = {"clip_id": clip["clip_id"], "video_id": clip["video_id"]}
            if voices is not None and found is not None:
                row |= self._measures(voices, *found, clip["first_frame"] / FPS, clip["frames"] / FPS)
            yield row

    def _hear(self, video: Row) -> "Voices | None":
        """The voices of the whole video; None when it has no sound that decodes."""
        from pipeline.media.audio import read_wave

        wave = read_wave(self._context.run / video["path"]) if video["audio_codec"] else None
        return self._listener.hear(wave) if wave is not None and len(wave) else None

    def _spans(self, voices: "Voices") -> "tuple[list[Span], list[Span]]":
        """Spans of the whole video in which there is some voice, and in which there are two."""
        from pipeline.nets.sound.voices import spans

        some, two = voices.scores.T
        return (
            spans(some, self.onset, self.offset, min_off=self.min_gap_seconds),
            spans(two, self.onset, self.offset, self.min_overlap_seconds, self.min_gap_seconds),
        )

    def _measures(
        self, voices: "Voices", voiced: "list[Span]", overlapped: "list[Span]", start: float, length: float
    ) -> Row:
        from pipeline.nets.sound.voices import clipped, longest, seconds

        end = start + length
        inside = clipped(overlapped, start, end)
        return {
            "overlap_seconds": seconds(inside),
            "overlap_share": seconds(inside) / length,
            "longest_overlap_seconds": longest(inside),
            "voices": voices.count(start, end, self.min_voice_seconds),
            "voiced_share": seconds(clipped(voiced, start, end)) / length,
            "voice_scores": voices.rows(start, end) if self.keep_scores else None,
        }


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("overlap")
