"""Filming a row of table 2 by one worker and by two, with a stand-in for StableAnimator that sleeps as its nets would work.

python -m tests.bench evaluate

`ours` keeps the back-end's process for all clips of a worker, `peer` starts one a clip, as a shell loop would; the limit is the
sleep alone, shared among the workers. The last rows: the time of two workers over that of one, and how often weights were opened.
"""

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipeline.engine.console import run_shown
from pipeline.theatre.detector import build_detector
from pipeline.theatre.facenets import build_face_nets
from pipeline.theatre.lipnet import build_lip_net
from pipeline.theatre.posenet import build_pose_net
from stages.evaluate import Evaluate
from stages.evaluate import run as program
from tests.bench.table import Goal, Row
from tests.pipeline.backends.fakes import checkout
from tests.stages.evaluate.studio import Studio, row_of, write_shards

CLIPS = 6
OPENING_SECONDS, FILMING_SECONDS = 10.0, 15.0
MOST_OF_ONE, KINDS = 0.6, ("film_sha256", "frames", "box", "keypoints", "scores")


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    nets = folder / "nets"
    nets.mkdir()
    build_face_nets(nets)
    build_lip_net(nets / "theatre_syncnet.onnx")
    build_detector(nets / "theatre_detector.onnx")
    build_pose_net(nets / "theatre_pose.onnx")
    studio = Studio(folder / "run", nets)
    cast = [row_of(studio.run, number, "ada", speaker=f"speaker {number}") for number in range(CLIPS)]
    write_shards(studio.run, cast)
    alone, opened_alone, theirs = _filmed(studio, folder / "alone", keep_open=False, backend_steps=3)
    one, opened_one, first = _filmed(studio, folder / "one", backend_steps=1)
    two, opened_two, second = _filmed(studio, folder / "two", gpus=("0", "1"), backend_steps=2)
    assert theirs == first == second, "the rows must be the same, however they are made"
    least = OPENING_SECONDS + CLIPS * FILMING_SECONDS
    yield Row(f"evaluate: filming {CLIPS} pairs, one worker", "s", one, alone, least)
    yield Row("evaluate: the same, two workers", "s", two, one, OPENING_SECONDS + CLIPS / 2 * FILMING_SECONDS)
    yield Row("  time of two workers over one's", "share", two / one, goal=Goal("value", MOST_OF_ONE))
    yield Row("  weights opened, one worker", "times", opened_one, opened_alone, goal=Goal("value", 1))
    yield Row("  weights opened, two workers", "times", opened_two, goal=Goal("value", 2))


def _filmed(studio: Studio, place: Path, **given: Any) -> tuple[float, int, dict[str, Any]]:
    """Seconds of filming, how often weights were opened, and what the rows hold."""
    options = checkout(place, "stableanimator")
    (place / "place").write_text(json.dumps([0.08, 0.08]))
    (place / "opening").write_text(str(OPENING_SECONDS))
    (place / "filming").write_text(str(FILMING_SECONDS))
    seconds: list[float] = []

    def timed(stage: Any, run: Path, *more: Any) -> Any:
        summary = run_shown(stage, run, *more)
        if stage.name == "renditions" and run.name != "true":
            seconds.append(summary.seconds)
        return summary

    asked = {
        "method": "transfer",
        "backend": "stableanimator",
        "backend_dir": str(place),
        "backend_python": options.python,
        "backend_size": options.size,
        "settings": ("unpaired",),
        "faces": "skeleton",
        "inception": (),
        "i3d": (),
    }
    with patch.object(program, "run_shown", timed), redirect_stdout(io.StringIO()):
        Evaluate(**{**asked, **given}).run(studio.session())
    made = studio.rows("transfer-stableanimator", "renditions")
    rows = {name: [str(row[kind]) for kind in KINDS] for name, row in made.items()}
    return seconds[0], len((place / "opened").read_text().splitlines()), rows
