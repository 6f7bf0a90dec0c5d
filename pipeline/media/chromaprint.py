"""Chromaprint's acoustic fingerprint of a wave, by ffmpeg's muxer of that name: equal sound gives nearly equal numbers.

An item sums up 20 frames of 4,096 samples, 1,365 samples apart at 11,025 Hz: Chromaprint's `CHROMAPRINT_ALGORITHM_TEST2`.
ffmpeg is given raw samples through a pipe: files from outside are read by `pipeline.media.audio` alone.
"""

import subprocess
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import SAMPLE_RATE
from pipeline.media.writer import WriteError, ffmpeg_exe

NAME = "chromaprint-1"
ITEM_SECONDS = 1365 / 11_025  # from one item to the next
ITEM_SPAN_SECONDS = (19 * 1365 + 4096) / 11_025  # of sound that one item looks at

Items = NDArray[np.uint32]


@cache
def is_available() -> bool:
    """Whether the ffmpeg of this machine can make fingerprints; that of imageio-ffmpeg can, a distribution's own may not."""
    done = subprocess.run([ffmpeg_exe(), "-hide_banner", "-muxers"], capture_output=True, text=True, timeout=60)
    return any(line.split()[1:2] == ["chromaprint"] for line in done.stdout.splitlines())


def fingerprint(wave: NDArray[np.float32], deadline_seconds: float = 600) -> Items:
    """The fingerprint of a wave (samples,) at 16 kHz in -1..1: (items,) uint32, one each 0.124 s; none under 2.7 s.

    Raises:
        WriteError: ffmpeg failed, as where it has no such muxer. subprocess.TimeoutExpired: after the deadline.
    """
    samples = np.clip(np.rint(wave * np.float32(32768)), -32768, 32767).astype("<i2")
    given = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", "pipe:0"]
    wanted = ["-ar", "11025", "-f", "chromaprint", "-algorithm", "1", "-fp_format", "raw", "pipe:1"]
    command = [ffmpeg_exe(), "-v", "error", "-protocol_whitelist", "pipe", *given, *wanted]
    done = subprocess.run(command, input=samples.tobytes(), capture_output=True, timeout=deadline_seconds)
    if done.returncode:
        raise WriteError(f"ffmpeg made no fingerprint: {done.stderr.decode(errors='replace')[-500:].strip()}")
    return np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<u4").astype(np.uint32)


def seconds_of(items: int) -> float:
    """How much sound this many items in a row look at."""
    return (items - 1) * ITEM_SECONDS + ITEM_SPAN_SECONDS if items > 0 else 0.0
