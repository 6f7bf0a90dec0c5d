"""Wan2.2-S2V and VACE from a job to a film: timing, lengths, windows, several GPUs, and every way in which they fail."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.backends import ranks
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Job, Options
from pipeline.backends.run import backend, check, plan
from pipeline.backends.wan import nearest_size
from tests.pipeline.backends.fakes import FLASHES, checkout, gone, job, plant
from tests.pipeline.backends.test_run import fails, films, see_and_hear

WAN = ("wan-s2v", "vace-1.3b", "vace-14b")


def long(seconds: float, height: int = 512, width: int = 512) -> Job:
    """A motion in which nothing moves."""
    work = job(5)
    frames = math.ceil(seconds * 25)
    points, scores = (np.repeat(values[:1], frames, 0) for values in (work.keypoints, work.scores))
    picture = np.zeros((height, width, 3), np.uint8)
    return replace(work, keypoints=points, scores=scores, picture=picture, wave=np.zeros(frames * 640, np.float32))


@pytest.mark.parametrize(
    ("name", "window", "gpu", "extra"),
    [
        ("wan-s2v", 81, "", ()),
        ("wan-s2v", 81, "0,1", ()),
        ("wan-s2v", 81, "", ("--start_from_ref",)),
        pytest.param("vace-1.3b", 81, "", (), marks=pytest.mark.slow),
        ("vace-14b", 17, "", ()),
    ],
)
def test_flashes_and_clicks_coincide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, window: int, gpu: str, extra: tuple[str, ...]
) -> None:
    if name != "wan-s2v":
        pytest.importorskip("torch")
    monkeypatch.setattr("pipeline.backends.vace.WINDOW", window)
    options = replace(checkout(tmp_path / "checkout", name), gpu=gpu, extra=extra, deadline_seconds=400)
    made = films(tmp_path, name, options)
    assert made.fps == 16 and made.size == (128, 128) and made.frames == 48
    seen, heard, pictures = see_and_hear(made.path)
    planted = np.array(FLASHES) / 25
    assert pictures == 48 and len(seen) == len(heard) == len(FLASHES)
    assert (np.abs(heard - planted) < 0.01).all() and (np.abs(seen - heard) < 1 / 16).all()
    started = sorted(path.name for path in (tmp_path / "checkout").glob("rank-*"))
    assert started == (["rank-0", "rank-1"] if gpu else ["rank-0"])
    if name != "wan-s2v":
        assert (tmp_path / "checkout" / "loaded").read_text() == "once ", "whatever the number of windows"


FAILURES = {
    "crash": (Trouble.CRASH, "the net exploded"),
    "gpu": (Trouble.NO_GPU, "No CUDA GPUs are available"),
    "memory": (Trouble.OUT_OF_MEMORY, "take a smaller size"),
    "nothing": (Trouble.NOTHING_WRITTEN, "left nothing"),
    "short": (Trouble.WRONG_FRAMES, "asked for"),
    "garbage": (Trouble.BAD_OUTPUT, "cannot be read"),
}


@pytest.mark.parametrize(
    ("name", "behaviour"),
    [
        *(("wan-s2v", behaviour) for behaviour in FAILURES),
        *(pytest.param("vace-1.3b", behaviour, marks=pytest.mark.slow) for behaviour in ("crash", "gpu", "short")),
    ],
)
def test_failures_are_told_apart(tmp_path: Path, name: str, behaviour: str) -> None:
    if name != "wan-s2v":
        pytest.importorskip("torch")
    trouble, words = FAILURES[behaviour]
    error = fails(tmp_path, name, behaviour, deadline_seconds=400)
    assert error.trouble == trouble and words in str(error) and "\x1b" not in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seconds"), [("wan-s2v", 8), ("vace-1.3b", 20)]
)  # a busy machine loads torch for long
def test_a_hang_ends_with_all_that_it_started(tmp_path: Path, name: str, seconds: int) -> None:
    if name != "wan-s2v":
        pytest.importorskip("torch")
    error = fails(tmp_path, name, "hang", deadline_seconds=seconds)
    assert error.trouble == Trouble.HANG and gone(int((tmp_path / "checkout" / "child").read_text()))


def test_a_process_that_fails_ends_the_others(tmp_path: Path) -> None:
    """They would wait for it until the deadline."""
    error = fails(tmp_path, "wan-s2v", "one", gpu="0,1")
    assert error.trouble == Trouble.CRASH and "NCCL error of rank 1" in str(error)
    child = tmp_path / "checkout" / "child"
    assert not child.exists() or not child.read_text() or gone(int(child.read_text()))


def ranked(folder: Path, code: str) -> "subprocess.Popen[bytes]":
    (folder / "program.py").write_text(code)
    command = [sys.executable, ranks.__file__, "2", "program.py"]
    return subprocess.Popen(command, cwd=folder, start_new_session=True)


def test_the_status_of_the_one_that_failed(tmp_path: Path) -> None:
    one = "import os, time\nif os.environ['RANK'] == '1': {}\ntime.sleep(600)"
    assert ranked(tmp_path, one.format("os._exit(3)")).wait(120) == 3
    assert ranked(tmp_path, one.format("os.kill(os.getpid(), 9)")).wait(120) == -signal.SIGKILL
    assert ranked(tmp_path, "pass").wait(120) == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_every_process_is_in_the_group_that_is_ended(tmp_path: Path) -> None:
    """As it is not with torchrun, whose processes outlive it."""
    process = ranked(
        tmp_path, "import os, time\nopen(os.environ['RANK'], 'w').write(str(os.getpid()))\ntime.sleep(600)"
    )
    try:
        wait_for(lambda: all((tmp_path / n).exists() and (tmp_path / n).read_text() for n in "01"), process)
        pids = [int((tmp_path / n).read_text()) for n in "01"]
        assert {os.getpgid(pid) for pid in pids} == {process.pid}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert all(map(gone, pids))


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "seconds", "made"),
    [
        ("wan-s2v", 0.04, 45),
        ("wan-s2v", 4.8, 77),  # with the three that it throws away: 80
        ("wan-s2v", 5, 93),  # 2 x 48
        ("wan-s2v", 15, 253),  # 4 x 64
        ("vace-1.3b", 0.04, 13),
        ("vace-1.3b", 5, 81),
        ("vace-1.3b", 5.1, 89),  # 2 x 49, of which 9 are common
        ("vace-1.3b", 15, 249),  # 4 x 69
    ],
)
def test_how_many_pictures_are_asked_for(name: str, seconds: float, made: int) -> None:
    work = long(seconds)
    view = backend(name).view(work, Options(size="128x128"))
    assert view.frames == math.ceil(len(work.keypoints) * 16 / 25) <= view.made == made


@pytest.mark.parametrize(
    ("name", "height", "width", "size"),
    [
        ("wan-s2v", 512, 512, (832, 832)),
        ("wan-s2v", 720, 1280, (1088, 640)),
        ("wan-s2v", 1920, 1080, (640, 1088)),
        ("vace-1.3b", 512, 512, (624, 624)),
        ("vace-1.3b", 720, 1280, (832, 480)),
        ("vace-14b", 1280, 720, (480, 832)),
        ("vace-14b", 64, 4000, (1280, 256)),
    ],
)
def test_sizes_follow_the_picture(name: str, height: int, width: int, size: tuple[int, int]) -> None:
    assert backend(name).view(long(1, height, width), Options()).size == size


def test_sizes_are_as_large_as_may_be() -> None:
    for height, width in ((512, 512), (480, 640), (1080, 1920), (900, 500)):
        for area, step in ((480 * 832, 16), (1024 * 704, 64)):
            found = nearest_size(height, width, area, step)
            assert 0.85 * area < math.prod(found) <= area and found[0] % step == found[1] % step == 0
            assert abs(math.log(found[0] * height / (found[1] * width))) < 0.11


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("wan-s2v", {"fps": 25}, "16 is fixed in its code"),
        ("wan-s2v", {"size": "500x512"}, "multiples of 64"),
        ("wan-s2v", {"size": "1280x1280"}, "921600 px at most"),
        ("wan-s2v", {"gpu": "0,1,2"}, "name 1, 2, 4, 5 or 8 GPUs"),
        ("vace-1.3b", {"size": "1280x720"}, "399360 px at most"),
        ("vace-14b", {"weights": {"unet": "x.pth"}}, "no weights called 'unet'"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, name: str, changed: dict[str, object], words: str) -> None:
    options = replace(Options(checkout=tmp_path), **changed)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=words) as caught:
        plan(name, job(5), options, tmp_path / "work")
    assert caught.value.trouble == Trouble.BAD_JOB and not (tmp_path / "work").exists()


def test_vace_would_misread_a_comma(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="choose another name"):
        plan("vace-1.3b", job(5), Options(), tmp_path / "one, two")


@pytest.mark.parametrize(
    ("name", "size", "gpu", "shared"),
    [
        ("vace-1.3b", "480p", "0,1,2,3", ("--ulysses_size=4", "--ring_size=1")),
        ("vace-1.3b", "480p", "0,1,2,3,4", ("--ulysses_size=1", "--ring_size=5")),  # 12 heads
        ("vace-14b", "720p", "0,1,2,3,4", ("--ulysses_size=5", "--ring_size=1")),
    ],
)
def test_how_several_gpus_share_the_work(tmp_path: Path, name: str, size: str, gpu: str, shared: tuple[str]) -> None:
    given = "1280x720" if size == "720p" else "128x128"
    command = plan(name, long(0.2), Options(size=given, gpu=gpu), tmp_path / "work").command
    assert Path(command[1]).name == "ranks.py" and command[2] == str(len(gpu.split(",")))
    assert {*shared, "--dit_fsdp", "--t5_fsdp", f"--size={size}"} <= set(command)


@pytest.mark.parametrize("name", WAN)
def test_a_prompt_of_ones_own_comes_last(tmp_path: Path, name: str) -> None:
    made = plan(name, long(0.2), Options(size="128x128", extra=("--prompt=A woman.",)), tmp_path / "work")
    prompts = [part for part in made.command if part.startswith("--prompt=")]
    assert len(prompts) == 2 and made.command[-1] == "--prompt=A woman.", "of two the last one counts"


@pytest.mark.parametrize("name", WAN)
def test_weights_that_are_not_there_are_named(tmp_path: Path, name: str) -> None:
    options = checkout(tmp_path / "checkout", name)
    plant(options, backend(name).view(job(5), options))
    check(name, options)
    (folder,) = backend(name).weights.values()
    (tmp_path / "checkout" / folder).rmdir()
    with pytest.raises(BackendError, match=r"Wan-AI/Wan2\.\d-(S2V|VACE)-(1\.3B|14B)") as caught:
        check(name, options)
    assert caught.value.trouble == Trouble.NO_WEIGHTS
