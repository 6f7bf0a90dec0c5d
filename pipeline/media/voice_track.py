"""Which of several sound tracks holds the voice: the one with the largest share of seconds that sound like speech.

Speech is loud and soft by turns several times a second; hum, noise and silence are not. That needs no net and tells a voice from a
track of silence or hum, which is what cameras and editors leave; between two tracks alike, the default one stays.
"""

from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.media.guard import Limits, audio_streams, open_container
from pipeline.media.timeline import read_packets

_HEARD_SECONDS = 180
_FRAMES_A_SECOND = 50
_AUDIBLE_DBFS = -55.0
_FLOOR_DBFS = -70.0
_MODULATION_DB = 5.0  # standard deviation of levels within a second; noise has 1, hum none
_CLEARLY = 0.2  # share of seconds by which another track must surpass the default one


def voice_track(path: str | Path, limits: Limits | None = None, *, need_video: bool = True) -> int | None:
    """The index of the stream with the voice, where it is not the default one; None where it is, or is the only one."""
    with open_container(path, limits, need_video=need_video) as container:
        indices = [stream.index for stream in audio_streams(container)]
    if len(indices) < 2:
        return None
    shares = [_speech_share(path, limits, index, need_video) for index in indices]
    best = int(np.argmax(shares))
    return indices[best] if shares[best] - shares[0] > _CLEARLY else None


def _speech_share(path: str | Path, limits: Limits | None, index: int, need_video: bool) -> float:
    """Share of a track's first minutes that sounds like speech."""
    with open_container(path, limits, need_video=need_video) as container:
        stream = container.streams[index]
        levels: list[float] = []
        for packet in read_packets(container, stream):
            levels += _levels(stream, packet)
            if len(levels) >= _HEARD_SECONDS * _FRAMES_A_SECOND:
                break
    return speech_share(np.array(levels))


def _levels(stream: Any, packet: Any) -> list[float]:
    """RMS of each 20 ms or so of a packet's sound, the loudest channel's."""
    resampler = av.AudioResampler(format="fltp")
    levels = list[float]()
    try:
        for frame in stream.codec_context.decode(packet if packet.size else None):
            for plain in resampler.resample(frame) if frame.layout.nb_channels < 8 else ():
                samples = np.nan_to_num(plain.to_ndarray())
                pieces = max(1, round(samples.shape[1] * _FRAMES_A_SECOND / plain.sample_rate))
                levels += [float(np.sqrt((p**2).mean(axis=1)).max()) for p in np.array_split(samples, pieces, axis=1)]
    except (av.FFmpegError, ValueError):
        return levels  # broken packets
    return levels


def speech_share(levels: NDArray[np.float64]) -> float:
    """Share of seconds that sound like speech.

    Args:
        levels: (frames,) RMS of 20 ms each, 1 is full scale.
    """
    seconds = len(levels) // _FRAMES_A_SECOND
    if not seconds:
        return 0.0
    dbfs = np.maximum(20 * np.log10(np.maximum(levels, 1e-9)), _FLOOR_DBFS)
    dbfs = dbfs[: seconds * _FRAMES_A_SECOND].reshape(seconds, _FRAMES_A_SECOND)
    audible = np.percentile(dbfs, 90, axis=1) > _AUDIBLE_DBFS
    return float((audible & (dbfs.std(axis=1) > _MODULATION_DB)).mean())
