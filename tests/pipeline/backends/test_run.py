"""From a job to a film with the voice, and every way in which a back-end fails: told apart, with what to do."""

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Filmed, Job, Options
from pipeline.backends.run import BACKENDS, backend, drive, plan
from pipeline.media.audio import read_wave
from tests.pipeline.backends.fakes import FLASHES, checkout, gone, job, plant

DRIVEN = [name for name in BACKENDS if name != "skeleton"]


def films(tmp_path: Path, name: str, options: Options, work: Job | None = None) -> Filmed:
    work = work or job()
    plant(options, backend(name).view(work, options))
    return drive(name, work, options, tmp_path / "film.mp4", tmp_path / "work")


def fails(tmp_path: Path, name: str, behaviour: str, **changed: object) -> BackendError:
    options = replace(checkout(tmp_path / "checkout", name, behaviour), **changed)  # type: ignore[arg-type]
    with pytest.raises(BackendError) as caught:
        films(tmp_path, name, options)
    assert not (tmp_path / "film.mp4").exists(), "no film is better than half of one"
    return caught.value


def onsets(bright: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(bright.astype(int), prepend=0) == 1)


def see_and_hear(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Seconds at which flashes and clicks begin, and the number of pictures."""
    with av.open(str(path)) as video:
        pictures = [(float(f.pts * f.time_base), f.to_ndarray(format="gray").mean()) for f in video.decode(video=0)]
    times, bright = np.array(pictures).T
    wave = read_wave(path)
    assert wave is not None
    loud = np.convolve(np.abs(wave), np.ones(80) / 80, "same") > 0.05
    return times[onsets(bright > 128)], onsets(loud) / 16_000, len(pictures)


@pytest.mark.parametrize(
    ("name", "fps"), [("stableanimator", 25), ("echomimicv2", 24), ("echomimicv2-acc", 24), ("mimicmotion", 15)]
)
def test_flashes_and_clicks_coincide(tmp_path: Path, name: str, fps: int) -> None:
    if name == "mimicmotion":
        pytest.importorskip("torch")
    made = films(tmp_path, name, checkout(tmp_path / "checkout", name))
    assert made.fps == fps and made.size == (128, 128) and made.frames == 3 * fps
    assert made.log is not None and "loading film" in made.log.read_text()
    seen, heard, pictures = see_and_hear(made.path)
    assert pictures == made.frames
    planted = np.array(FLASHES) / 25
    assert len(seen) == len(heard) == len(FLASHES)
    assert (np.abs(heard - planted) < 0.01).all()
    assert (np.abs(seen - heard) < 1 / fps).all(), f"flashes {seen}, clicks {heard}"


def test_a_rate_that_is_asked_for(tmp_path: Path) -> None:
    options = replace(checkout(tmp_path / "checkout", "echomimicv2"), fps=25)
    made = films(tmp_path, "echomimicv2", options)
    seen, heard, _ = see_and_hear(made.path)
    assert made.fps == 25 and (np.abs(seen - heard) < 0.02).all()


@pytest.mark.parametrize("name", ["stableanimator", "echomimicv2", "echomimicv2-acc"])
def test_a_short_motion_is_filled_up_for_the_net_and_cut_again(tmp_path: Path, name: str) -> None:
    made = films(tmp_path, name, checkout(tmp_path / "checkout", name), job(7))
    with av.open(str(made.path)) as video:
        assert sum(1 for _ in video.decode(video=0)) == made.frames == 7


def test_the_built_in_one_needs_nothing(tmp_path: Path) -> None:
    work = replace(job(10), picture=np.zeros((511, 513, 3), np.uint8), wave=None)
    made = drive("skeleton", work, Options(), tmp_path / "film.mp4", tmp_path / "work")
    assert made.size == (514, 512) and made.box == (0, 0, 514, 512) and made.fps == 25
    assert made.command == () and made.log is None
    with av.open(str(made.path)) as video:
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == 10 and pictures[0].max() > 100


@pytest.mark.parametrize(
    ("behaviour", "trouble", "words"),
    [
        ("crash", Trouble.CRASH, "the net exploded"),
        ("package", Trouble.NO_PACKAGE, "xformers_of_nowhere"),
        ("gpu", Trouble.NO_GPU, "No CUDA GPUs are available"),
        ("memory", Trouble.OUT_OF_MEMORY, "take a smaller size"),
        ("weights", Trouble.NO_WEIGHTS, "checkpoints/unet.pth"),
        ("nothing", Trouble.NOTHING_WRITTEN, "left nothing"),
        ("small", Trouble.WRONG_FRAMES, "64x64 px, asked for 128x128"),
        ("garbage", Trouble.BAD_OUTPUT, "cannot be read"),
    ],
)
def test_failures_are_told_apart(tmp_path: Path, behaviour: str, trouble: Trouble, words: str) -> None:
    error = fails(tmp_path, "stableanimator", behaviour)
    assert error.trouble == trouble and words in str(error)
    assert "\x1b" not in str(error)
    assert (tmp_path / "work" / "log.txt").read_text().startswith("loading"), "the log is kept"


@pytest.mark.parametrize(
    ("name", "numbers"), [("stableanimator", (74, 75)), ("echomimicv2", (70, 74)), ("mimicmotion", (70, 71))]
)
def test_a_wrong_number_of_pictures_names_both(tmp_path: Path, name: str, numbers: tuple[int, int]) -> None:
    if name == "mimicmotion":
        pytest.importorskip("torch")
    error = fails(tmp_path, name, "short")
    assert error.trouble == Trouble.WRONG_FRAMES
    assert f"made {numbers[0]} pictures, asked for {numbers[1]}" in str(error)


def test_a_crash_says_at_once_what_it_was(tmp_path: Path) -> None:
    error = fails(tmp_path, "stableanimator", "crash")
    assert str(error).startswith("it ended with status 1: ValueError: the net exploded")


@pytest.mark.parametrize("folder", ["voice.wav-film", "${HOME}"])
def test_the_accelerated_program_would_misread_some_paths(tmp_path: Path, folder: str) -> None:
    with pytest.raises(BackendError, match="choose another name") as caught:
        plan("echomimicv2-acc", job(5), Options(), tmp_path / folder / "work")
    assert caught.value.trouble == Trouble.BAD_JOB


def test_a_video_that_is_none(tmp_path: Path) -> None:
    error = fails(tmp_path, "echomimicv2", "garbage")
    assert error.trouble == Trouble.BAD_OUTPUT and "a video that cannot be read" in str(error)


def test_weights_may_be_the_id_of_a_hosted_model(tmp_path: Path) -> None:
    options = checkout(tmp_path / "checkout", "echomimicv2", "package")
    with pytest.raises(BackendError) as caught:
        films(tmp_path, "echomimicv2", replace(options, weights={"pretrained_vae_path": "stabilityai/sd-vae-ft-mse"}))
    assert caught.value.trouble == Trouble.NO_PACKAGE, "it was started"
    assert "stabilityai/sd-vae-ft-mse" in (tmp_path / "work" / "config.yaml").read_text()


def test_a_hang_ends_with_all_that_it_started(tmp_path: Path) -> None:
    error = fails(tmp_path, "stableanimator", "hang", deadline_seconds=3)
    assert error.trouble == Trouble.HANG and "3 s" in str(error) and "loading hang" in str(error)
    assert gone(int((tmp_path / "checkout" / "child").read_text()))


def test_no_secret_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"CUDA_HOME": "/opt/cuda", "HTTP_PROXY": "http://proxy:3128", "HOME": os.environ.get("HOME", "/")}
    secret = {
        **dict.fromkeys(("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "CSG405_PROXY"), "hidden-value"),
        "HTTPS_PROXY": "http://user:hidden-value@proxy:3128",
    }
    for name, value in {**kept, **secret}.items():
        monkeypatch.setenv(name, value)
    options = replace(checkout(tmp_path / "checkout", "stableanimator"), gpu="3")
    films(tmp_path, "stableanimator", options, job(5))
    given = json.loads((tmp_path / "checkout" / "environment.json").read_text())
    assert "hidden-value" not in "".join(given.values())
    assert {name: given[name] for name in kept} == kept
    assert given["CUDA_VISIBLE_DEVICES"] == "3" and given["PYTHONUNBUFFERED"] == "1"


def test_a_checkout_that_is_not_there(tmp_path: Path) -> None:
    for options in (Options(), Options(checkout=tmp_path / "nowhere"), Options(checkout=tmp_path)):
        with pytest.raises(BackendError, match=r"git clone https://github\.com/Tencent/MimicMotion") as caught:
            drive("mimicmotion", job(5), options, tmp_path / "film.mp4", tmp_path / "work")
        assert caught.value.trouble == Trouble.NO_CHECKOUT


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    error = fails(tmp_path, "stableanimator", "film", python=str(tmp_path / "python"))
    assert error.trouble == Trouble.NO_PYTHON and "name its interpreter" in str(error)


def test_weights_that_are_not_there_are_missed_before_anything_is_drawn(tmp_path: Path) -> None:
    weights = {"unet_model_name_or_path": "elsewhere/unet.pth"}
    error = fails(tmp_path, "stableanimator", "film", weights=weights)
    assert error.trouble == Trouble.NO_WEIGHTS and "elsewhere/unet.pth" in str(error)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": "500x512"}, "multiples of 64"),
        ({"size": "big"}, "such as 512x512"),
        ({"fps": 100}, "wanted 1 to 60"),
        ({"weights": {"unet": "x.pth"}}, "no weights called 'unet'"),
        ({"seed": 1}, "fixed in its code"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, changed: dict[str, object], words: str) -> None:
    options = replace(checkout(tmp_path / "checkout", "stableanimator"), **changed)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=words) as caught:
        plan("stableanimator", job(5), options, tmp_path / "work")
    assert caught.value.trouble == Trouble.BAD_JOB


def test_a_work_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine").touch()
    with pytest.raises(BackendError, match="name a new folder"):
        drive("skeleton", job(5), Options(), tmp_path / "film.mp4", tmp_path / "work")


def test_shapes_that_do_not_fit() -> None:
    good = job(5)
    for changed in ({"scores": good.scores[:4]}, {"wave": np.zeros(100, np.float32)}, {"picture": np.zeros((5, 5))}):
        with pytest.raises(BackendError):
            replace(good, **changed)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="no back-end is called"):
        backend("nobody")


@pytest.mark.parametrize("name", DRIVEN)
def test_a_plan_needs_no_checkout_and_is_run_elsewhere(tmp_path: Path, name: str) -> None:
    made = plan(name, job(5), Options(checkout=Path("elsewhere"), size="128x128"), tmp_path / "work")
    assert made.command[0] == "python3" and made.view.fps == Fraction(
        {"mimicmotion": 15, "echomimicv2": 24, "echomimicv2-acc": 24, "stableanimator": 25}.get(name, 16)
    )
    assert (tmp_path / "work").is_dir() and not Path("elsewhere").exists()
