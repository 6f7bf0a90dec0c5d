"""What a command or worker that does not need something heavy leaves alone: `sys.modules` of a fresh process."""

import subprocess
import sys

import pytest

LIGHT = {
    "the demo's programme, for a plan": (
        "from pipeline import theatre; assert theatre.PROGRAMMES['demo']",
        {"cv2", "soxr", "onnx", "pipeline.theatre.draw"},
    ),
    "the stand-in for audio features": (
        "import numpy; from pipeline.nets.sound.wav2vec import logmel; assert logmel(numpy.zeros(6400), 10).any()",
        {"torch", "transformers"},
    ),
    "the crawl of a folder": (
        "import stages.crawl.worker; from stages.crawl.inputs import input_of",
        {"yt_dlp", "torch"},
    ),
    "whether links can be fetched, before it is asked": ("import stages.probe, stages.search", {"yt_dlp", "av"}),
    "the version of a recipe for nets": (
        "from pipeline.nets.pose.prepare import VERSION",
        {"onnx", "onnxruntime", "pebble"},
    ),
    "a setting that is not changed": ("import pipeline.engine.session", {"tomlkit", "av", "torch", "yt_dlp"}),
    "shards as arrays": ("import pipeline.shards.read", {"cv2", "av", "torch", "pipeline.skeleton.draw"}),
    "shards for torch": ("import pipeline.shards.torch_dataset", {"cv2", "av", "pipeline.skeleton.draw"}),
    "a seat, before its process is prepared": ("import pipeline.engine.executors.seat", {"numpy", "pyarrow", "cv2"}),
}


@pytest.mark.parametrize("what", LIGHT)
def test_is_had_without_what_is_heavy(what: str) -> None:
    code, heavy = LIGHT[what]
    code += f"\nimport sys; print(*sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == []
