"""Mutated films: small ones in every container, damaged at random, crawled and split as a folder of strangers' files."""

import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import imageio_ffmpeg

from pipeline.base.reasons import Reason, ReasonClass
from pipeline.engine.runner import Options, run_stage
from pipeline.media.grid import GridReader
from pipeline.registry.models import Registry
from pipeline.tables.outcome import OK
from pipeline.tables.store import Store
from stages.crawl import Crawl
from stages.measure_sound import MeasureSound
from stages.split import Split
from tests.stages.little_films import speechlike, write_film

SHOTS = [30, 150]
FPS = 25
SECONDS = sum(SHOTS) / FPS
# What ffmpeg makes of one film; together every demuxer that the guard lets in has its turn at hostile bytes.
FORMS = {
    "faststart.mp4": ("-c", "copy", "-movflags", "+faststart"),
    "fragmented.mp4": ("-c", "copy", "-movflags", "+frag_keyframe+empty_moov"),
    "edited.mov": ("-ss", "0.31", "-c:v", "copy", "-c:a", "pcm_s16le"),
    "film.mkv": ("-c", "copy"),
    "film.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "film.ts": ("-c", "copy"),
    "film.mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "film.avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "film.flv": ("-c:v", "flv", "-c:a", "libmp3lame", "-ar", "22050"),
    "film.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
}
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0", b"\x80\0\0\0")

Mutation = Callable[[bytearray, random.Random], None]


def _span(content: bytearray, rng: random.Random, longest: int = 4096) -> tuple[int, int]:
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.randint(1, longest))


def _front(content: bytearray, rng: random.Random) -> int:
    """A place in the first or last 4 kB, where containers keep what they promise about the rest."""
    reach = min(4096, len(content) - 4)
    return rng.choice((rng.randrange(reach), len(content) - 4 - rng.randrange(reach)))


def flip_bits(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 4, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def flip_header(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 4, 16))):
        content[_front(content, rng)] ^= 1 << rng.randrange(8)


def extreme_number(content: bytearray, rng: random.Random) -> None:
    at = _front(content, rng)
    content[at : at + 4] = rng.choice(EXTREMES)


def truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def cut_out(content: bytearray, rng: random.Random) -> None:
    start, end = _span(content, rng)
    del content[start:end]


def overwrite(content: bytearray, rng: random.Random) -> None:
    start, end = _span(content, rng)
    content[start:end] = rng.randbytes(end - start)


def zero(content: bytearray, rng: random.Random) -> None:
    start, end = _span(content, rng, 65536)
    content[start:end] = bytes(end - start)


def insert(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    content[at:at] = rng.randbytes(rng.randint(1, 4096))


def repeat(content: bytearray, rng: random.Random) -> None:
    start, end = _span(content, rng, 65536)
    content[end:end] = content[start:end]


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_header,
    extreme_number,
    truncate,
    cut_out,
    overwrite,
    zero,
    insert,
    repeat,
)


@dataclass
class Tried:
    """What became of mutated films.

    Attributes:
        outcomes: files by status and reason.
        bugs: "FILE: reason: detail" of each outcome that is our own fault.
        wrong: "FILE: what" of each whose clips are not there when they are read.
        time_scales: "FILE: what" of each whose clock says that it lasts far longer than was filmed.
        untold: files without any outcome.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    bugs: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    time_scales: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)


def originals(folder: Path) -> dict[str, bytes]:
    """One film in every form."""
    film = write_film(folder / "original.mp4", SHOTS, speechlike(SECONDS, [(2.0, 2.6)]))
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    for name, options in FORMS.items():
        command = [ffmpeg, "-v", "error", "-y", "-i", str(film), *options, str(folder / name)]
        subprocess.run(command, check=True, timeout=60)
    return {name: (folder / name).read_bytes() for name in FORMS}


def mutated(count: int, seed: int, films: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of so many films, each damaged in one to three ways; the name says how."""
    rng = random.Random(seed)
    for number in range(count):
        name = list(films)[number % len(films)]
        content, ways = bytearray(films[name]), rng.choices(MUTATIONS, k=rng.choice((1, 1, 2, 3)))
        for way in ways:
            if len(content) > 8:
                way(content, rng)
        yield f"{number:05d}-{'-'.join(way.__name__ for way in ways)}-{name}", bytes(content)


def crawl_mutated(folder: Path, count: int, seed: int, workers: int = 2) -> Tried:
    """Crawl, split and listen to a folder of mutated films, and look at every outcome."""
    source, strangers, run = folder / "films", folder / "strangers", folder / "run"
    source.mkdir()
    strangers.mkdir()
    for name, content in mutated(count, seed, originals(source)):
        (strangers / name).write_bytes(content)
    options = Options(workers=workers)
    for stage in (Crawl(input=str(strangers)), Split(), MeasureSound()):
        run_stage(stage, run, Registry(), options)
    return looked_at(Store(run), sorted(path.name for path in strangers.iterdir()))


def looked_at(store: Store, names: list[str]) -> Tried:
    """Every outcome, and whether accepted films hold what they are said to."""
    tried = Tried()
    file_of = {row["video_id"]: row["source"] for row in store.read("videos", ["video_id", "source"]).to_pylist()}
    for kind in ("videos", "clips", "sound_measures"):
        for outcome in store.outcomes(kind).to_pylist():
            file = file_of.get(outcome["unit"].partition("/")[0], outcome["unit"])
            tried.outcomes[f"{kind} {outcome['status']} {outcome['reason']}".strip()] += 1
            if outcome["status"] != OK and Reason.of(outcome["reason"]).kind is ReasonClass.BUG:
                tried.bugs.append(f"{file}: {outcome['reason']}: {outcome['detail']}")
    crawled = {outcome["unit"] for outcome in store.outcomes("videos").to_pylist()}
    tried.untold = [name for name in names if name not in crawled]
    clips = store.read("clips", ["video_id", "first_frame", "frames"]).to_pylist()
    path_of = {row["video_id"]: row["path"] for row in store.read("videos", ["video_id", "path"]).to_pylist()}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # no decoder of strangers' bytes in this one
        for clip in clips:
            file, end = file_of[clip["video_id"]], (clip["first_frame"] + clip["frames"]) / FPS
            if end > 2.5 * SECONDS:  # a piece that is there twice may double it
                tried.time_scales.append(f"{file}: a clip that ends at {end:.1f} s of {SECONDS:g} s")
                continue
            path = store.storage.local(path_of[clip["video_id"]])
            there = pool.submit(pictures, path, clip["first_frame"], clip["frames"]).result(120)
            if there != clip["frames"]:
                tried.wrong.append(f"{file}: {there} pictures of a clip of {clip['frames']}")
    return tried


def pictures(path: Path, first: int, frames: int) -> int:
    """How many pictures of a clip can be read."""
    with GridReader(path, first, frames, size=(16, 16), pixel_format="gray") as reader:
        return sum(1 for _ in reader)
