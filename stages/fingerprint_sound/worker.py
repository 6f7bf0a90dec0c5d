"""Reads the voice track of a video as all other stages do, and fingerprints it."""

import logging
from collections.abc import Iterator

from pipeline.base.units import Row
from pipeline.engine.decoded import sound_tracks
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.chromaprint import NAME, fingerprint, is_available
from stages.fingerprint_sound import FingerprintSound

log = logging.getLogger(__name__)


class FingerprintWorker:
    """Turns videos into rows of `sound_fingerprints`.

    Args:
        context: where videos lie.
    """

    def __init__(self, context: Context) -> None:
        self._tracks = sound_tracks(context)
        if not is_available():
            log.warning(
                "not measured: the ffmpeg that CSG405_FFMPEG names has no Chromaprint; without that variable csg405 takes "
                "imageio-ffmpeg's, which has it"
            )

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the video's row, of its id alone where nothing can be heard or measured."""
        video = unit.row("videos")
        row: Row = {"video_id": unit.id}
        if video["audio_codec"] and is_available():
            wave = self._tracks.whole(video)
            if wave is not None and len(wave):
                items = fingerprint(wave)
                row |= {"fingerprint_of": NAME, "fingerprint_items": len(items)}
                row |= {"fingerprint": items.astype("<u4").tobytes()}
        yield row


def open_worker(stage: FingerprintSound, context: Context) -> FingerprintWorker:
    """What does the stage's work."""
    return FingerprintWorker(context)
