"""Split: a video's shots, cut into clips of 5-15 s. Clips are virtual: frame numbers, nothing is encoded."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, PrivateAttr, model_validator

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import FPS, SAMPLES_PER_FRAME, Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.media.shots.footage import Footage
    from pipeline.nets.sound.vad import SpeechDetector

FLAT_THROUGHOUT = 0.98  # share of flat pictures at which nobody can be seen in a video
CONTEXT_SECONDS = 1.0  # of sound before and after a shot, for the voice detector to settle on


class Split(Stage):
    """Finds shots by colour and camera motion in one decode, and cuts them into windows, at pauses where there are any."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "shots by colour and camera motion, cut into clips at pauses of speech"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("videos", ("path", "sha256", "width", "height", "source_fps", "audio_codec")),
    )
    writes: ClassVar[str] = "clips"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(seconds=4 * 3600)

    min_clip_seconds: float = Field(5.0, gt=0, description="shortest clip, seconds")
    max_clip_seconds: float = Field(15.0, gt=0, description="longest clip, seconds; at least twice the shortest")
    target_clip_seconds: float = Field(10.0, gt=0, description="length that clips of a long shot aim at, seconds")
    guard_frames: int = Field(3, ge=0, description="pictures left out next to a cut, at 25 fps")
    content_score: float = Field(27.0, gt=0, description="PySceneDetect's ContentDetector threshold, grey levels")
    adaptive_ratio: float = Field(3.0, gt=1, description="AdaptiveDetector: score over that of its neighbours")
    adaptive_score: float = Field(15.0, gt=0, description="AdaptiveDetector: least score of a cut, grey levels")
    jump_widths_per_second: float = Field(
        1.0, gt=0, description="camera motion that parts shots (a whip), picture widths a second"
    )
    flash_frames: int = Field(4, ge=0, description="a change that is gone after so many pictures is a flash, no cut")
    vad: tuple[str, ...] = Field(
        ("silero_vad",),
        description="voice detectors in the model registry, best first; empty: long shots are cut into equal windows",
    )
    speech_threshold: float = Field(0.5, gt=0, lt=1, description="speech probability at which speech begins")
    min_pause_seconds: float = Field(0.1, ge=0, description="shorter pauses are not cut at, seconds")
    read_ahead_frames: int = Field(
        16, ge=1, description="pictures decoded ahead of the analysis", json_schema_extra=runtime()
    )

    _context: Context = PrivateAttr()
    _detector: "SpeechDetector | None" = PrivateAttr(None)

    @model_validator(mode="after")
    def _lengths_can_tile(self) -> Self:
        if not 2 * self.min_clip_seconds <= self.max_clip_seconds:
            raise ValueError("max_clip_seconds must be at least twice min_clip_seconds")
        if not self.min_clip_seconds <= self.target_clip_seconds <= self.max_clip_seconds:
            raise ValueError("target_clip_seconds must lie between min_clip_seconds and max_clip_seconds")
        return self

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.vad,) if self.vad else ()

    def setup(self, context: Context) -> None:
        import cv2

        self._context = context
        cv2.setNumThreads(1)  # pictures are small; the cores are for decoding
        if self.vad:
            from pipeline.nets.session import open_session
            from pipeline.nets.sound.vad import SpeechDetector

            assert context.models is not None, "the driver hands every worker a model registry"
            self._detector = SpeechDetector(open_session(context.models.resolve(self.vad).path, "cpu", 1))

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.media.shots.windows import WindowLimits, guarded, windows

        video = unit.row("videos")
        path = self._context.run / video["path"]
        footage = self._look(path, video["width"], video["height"])
        lengths = (self.min_clip_seconds, self.max_clip_seconds, self.target_clip_seconds)
        limits = WindowLimits(*(round(seconds * FPS) for seconds in lengths))
        spans = [guarded(a, b, footage.frames, self.guard_frames, limits.shortest) for a, b in footage.shots]
        if not any(end - first >= limits.shortest for first, end in spans):
            raise _nothing(footage, self.min_clip_seconds)
        long = [span for span in spans if span[1] - span[0] > limits.longest]
        speech = self._speech(path, long) if video["audio_codec"] and long else {}
        for number, (first, end) in enumerate(spans):
            for a, b in windows(end - first, limits, speech.get((first, end), ())):
                yield self._row(unit.id, footage, number, first + a, first + b, video["source_fps"])

    def _look(self, path: "Path", width: int, height: int) -> "Footage":
        from pipeline.media.ahead import reading_ahead
        from pipeline.media.shots.finder import ShotFinder, analysis_size
        from pipeline.media.shots.settings import ShotSettings
        from pipeline.media.video import GridReader

        size = analysis_size(width, height)
        settings = ShotSettings(
            content_score=self.content_score,
            adaptive_ratio=self.adaptive_ratio,
            adaptive_score=self.adaptive_score,
            jump_widths_per_second=self.jump_widths_per_second,
            flash_pictures=self.flash_frames,
        )
        finder = ShotFinder(size, settings)
        with (
            GridReader(path, size=size, threads=self._context.threads) as reader,
            reading_ahead(reader, self.read_ahead_frames) as pictures,
        ):
            for picture in pictures:
                finder.feed(picture.n, picture.pixels, picture.repeated)
        return finder.finish()

    def _speech(self, path: "Path", spans: list[tuple[int, int]]) -> dict[tuple[int, int], list[tuple[float, float]]]:
        """Speech within each span, in frames from its beginning."""
        from pipeline.media.audio import read_wave
        from pipeline.nets.sound.vad import speech_segments

        wave = read_wave(path) if self._detector is not None else None
        if wave is None or self._detector is None:
            return {}
        found = {}
        for first, end in spans:
            begin = max(0, first - round(CONTEXT_SECONDS * FPS))
            stop = end + round(CONTEXT_SECONDS * FPS)
            piece = wave[begin * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
            segments = speech_segments(
                self._detector.speech_probability(piece),
                threshold=self.speech_threshold,
                min_pause=self.min_pause_seconds,
            )
            shift = first - begin
            found[first, end] = [(start * FPS - shift, finish * FPS - shift) for start, finish in segments]
        return found

    def _row(self, video_id: str, footage: "Footage", shot: int, first: int, end: int, source_fps: float) -> Row:
        shot_first, shot_end = footage.shots[shot]
        return {
            "clip_id": f"{video_id}/{first}+{end - first}",
            "video_id": video_id,
            "first_frame": first,
            "frames": end - first,
            "start_seconds": first / FPS,
            "end_seconds": end / FPS,
            "shot": shot,
            "shot_first_frame": shot_first,
            "shot_frames": shot_end - shot_first,
            "camera_motion": round(footage.camera_motion(first, end), 4),
            "repeated_frames": round(footage.repeated_share(first, end, source_fps), 4),
        }


def _nothing(footage: "Footage", min_clip_seconds: float) -> Reject:
    """Why a video has no clip."""
    if footage.frames == 0:
        return Reject(Reason.CORRUPT, "no picture decodes")
    if footage.flat_share >= FLAT_THROUGHOUT:
        return Reject(Reason.NO_PERSON, f"the picture is flat throughout ({footage.frames / FPS:.2f} s)")
    longest = max((end - first for first, end in footage.shots), default=0) / FPS
    cuts = ", ".join(f"{cut / FPS:.2f}" for cut in footage.cuts[:20]) + (", ..." if len(footage.cuts) > 20 else "")
    shots = "1 shot" if len(footage.shots) == 1 else f"{len(footage.shots)} shots"
    detail = f"{shots}, the longest {longest:.2f} s of at least {min_clip_seconds:g} s"
    return Reject(Reason.TOO_SHORT, f"{detail}; cuts at {cuts} s" if cuts else detail)


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("split")
