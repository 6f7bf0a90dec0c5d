"""Finds the voices of a video's whole sound, and measures them in each of its clips."""

from collections.abc import Iterator, Mapping

from pipeline.base.units import FPS, Row
from pipeline.engine.decoded import sound_tracks
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.nets.footage import check_footage, footage_of
from pipeline.nets.server.client import open_net
from pipeline.nets.session import Device
from pipeline.nets.sound.pyannote_segmentation import PyannoteSegmentation
from pipeline.nets.sound.segmentation import Listener, SegmentationNet
from pipeline.nets.sound.voices import Span, Voices, clipped, longest, seconds, spans
from stages.overlap.settings import CPU_BATCH, GPU_BATCH, OverlapSettings


class OverlapWorker:
    """Turns videos into rows of `overlaps`, one for each clip.

    Args:
        settings: of the stage.
        context: where videos lie.
        listener: finds voices in sound.
        footage: by the name of each net, the only footage that it was made for, or "".
    """

    def __init__(
        self, settings: OverlapSettings, context: Context, listener: Listener, footage: Mapping[str, str]
    ) -> None:
        self._settings, self._tracks = settings, sound_tracks(context)
        self._listener, self._footage = listener, footage

    @classmethod
    def from_context(cls, settings: OverlapSettings, context: Context) -> "OverlapWorker":
        """Open the net that the settings name."""
        return cls(settings, context, *open_listener(settings, context))

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each clip, of ids alone where the video has no sound that decodes. Raises WrongFootage."""
        clips, video = unit.rows("clips"), unit.row("videos")
        check_footage(self._footage, video["footage"], "`overlap.net`")
        voices = self._voices(video)
        for clip in clips:
            row: Row = {"clip_id": clip["clip_id"], "video_id": clip["video_id"]}
            if voices is not None:
                row |= measures_of(voices, clip["first_frame"] / FPS, clip["frames"] / FPS, self._settings)
            yield row

    def _voices(self, video: Row) -> "VideoVoices | None":
        """The voices of the whole video; None when it has no sound that decodes."""
        wave = self._tracks.whole(video) if video["audio_codec"] else None
        return VideoVoices(self._listener.hear(wave), self._settings) if wave is not None and len(wave) else None


class VideoVoices:
    """What the net makes of a video's sound.

    Attributes:
        voices: scores on the net's own frames.
        voiced: spans with at least one voice, seconds of the video.
        overlapped: spans with at least two, likewise.
    """

    def __init__(self, voices: Voices, settings: OverlapSettings) -> None:
        self.voices = voices
        one, two = voices.scores.T
        onset, offset, gap = settings.onset, settings.offset, settings.min_gap_seconds
        self.voiced: list[Span] = spans(one, onset, offset, min_off=gap)
        self.overlapped: list[Span] = spans(two, onset, offset, settings.min_overlap_seconds, gap)


def measures_of(video: VideoVoices, start: float, length: float, settings: OverlapSettings) -> Row:
    """Measures of the clip of `length` seconds that starts at `start` seconds of the video."""
    end = start + length
    overlaps = clipped(video.overlapped, start, end)
    return {
        "overlap_seconds": seconds(overlaps),
        "overlap_share": seconds(overlaps) / length,
        "longest_overlap_seconds": longest(overlaps),
        "voices": video.voices.count(start, end, settings.min_voice_seconds),
        "voiced_share": seconds(clipped(video.voiced, start, end)) / length,
        "voice_scores": video.voices.rows(start, end) if settings.keep_scores else None,
    }


def open_listener(settings: OverlapSettings, context: Context) -> tuple[Listener, dict[str, str]]:
    """The net that the settings name, and by its name the only footage that it was made for.

    Raises:
        ImportError: the backend pyannote is not installed. What `open_net` raises.
    """
    device: Device = "cuda" if context.device == "cuda" else "cpu"
    batch = settings.batch or (GPU_BATCH if device == "cuda" else CPU_BATCH)
    step, soft = settings.step_seconds, settings.soft
    if settings.backend == "pyannote":
        checkpoint = context.nets.resolve(settings.checkpoint)  # which checks the file's hash
        return PyannoteSegmentation(checkpoint.path, device, batch, step, soft=soft, threads=context.threads), {}
    net = context.nets.resolve(settings.net)
    session = open_net(net.path, device, context.threads, context.net_server)
    return SegmentationNet(session, batch, step, soft=soft), {net.name: footage_of(session)}


open_worker = OverlapWorker.from_context
