"""The media behind planted videos: two little films, each of two shots with a cut, in every codec that YouTube offers.

Every file carries a mark of eleven characters in its comment, which the server overwrites with the video's id: each
video has bytes of its own, and ffmpeg keeps them when it merges sound and pictures.
"""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.encoders import ordinary_scheduling

FILMS = 2
SECONDS = 7
CUT_SECONDS = 3.6
MARK = b"-_markme_-_"

_WIDTH, _HEIGHT, _FPS, _RATE = 320, 180, 25, 48_000
# kind -> (container, video codec, audio codec)
KINDS: dict[str, tuple[str, str, str]] = {
    "avc": ("mp4", "libx264", ""),
    "vp9": ("webm", "libvpx-vp9", ""),
    "av1": ("mp4", "libsvtav1", ""),
    "aac": ("mp4", "", "aac"),
    "opus": ("webm", "", "libopus"),
    "both": ("mp4", "libx264", "aac"),
}
os.environ.setdefault("SVT_LOG", "0")  # the encoder of AV1 tells its life story on stderr
_OPTIONS = {
    "libx264": {"preset": "ultrafast", "crf": "24"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "11", "svtav1-params": "lp=1"},
}


def film(number: int, kind: str, mark: str) -> bytes:
    """The file of film `number` (modulo FILMS) in one of KINDS, marked as the video's own."""
    return _film(number % FILMS, kind).replace(MARK, mark.encode())


def draw(number: int, kind: str) -> None:
    """Draw the film that `film` answers with, where it is not drawn yet."""
    _film(number % FILMS, kind)


def picture(number: int, frame: int) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: a room for each shot, and a ball that swings in it."""
    shot = 2 * number + (frame >= CUT_SECONDS * _FPS)
    small = np.random.default_rng(shot).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    room = cv2.resize(small, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_NEAREST)
    x = int(_WIDTH / 2 + 40 * np.sin(frame / 6))
    cv2.circle(room, (x, _HEIGHT // 2), 20, (200, 160, 140), -1)
    return np.asarray(room, np.uint8)


def sound(number: int) -> NDArray[np.float32]:
    """(samples,) bursts of noise with pauses between them."""
    rng = np.random.default_rng(number)
    wave = rng.uniform(-0.3, 0.3, SECONDS * _RATE).astype(np.float32)
    wave[np.arange(len(wave)) % (2 * _RATE) > 1.6 * _RATE] = 0
    return wave


@functools.cache
def _film(number: int, kind: str) -> bytes:
    with ordinary_scheduling(), tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "film"
        _write(made, number, *KINDS[kind])
        content = made.read_bytes()
    assert content.count(MARK) == 1, f"{kind}: the mark stands {content.count(MARK)} times"
    return content


def _write(path: Path, number: int, container: str, video_codec: str, audio_codec: str) -> None:
    options = {"movflags": "+faststart"} if container == "mp4" else {}
    with av.open(str(path), "w", format=container, options=options) as out:
        out.metadata["comment"] = MARK.decode()
        video: Any = None
        if video_codec:
            video = out.add_stream(video_codec, rate=_FPS, options=_OPTIONS[video_codec])
            video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        audio: Any = out.add_stream(audio_codec, rate=_RATE, layout="mono") if audio_codec else None
        if video is not None:
            for frame in range(SECONDS * _FPS):
                shown = av.VideoFrame.from_ndarray(picture(number, frame), format="rgb24")
                out.mux(video.encode(shown))
            out.mux(video.encode(None))
        if audio is not None:
            wave = sound(number)
            for at in range(0, len(wave), 960):
                piece = wave[None, at : at + 960]
                given = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout="mono")
                given.sample_rate, given.pts = _RATE, at
                for packed in _packed(given, audio):
                    out.mux(audio.encode(packed))
            out.mux(audio.encode(None))


def _packed(frame: av.AudioFrame, stream: Any) -> list[av.AudioFrame]:
    """The frame in the sample format that the encoder takes."""
    if stream.format.name == "fltp":
        return [frame]
    resampler = av.AudioResampler(format=stream.format, layout="mono", rate=_RATE)
    return list(resampler.resample(frame))
