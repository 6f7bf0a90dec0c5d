"""Finds a video's shots in one decode and cuts them into clips."""

from collections.abc import Iterator
from pathlib import Path

import cv2

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import FPS, SAMPLES_PER_FRAME, Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.ahead import batches, reading_ahead
from pipeline.media.audio import read_wave
from pipeline.media.reading import Reading
from pipeline.media.shots.finder import PIXEL_FORMAT, ShotFinder, analysis_size
from pipeline.media.shots.footage import Footage
from pipeline.media.shots.settings import ShotSettings
from pipeline.media.shots.windows import WindowLimits, guarded, windows
from pipeline.media.video import GridReader
from pipeline.nets.session import open_session
from pipeline.nets.sound.vad import SpeechDetector, speech_segments
from pipeline.nets.transnet import TransNet
from stages.split.settings import SplitSettings

FLAT_THROUGHOUT = 0.98  # share of flat pictures at which nobody can be seen in a video
_BATCHES = 2  # decoded ahead, one of which is being filled
CONTEXT_SECONDS = 1.0  # of sound before and after a shot, for the voice detector to settle on


class Splitter:
    """Holds the nets, and looks at one video after the other."""

    def __init__(self, settings: SplitSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._detector: SpeechDetector | None = None
        cv2.setNumThreads(1)  # pictures are small; the cores are for decoding
        self._net: TransNet | None = None
        if settings.vad:
            self._detector = SpeechDetector(open_session(context.nets.resolve(settings.vad).path, "cpu", 1))
        if settings.net:
            session = open_session(context.nets.resolve(settings.net).path, "cpu", context.threads)
            self._net = TransNet(session)

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the clips of a video. Raises Reject where it has none."""
        video = unit.row("videos")
        path = self._context.storage.local(video["path"])
        reading = Reading.of(video)
        footage = self._look(path, reading, analysis_size(video["width"], video["height"]))
        settings = self._settings
        lengths = (settings.min_clip_seconds, settings.max_clip_seconds, settings.target_clip_seconds)
        limits = WindowLimits(*(round(seconds * FPS) for seconds in lengths))
        spans = [guarded(a, b, footage.frames, settings.guard_frames, limits.shortest) for a, b in footage.shots]
        if not any(end - first >= limits.shortest for first, end in spans):
            raise _nothing(footage, settings.min_clip_seconds)
        long = [span for span in spans if span[1] - span[0] > limits.longest]
        speech = self._speech(path, reading, long) if video["audio_codec"] and long else {}
        for number, (first, end) in enumerate(spans):
            for a, b in windows(end - first, limits, speech.get((first, end), ())):
                motion = footage.print.motion(first + a, first + b, footage.shots[number][0])
                borders = footage.glimpses.inner_frames(first + a, first + b, video["width"], video["height"])
                yield {
                    **self._row(unit.id, footage, number, first + a, first + b),
                    "inner_frames": [list(box) for box in borders] or None,
                    "motion_print": motion,
                    "scene_print": footage.print.scene(first + a, first + b),
                }

    def _look(self, path: Path, reading: Reading, size: tuple[int, int]) -> Footage:
        settings = self._settings
        finder = ShotFinder(
            size,
            ShotSettings(
                content_score=settings.content_score,
                adaptive_ratio=settings.adaptive_ratio,
                adaptive_score=settings.adaptive_score,
                jump_widths_per_second=settings.jump_widths_per_second,
                flash_pictures=settings.flash_frames,
                jump_cut_stir=settings.jump_cut_stir,
                jump_cut_stir_ratio=settings.jump_cut_stir_ratio,
                jump_cut_score_ratio=settings.jump_cut_score_ratio,
                blend_unexplained=settings.blend_unexplained,
                blend_share=settings.blend_share,
                blend_score=settings.blend_score,
                blend_likeness=settings.blend_likeness,
                net_threshold=settings.net_threshold,
            ),
            self._net,
        )
        with (
            GridReader(
                path, size=size, pixel_format=PIXEL_FORMAT, threads=self._context.threads, reading=reading
            ) as reader,
            reading_ahead(batches(reader, -(-settings.read_ahead_frames // _BATCHES)), _BATCHES - 1) as ahead,
        ):
            for pictures in ahead:
                for picture in pictures:
                    finder.feed(picture.n, picture.pixels, picture.repeated)
        return finder.finish()

    def _speech(
        self, path: Path, reading: Reading, spans: list[tuple[int, int]]
    ) -> dict[tuple[int, int], list[tuple[float, float]]]:
        """Speech within each span, in frames from its beginning."""
        wave = read_wave(path, reading=reading) if self._detector is not None else None
        if wave is None or self._detector is None:
            return {}
        speech = {}
        for first, end in spans:
            begin = max(0, first - round(CONTEXT_SECONDS * FPS))
            stop = end + round(CONTEXT_SECONDS * FPS)
            piece = wave[begin * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
            segments = speech_segments(
                self._detector.speech_probability(piece),
                threshold=self._settings.speech_threshold,
                min_pause=self._settings.min_pause_seconds,
            )
            shift = first - begin
            speech[first, end] = [(start * FPS - shift, finish * FPS - shift) for start, finish in segments]
        return speech

    def _row(self, video_id: str, footage: Footage, shot: int, first: int, end: int) -> Row:
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
            "repeated_frames": round(footage.repeated_share(first, end), 4),
            "picture_motion": _rounded(footage.glimpses.picture_motion(first, end)),
            "repeats": footage.coded_again(first, end) or None,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _nothing(footage: Footage, min_clip_seconds: float) -> Reject:
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


open_worker = Splitter
