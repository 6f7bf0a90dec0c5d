"""Split, all of it, against a bare decode of the same file (the limit) and the `scenedetect` command (the peer).

python -m tests.bench split [--rounds N]
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import av

from pipeline.base.reasons import Reject
from pipeline.registry.models import Registry
from stages.split import Split
from tests.bench.footage import SPEAKER, Footage, clip, ready, take, unit
from tests.bench.table import LIMIT, OURS, PEER, Cost, Goal, Row, Skipped, contest, cores, rows

GOALS = {
    SPEAKER: Goal("times the limit", 1.5),
    "psd_testvideo": Goal("times the limit", 1.75),
}  # HEVC 1080p, H.264 720p


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    for footage in films(folder):
        costs = contest(
            {
                OURS: split(Split(vad=()), footage, folder),
                PEER: partial(scenedetect, footage.path, folder),
                LIMIT: partial(decode, footage.path),
                "start": lambda: command("version", folder=folder),
            },
            rounds,
        )
        if footage.facts.audio_codec:
            voices = split(Split(), footage, folder)
            heard = contest({OURS: voices, LIMIT: partial(decode, footage.path)}, rounds)
            yield from rows(f"split {footage.name}, pauses by voice", heard, None)
        costs[PEER] = [
            type(whole)(whole.wall - start.wall, whole.cpu - start.cpu)
            for whole, start in zip(costs[PEER], costs.pop("start"), strict=True)
        ]
        yield from judged(f"split {footage.name}", costs, GOALS.get(footage.name))


def judged(what: str, costs: dict[str, list[Cost]], goal: Goal | None) -> Iterator[Row]:
    """Two rows; the goal is about processor time."""
    wall, processor = rows(what, costs, None)
    yield from (wall, replace(processor, goal=goal))


def films(folder: Path) -> list[Footage]:
    try:
        return [clip(SPEAKER), clip("psd_testvideo")]
    except Skipped:
        return [take(folder)]


def split(stage: Split, footage: Footage, folder: Path) -> Callable[[], object]:
    """The whole stage on the whole file."""
    resolve = lambda names: Registry(download=False).resolve(names).path  # noqa: E731
    worker = ready(stage, folder, resolve)
    whole = unit(footage)

    def run() -> object:
        try:
            return list(worker.process(whole))
        except Reject as reason:  # shots too short for a clip: looked for all the same
            return reason

    return run


def scenedetect(path: Path, folder: Path) -> None:
    command("-i", str(path), "detect-content", "detect-adaptive", folder=folder)


def command(*words: str, folder: Path) -> None:
    """The command of the package that is installed here; its start is measured apart and taken off."""
    call = [sys.executable, "-m", "scenedetect", *(["-q"] if words != ("version",) else []), *words]
    subprocess.run(call, check=True, capture_output=True, cwd=folder, env={**os.environ, "NO_COLOR": "1"})


def decode(path: Path) -> None:
    """Every picture of the file, looked at by nobody, on all cores."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", cores()
        for _ in container.decode(stream):
            pass
