"""Sound: a file's track as one 16-kHz mono wave on the presentation clock, cut by index."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from pipeline.base.units import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.media.guard import Limits, audio_streams, open_container, picture_streams
from pipeline.media.look import look
from pipeline.media.pieces import PacketTimes
from pipeline.media.reading import Reading
from pipeline.media.timeline import GridClock, presentation_zero, read_packets, span_of

_GAP_SECONDS = 0.02  # clocks in milliseconds wander this far without anything missing
_CHUNK_SECONDS = 2
_FLIPPED_SHARE = 0.02  # of the seconds
_SPEECH_WEIGHTS = {"FC": 1.0, "FL": 0.25, "FR": 0.25, "LFE": 0.0}
_AROUND = 0.1  # weight of all other channels
_LEAST_PACE, _MOST_PACE = 20, 500  # frames by which the pace of a clock is judged
_MOST_PLANES = 8
_SILENT_SHARE = 1e-4  # -40 dB below the loudest channel: carries no voice
_CANCELLED_SHARE = 0.05  # of the channels' mean energy left in their mean: they work against each other


def read_wave(path: str | Path, limits: Limits | None = None, reading: Reading | None = None) -> np.ndarray | None:
    """The sound track with the voice as a wave at 16 kHz; None when there is no track that decodes.

    Args:
        path: a local file.
        limits: bounds for the file.
        reading: what a look at the file decided; None: it is looked at here, which reads all its packets.

    Returns:
        (samples,) float32. Sample 0 is presentation zero: a late start is padded with zeros, priming and hidden
        pre-roll are cut, holes in the timestamps are filled with zeros. It is at least as long as the picture grid.
        Channels are averaged; silent ones are left out and inverted ones turned over, and where some are inverted for a while
        the loudest counts alone. Of surround sound the centre leads.

    Raises:
        Reject, Failure: what `open_container` raises.
    """
    limits = limits or Limits()
    track = _Track(path, limits, look(path, limits, need_video=False) if reading is None else reading)
    wave = track.read(None)
    if track.contradicts_itself:
        track.timed = False
        wave = track.read(None)
    weights = track.better_weights()
    if weights is not None:
        wave = track.read(weights)
    return wave


def cut(wave: np.ndarray, first_frame: int, frames: int) -> np.ndarray:
    """The sound of grid pictures [first_frame, first_frame + frames): frames x 640 samples, zeros past the ends."""
    begin, end = first_frame * SAMPLES_PER_FRAME, (first_frame + frames) * SAMPLES_PER_FRAME
    out = np.zeros(max(end - begin, 0), dtype=np.float32)
    have = wave[max(begin, 0) : max(end, 0)]
    at = max(-begin, 0)
    out[at : at + len(have)] = have
    return out


def to_flac(wave: np.ndarray) -> bytes:
    """A wave (samples,) in -1..1 as 16-bit FLAC at 16 kHz; louder samples are clipped."""
    samples = np.clip(np.rint(np.asarray(wave, dtype=np.float64) * 32768), -32768, 32767).astype(np.int16)
    out = io.BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def from_flac(data: bytes) -> np.ndarray:
    """The wave (samples,) float32 of FLAC bytes; ValueError when they are not 16-kHz mono FLAC."""
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not FLAC: {error}") from error
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise ValueError(f"FLAC at {rate} Hz with shape {samples.shape}, wanted mono at {SAMPLE_RATE} Hz")
    return np.asarray(samples.astype(np.float32) / np.float32(32768))


def write_wav(path: str | Path, wave: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write a wave (samples,) or (samples, channels) as 32-bit float WAV."""
    soundfile.write(Path(path), np.asarray(wave, dtype=np.float32), rate, format="WAV", subtype="FLOAT")


class _Track:
    """One file's sound track; each `read` is one pass over the file."""

    def __init__(self, path: str | Path, limits: Limits, reading: Reading) -> None:
        self._path = path
        self._limits = limits
        self._clock, self._chosen = reading.clock, reading.sound_track
        self._pace: list[float] = []  # of the first frames: seconds to the next by the clock, over those that it lasts
        self.grid_frames = 0
        self.timed = True  # whether frames lie where their times say; else each follows the one before
        self._products: np.ndarray | None = None  # (channels, channels) sums of products of samples
        self._blocks: list[np.ndarray] = []  # the same, of each second or so
        self._in_block = 0.0  # seconds
        self._names: tuple[str, ...] = ()  # of the channels

    def read(self, weights: np.ndarray | None) -> np.ndarray | None:
        """(samples,) float32 at 16 kHz, mixed with these channel weights (None: the mean)."""
        with open_container(self._path, self._limits, need_video=False) as container:
            stream = next(iter(audio_streams(container, self._chosen)), None)
            if stream is None:
                return None
            mixer = _Mixer(presentation_zero(container, self._clock), self._limits.max_duration_seconds)
            for samples, time, rate, turned in self._decode(container, stream):
                self._count(samples, rate)
                usable = weights is not None and len(weights) == len(samples)
                mono = weights @ samples if usable else samples.mean(axis=0)
                mixer.add(mono, time if self.timed else None, rate, exactly=turned)
            return mixer.finish(self.grid_frames * SAMPLES_PER_FRAME)

    @property
    def contradicts_itself(self) -> bool:
        """Whether the clock goes at another pace than the samples: a damaged time scale. Gaps leave the median alone."""
        pace = sorted(self._pace)
        return self.timed and len(pace) >= _LEAST_PACE and not 0.5 <= pace[len(pace) // 2] <= 2

    def better_weights(self) -> np.ndarray | None:
        """Channel weights when the plain mean would lose the voice, else None."""
        if self._products is None or len(self._products) < 2:
            return None
        energy = np.diag(self._products)
        loudest = int(np.argmax(energy))
        if energy[loudest] <= 0:
            return None
        used = energy > _SILENT_SHARE * energy[loudest]
        if len(self._names) == len(energy) > 2 and {"FC", "LFE"} & set(self._names):
            return _for_speech(self._names, used)
        signs = np.where(used, 1.0, 0.0)
        mean = signs / used.sum()
        if self._flips(mean):
            return np.asarray(np.arange(len(energy)) == loudest, np.float32)
        if mean @ self._products @ mean < _CANCELLED_SHARE * energy[used].mean():
            signs = np.where(used & (self._products[loudest] < 0), -1.0, signs)
        if (signs == 1).all():
            return None
        return np.asarray(signs / used.sum(), np.float32)

    def _flips(self, mean: np.ndarray) -> bool:
        """Whether channels cancel each other in some seconds and not in others: no sign is right for all of them."""
        powers = np.array([[mean @ block @ mean, np.diag(block)[mean > 0].mean()] for block in self._blocks])
        heard = powers[powers[:, 1] > _SILENT_SHARE * powers[:, 1].max()]
        cancelled = heard[:, 0] < _CANCELLED_SHARE * heard[:, 1]
        return bool(_FLIPPED_SHARE < cancelled.mean() < 1 - _FLIPPED_SHARE)

    def _count(self, samples: np.ndarray, rate: int) -> None:
        products = samples @ samples.T
        self._in_block += samples.shape[1] / rate
        if not self._blocks or self._blocks[-1].shape != products.shape or self._in_block > 1:
            self._blocks.append(products.astype(np.float64))
            self._in_block = 0.0
        else:
            self._blocks[-1] += products
        if self._products is None or len(self._products) == len(products):
            self._products = products.astype(np.float64) + (0 if self._products is None else self._products)

    def _decode(self, container: Any, stream: Any) -> Iterator[tuple[np.ndarray, Fraction | None, int, bool]]:
        """(channels, samples) float32, time in seconds of the file's clock or None, rate, whether a piece of the clock begins.

        Pictures are only counted.
        """
        pictures = next(iter(picture_streams(container)), None)
        meter = PacketTimes(pictures.index, pictures.time_base) if pictures is not None and pictures.time_base else None
        turned, before = False, None
        for packet in read_packets(container, *([stream] if meter is None else [stream, pictures]), clock=self._clock):
            if packet.stream_index != stream.index:
                if meter is not None:
                    meter.add(packet, 0)
                continue
            turned = turned or packet.opaque is not None
            try:
                decoded = stream.codec_context.decode(packet if packet.size else None)
                self._names = tuple(c.name for c in decoded[-1].layout.channels) if decoded else self._names
                pieces = [(_as_float(frame), _time(frame, stream), frame.sample_rate) for frame in decoded]
            except (av.FFmpegError, ValueError):
                continue  # broken packets, and frames whose sizes contradict each other
            for samples, time, rate in pieces:
                self._note_pace(before, time)
                yield samples, time, rate, turned
                turned, before = False, (time, samples.shape[1] / rate)
        self.grid_frames = self._grid_frames(container, meter)

    def _note_pace(self, before: tuple[Fraction | None, float] | None, time: Fraction | None) -> None:
        if before and before[0] is not None and before[1] and time is not None and len(self._pace) < _MOST_PACE:
            self._pace.append(float(time - before[0]) / before[1])

    def _grid_frames(self, container: Any, meter: PacketTimes | None) -> int:
        if meter is None:
            return 0
        clock = GridClock(presentation_zero(container, self._clock), meter.time_base)
        span = span_of(meter, clock)
        longest = int(self._limits.max_duration_seconds * FPS)
        return min(max(clock.first_picture(span.end_pts), 1), longest) if span else 0


def _for_speech(names: tuple[str, ...], used: np.ndarray) -> np.ndarray:
    """Weights of surround channels: the centre, where films keep voices, leads; effects of the lowest octaves are left out."""
    weights = np.array([_SPEECH_WEIGHTS.get(name, _AROUND) for name in names]) * used
    if not any(name == "FC" and here for name, here in zip(names, used, strict=True)):
        weights = np.where(np.array(names) == "LFE", 0.0, 1.0) * used
    if not weights.sum():
        weights = used.astype(np.float64)
    return np.asarray(weights / weights.sum(), np.float32)


def _time(frame: Any, stream: Any) -> Fraction | None:
    return None if frame.pts is None else frame.pts * (frame.time_base or stream.time_base)


def _as_float(frame: Any) -> np.ndarray:
    """(channels, samples) float32 in -1..1."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels >= _MOST_PLANES:
        frame = _packed(frame)
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, channels).T
    if raw.dtype == np.uint8:
        return np.asarray((raw.astype(np.float32) - 128) / 128)
    if raw.dtype.kind == "i":
        return np.asarray(raw.astype(np.float32) / float(-int(np.iinfo(raw.dtype).min)))
    raw = raw.astype(np.float32, copy=False)
    return np.asarray(raw if np.isfinite(raw.sum()) else np.nan_to_num(raw, posinf=0.0, neginf=0.0))


def _packed(frame: Any) -> Any:
    """The frame with its channels interleaved: PyAV 18 walks past the end of eight planes and more."""
    resampler = av.AudioResampler(format="flt")
    (packed,) = resampler.resample(frame)
    return packed


class _Mixer:
    """Lays mono pieces on the presentation clock and resamples them in one stream, whatever the length."""

    def __init__(self, zero: Fraction, longest_seconds: float) -> None:
        self._zero = zero
        self._longest = longest_seconds
        self._rate = 0
        self._resampler: Any = None
        self._at = 0  # samples at the track's rate since presentation zero
        self._exactly = False
        self._pieces: list[np.ndarray] = []
        self._held = 0
        self._out = bytearray()  # float32; grows in place, where joining pieces would need the memory twice

    def add(self, mono: np.ndarray, time: Fraction | None, rate: int, *, exactly: bool) -> None:
        """Append samples that begin at this time (seconds of the file's clock; None: right after the last).

        exactly: to the sample, also where the time is nearly that of the end.
        """
        if rate != self._rate:
            self._restart(rate)
        if time is not None:
            self._exactly |= exactly
            mono = self._place(mono, round((time - self._zero) * rate), 0 if self._exactly else _GAP_SECONDS * rate)
            self._exactly &= not len(mono)  # what overlaps may be longer than the first pieces
        if len(mono):
            self._push(mono)

    def finish(self, at_least: int) -> np.ndarray | None:
        """Everything, at 16 kHz, zeros added up to this many samples; None when nothing was added."""
        if self._rate == 0:
            return None
        self._flush(last=True)
        self._out.extend(bytes(4 * max(at_least - len(self._out) // 4, 0)))
        return np.frombuffer(self._out, dtype=np.float32)

    def _restart(self, rate: int) -> None:
        if self._rate:
            self._flush(last=True)
            self._at = round(len(self._out) // 4 * rate / SAMPLE_RATE)
        self._rate = rate
        self._resampler = (
            None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        )

    def _place(self, mono: np.ndarray, start: int, slack: float) -> np.ndarray:
        """Fill a hole before the piece, or cut off what overlaps with what is there."""
        ahead = start - self._at
        if self._at and abs(ahead) <= slack:
            return mono
        if ahead < 0:
            return mono[-ahead:]
        if start > self._longest * self._rate:
            return mono[:0]  # a broken timestamp, not hours of silence
        while ahead > 0:
            piece = min(ahead, _CHUNK_SECONDS * self._rate)
            self._push(np.zeros(piece, dtype=np.float32))
            ahead -= piece
        return mono

    def _push(self, mono: np.ndarray) -> None:
        if self._at > self._longest * self._rate:
            return
        self._pieces.append(mono.astype(np.float32, copy=False))
        self._at += len(mono)
        self._held += len(mono)
        if self._held >= _CHUNK_SECONDS * self._rate:
            self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        chunk = np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.float32)
        self._pieces, self._held = [], 0
        if self._resampler is not None:
            chunk = self._resampler.resample_chunk(chunk, last=last)
        self._out.extend(np.ascontiguousarray(chunk, dtype=np.float32).tobytes())
