"""Films as files: H.264 with the film's own presentation times, and what sites and cameras make of such files."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.base.pulse import beat
from pipeline.media.video import ffmpeg_exe
from pipeline.theatre import voice
from pipeline.theatre.film import Film

CRF, PRESET = "17", "veryfast"
# Matroska has a random number in each file, and a video is its content: drawn again, it would be another one.
_FORMS = {".mp4": ("mp4", {}), ".mkv": ("matroska", {"fflags": "+bitexact"}), ".ts": ("mpegts", {})}
_TO_PQ = (  # diffuse white at 203 cd/m2, BT.2408
    "scale=in_color_matrix=bt601:in_range=tv:out_range=pc,format=gbrp,"
    "setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=full,"
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020,zscale=t=smpte2084:m=bt2020nc:r=limited:npl=203,format=yuv420p10le"
)
_HDR = "log-level=none:pools=1:range=limited:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"


def write_film(film: Film, path: Path) -> None:
    """Encode a film: H.264 4:2:0 with the film's own presentation times, AAC at 48 kHz; then what else the take asks for."""
    take = film.take
    if take.restarts:
        _join(film, path)
    elif take.transfer:
        plain = path.with_name(f"{path.name}.plain.mp4")
        _write(film, plain, ".mp4")
        _to_pq(plain, path)
        plain.unlink()
    else:
        _write(film, path, take.suffix)


def _join(film: Film, path: Path) -> None:
    """Each shot as a file whose clock begins at zero, one after the other."""
    part = path.with_name(f"{path.name}.part")
    starts = [Fraction(round(start * 1000), 1000) for start in film.take.shot_starts]
    ends = [*starts[1:], Fraction(round(film.seconds * 1000), 1000)]
    with path.open("wb") as whole:
        for start, end in zip(starts, ends, strict=True):
            _write(film, part, film.take.suffix, start, end)
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole)
    part.unlink()


def _to_pq(source: Path, target: Path) -> None:
    colours = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    coded = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "12", "-x265-params", _HDR, *colours)
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-y", "-i", str(source), "-vf", _TO_PQ, *coded]
    subprocess.run([*command, "-c:a", "copy", "-f", "mp4", str(target)], check=True, timeout=300)


def _write(film: Film, path: Path, suffix: str, start: Fraction = Fraction(0), end: Fraction | None = None) -> None:
    """Encode the film from `start` to `end`, seconds, on a clock that begins there."""
    form, options = _FORMS[suffix]
    with av.open(str(path), "w", format=form, container_options=options) as container:
        video = _video_stream(container, film)
        waiting: list[av.Packet[Any]] = []
        if film.take.sound != "none":
            sound = container.add_stream("aac", rate=voice.RATE, layout="mono")
            sound.codec_context.bit_rate = 96_000
            waiting = _sound_packets(sound, film, start, end)
        base = video.codec_context.time_base
        for time, picture in film.pictures(start, end):
            beat(frames=1)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(
                format="yuv420p", dst_colorspace="ITU601"
            )
            frame.pts, frame.time_base = int((time - start) / base), base
            while waiting and waiting[0].pts is not None and waiting[0].pts * waiting[0].time_base <= time - start:
                container.mux(waiting.pop(0))
            container.mux(video.encode(frame))
        container.mux(waiting)
        container.mux(video.encode(None))


def _video_stream(container: av.container.OutputContainer, film: Film) -> av.VideoStream:
    rate = film.take.fps or 1000
    options = {"crf": CRF, "preset": PRESET, "bf": "2", "g": "100"}
    stream = container.add_stream("libx264", rate=rate if film.take.fps else 30, options=options)
    stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
    stream.codec_context.time_base = Fraction(1, rate)
    stream.codec_context.thread_count = 1
    # What the conversion to YUV below is; untagged 720p would be read as BT.709 by some.
    stream.codec_context.colorspace, stream.codec_context.color_range = 5, 1
    stream.codec_context.color_primaries, stream.codec_context.color_trc = 5, 6
    return stream


def _sound_packets(stream: av.AudioStream, film: Film, start: Fraction, end: Fraction | None) -> list["av.Packet[Any]"]:
    samples = film.sound
    assert samples is not None
    samples = samples[round(start * voice.RATE) : None if end is None else round(end * voice.RATE)]
    wave = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    packets = []
    for at in range(0, len(wave), 4800):
        frame = av.AudioFrame.from_ndarray(wave[None, at : at + 4800], format="s16", layout="mono")
        frame.sample_rate, frame.pts = voice.RATE, at
        frame.time_base = Fraction(1, voice.RATE)
        packets += stream.encode(frame)
    return packets + stream.encode(None)
