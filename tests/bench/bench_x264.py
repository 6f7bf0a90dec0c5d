"""x264's presets at equal size, on ten clips cut as export cuts them: what a quicker one costs in quality.

python -m tests.bench x264
"""

import re
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from math import log2, log10
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.base.arrays import Picture
from pipeline.base.units import CLIP_SIDE_PX
from pipeline.media.writer import ffmpeg_exe, write_video
from stages.export import Export
from tests.bench.bench_export import kept, square_of
from tests.bench.footage import clip, ready
from tests.bench.table import Row, cost_of

FILMS = (
    *("latentsync_demo1", "latentsync_demo2", "latentsync_demo3", "infinitetalk_dub1", "edtalk_uncrop_obama"),
    *("dj_video4", "dj_video5", "echomimic_a", "facerec_hamilton", "csgpage_demo4"),
)
MOST_FRAMES = 200
PRESETS = ("medium", "fast", "faster", "veryfast", "superfast")
CRF = 18
EQUAL = 0.01  # of the size of the first preset's clip
CRF_OF_HALF = 6.0  # about so much more halves the size
_ATTEMPTS = 6


@dataclass(frozen=True)
class Coded:
    """A clip as a preset coded it: bytes, processor seconds, PSNR of all planes and SSIM, both in dB."""

    crf: float
    size: int
    seconds: float
    psnr: float
    ssim: float


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    """What each preset loses against the first one, film by film and in all; `samples` hold what the figures are of."""
    found: dict[str, list[Coded]] = {preset: [] for preset in PRESETS}
    frames = 0
    for name in FILMS:
        source = lossless(name, folder)
        pictures = planes_of(source)
        frames += len(pictures)
        best = coded(pictures, source, PRESETS[0], CRF, rounds)
        found[PRESETS[0]].append(best)
        for preset in PRESETS[1:]:
            found[preset].append(of_size(pictures, source, preset, best.size, rounds))
            yield loss(f"{preset}, {name}, PSNR lost", [best.psnr], [found[preset][-1].psnr])
    for preset in PRESETS[1:]:
        yield from whole(preset, frames, found[preset], found[PRESETS[0]])


def whole(preset: str, frames: int, ours: list[Coded], best: list[Coded]) -> Iterator[Row]:
    """All films together."""
    yield loss(f"{preset}, mean of PSNR lost", [each.psnr for each in best], [each.psnr for each in ours])
    yield loss(f"{preset}, mean of SSIM lost", [each.ssim for each in best], [each.ssim for each in ours])
    yield Row(f"x264 {preset}, mean crf of equal size", "crf", statistics.fmean(each.crf for each in ours), CRF)
    megabytes, before = (sum(each.size for each in group) / 1e6 for group in (ours, best))
    yield Row(f"x264 {preset}, bytes", "MB", megabytes, before)
    spent, before = (sum(each.seconds for each in group) for group in (ours, best))
    yield Row(f"x264 {preset}, {frames} frames", "frames/CPU s", frames / spent, frames / before)


def loss(what: str, best: list[float], ours: list[float]) -> Row:
    """By how many dB a preset falls behind."""
    lost = statistics.fmean(best) - statistics.fmean(ours)
    return Row(f"x264 {what}", "dB", round(lost, 2), samples={"ours": ours, "peer": best})


def lossless(name: str, folder: Path) -> Path:
    """The clip that export makes of a film's middle square, without loss: the pictures that x264 is given."""
    footage = clip(name)
    frames = min(MOST_FRAMES, int(footage.facts.duration_seconds * 25))
    [sample] = ready(Export(crf=0, preset="ultrafast", max_upscale=None), folder).process(
        kept(footage, square_of(footage), 0, frames)
    )
    source = folder / f"{name}.mp4"
    (folder / sample["video"]).replace(source)
    return source


def planes_of(source: Path) -> list[Picture]:
    """Its pictures as flat planes."""
    with av.open(str(source)) as container:
        frames: Iterator[Any] = container.decode(video=0)
        return [frame.to_ndarray().ravel() for frame in frames]


def of_size(pictures: list[Picture], source: Path, preset: str, size: int, rounds: int) -> Coded:
    """The preset's clip of about this many bytes."""
    crf = float(CRF)
    for _ in range(_ATTEMPTS):
        found = coded(pictures, source, preset, crf, rounds)
        if abs(found.size / size - 1) <= EQUAL:
            break
        crf = float(np.clip(crf + CRF_OF_HALF * log2(found.size / size), 1, 51))
    return found


def coded(pictures: list[Picture], source: Path, preset: str, crf: float, rounds: int) -> Coded:
    """Code the pictures as export does; the least processor time of some rounds."""
    made = source.with_name("coded.mp4")
    side = (CLIP_SIDE_PX, CLIP_SIDE_PX)
    options = {"crf": round(crf, 2), "preset": preset}

    def code() -> None:
        write_video(made, pictures, None, size=side, options=options, threads=Export().encoder_threads, planes=True)

    seconds = min(cost_of(code).cpu for _ in range(rounds))
    return Coded(crf, made.stat().st_size, seconds, *likeness(made, source))


def likeness(made: Path, source: Path) -> tuple[float, float]:
    """PSNR and SSIM of all planes, dB, by ffmpeg's filters."""
    both = "[0:v]split[a][b];[1:v]split[c][d];[a][c]psnr[p];[b][d]ssim[s]"
    inputs = ["-i", f"file:{made}", "-i", f"file:{source}"]
    call = [ffmpeg_exe(), "-hide_banner", *inputs, "-lavfi", both, "-map", "[p]", "-map", "[s]", "-f", "null", "-"]
    told = subprocess.run(call, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
    psnr, ssim = (re.search(pattern, told) for pattern in (r"PSNR .*average:([\d.]+)", r"SSIM .*All:([\d.]+)"))
    assert psnr and ssim, told
    return float(psnr[1]), -10 * log10(max(1e-6, 1 - float(ssim[1])))
