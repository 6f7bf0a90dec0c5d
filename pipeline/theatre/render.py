"""Renders the programme into a folder: files, truth, nets and a playlist; what is there already is left alone."""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.base.errors import StageError
from pipeline.theatre import voice
from pipeline.theatre.film import Film, Truth
from pipeline.theatre.takes import TAKES, Take, take_named

VERSION = 7  # bump when a picture, a sound or a truth changes
CRF, PRESET = "17", "veryfast"
Progress = Callable[[str, int, int], None]


def stamp_of(take: Take, seed: int) -> str:
    """What a rendered take depends on."""
    text = json.dumps([VERSION, seed, CRF, PRESET, asdict(take)], sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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


def _sound_packets(stream: av.AudioStream, film: Film) -> list["av.Packet[Any]"]:
    samples = film.sound
    assert samples is not None
    wave = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    packets = []
    for at in range(0, len(wave), 4800):
        frame = av.AudioFrame.from_ndarray(wave[None, at : at + 4800], format="s16", layout="mono")
        frame.sample_rate, frame.pts = voice.RATE, at
        frame.time_base = Fraction(1, voice.RATE)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def write_film(film: Film, path: Path) -> None:
    """Encode a film: H.264 4:2:0 with the film's own presentation times, AAC at 48 kHz."""
    # Matroska has a random number in each file, and a video is its content: drawn again, it would be another one.
    form, options = ("matroska", {"fflags": "+bitexact"}) if film.take.suffix == ".mkv" else ("mp4", {})
    with av.open(str(path), "w", format=form, container_options=options) as container:
        video = _video_stream(container, film)
        waiting: list[av.Packet[Any]] = []
        if film.take.sound != "none":
            sound = container.add_stream("aac", rate=voice.RATE, layout="mono")
            sound.codec_context.bit_rate = 96_000
            waiting = _sound_packets(sound, film)
        base = video.codec_context.time_base
        for time, picture in film.pictures():
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(
                format="yuv420p", dst_colorspace="ITU601"
            )
            frame.pts, frame.time_base = int(time / base), base
            while waiting and waiting[0].pts is not None and waiting[0].pts * waiting[0].time_base <= time:
                container.mux(waiting.pop(0))
            container.mux(video.encode(frame))
        container.mux(waiting)
        container.mux(video.encode(None))


def _save_truth(truth: Truth, path: Path) -> None:
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(partial, **{**vars(truth), "keypoints": truth.keypoints.astype(np.float32)})
    partial.replace(path)


def render(folder: Path, name: str, seed: int) -> str:
    """Write one take and its truth, each beside its place first; returns its name."""
    take = take_named(name)
    film = Film(take, seed)
    target = folder / take.file
    partial = target.with_name(f".{take.name}.part{take.suffix}")
    write_film(film, partial)
    if take.kept_bytes < 1.0:
        with partial.open("r+b") as file:
            file.truncate(int(partial.stat().st_size * take.kept_bytes))
    _save_truth(film.truth(), truth_path(folder, name))
    partial.replace(target)
    _stamp_path(folder, name).write_text(stamp_of(take, seed), encoding="ascii")
    return name


def truth_path(folder: Path, name: str) -> Path:
    """Where a take's truth lies."""
    return folder / "truth" / f"{name}.npz"


def _stamp_path(folder: Path, name: str) -> Path:
    return folder / "truth" / f"{name}.stamp"


def _missing(folder: Path, seed: int) -> list[Take]:
    def fresh(take: Take) -> bool:
        stamp = _stamp_path(folder, take.name)
        there = stamp.exists() and (folder / take.file).exists() and truth_path(folder, take.name).exists()
        return there and stamp.read_text(encoding="ascii") == stamp_of(take, seed)

    return sorted((take for take in TAKES if not fresh(take)), key=lambda take: -take.seconds)


def _playlist(folder: Path) -> None:
    entries = [
        {
            "name": take.name, "file": take.file, "title": take.title, "seconds": take.seconds, "verdict": take.verdict,
            "reasons": sorted(take.reasons), "may": sorted(take.may), "persons": take.persons, "clips": take.clips,
            "cuts": take.cuts, "whips": take.whips,
        }
        for take in TAKES
    ]  # fmt: skip
    partial = folder / ".playlist.part"
    partial.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    partial.replace(folder / "playlist.json")


def build(folder: Path, seed: int = 405, workers: int = 2, progress: Progress | None = None) -> Path:
    """Render whatever is missing or out of date.

    Args:
        folder: gets `<take>.<suffix>`, `truth/<take>.npz` and `playlist.json`.
        seed: of everything random.
        workers: processes; 1 renders in this one.
        progress: called with (name of the take just done, done, to do).

    Returns:
        The folder.

    Raises:
        StageError: one of the processes was killed.
    """
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    todo = _missing(folder, seed)
    if workers <= 1 or len(todo) <= 1:
        for done, take in enumerate(todo, 1):
            render(folder, take.name, seed)
            if progress:
                progress(take.name, done, len(todo))
    else:
        try:
            for done, name in enumerate(_rendered(folder, [take.name for take in todo], seed, workers), 1):
                if progress:
                    progress(name, done, len(todo))
        except BrokenProcessPool:
            raise StageError(
                f"a process that draws the demo's footage into {folder} was killed, perhaps for lack of memory; what was drawn "
                "is kept, the same command draws the rest"
            ) from None
    _playlist(folder)
    return folder


def _rendered(folder: Path, names: list[str], seed: int, workers: int) -> Iterator[str]:
    """Render takes side by side and yield their names as they end. Raises BrokenProcessPool when a worker was killed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(names)), mp_context=context, initializer=_end_with_us) as pool:
        for future in as_completed([pool.submit(render, folder, name, seed) for name in names]):
            yield future.result()


def _end_with_us() -> None:
    """First code of a worker: it would wait for takes for ever when who started it was killed."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def truth(folder: Path, name: str) -> Truth:
    """The truth of a rendered take; FileNotFoundError before it was rendered."""
    with np.load(truth_path(folder, name), allow_pickle=False) as data:
        return Truth(**{key: data[key] for key in data.files})
