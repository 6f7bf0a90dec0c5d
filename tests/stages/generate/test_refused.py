"""What is refused, each in a line that says what to do."""

import io
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs csg405[train]")
pytest.importorskip("diffusers", reason="needs csg405[train]")
pytest.importorskip("safetensors", reason="needs csg405[train]")

from pipeline.base.units import SAMPLE_RATE  # noqa: E402
from pipeline.media.audio import write_wav  # noqa: E402
from pipeline.media.video import write_clip  # noqa: E402
from pipeline.model.audio_to_skeleton import AudioToSkeleton  # noqa: E402
from pipeline.model.training import checkpoint  # noqa: E402
from tests.stages.generate.studio import Place, somebody  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_picture_without_people_is_refused(place: Place) -> None:
    path = place.folder / "grey.png"
    cv2.imwrite(str(path), np.full((360, 640, 3), 128, np.uint8))
    message = place.refused(audio=place.wav(), image=path)
    assert f"--image {path}: theatre_detector and theatre_pose see nobody in it: the demo" in message


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"words", "neither of PNG, JPEG, WebP"), (b"\x89PNG", "cut short")]
)
def test_a_picture_that_cannot_be_read_is_refused(content: bytes | None, said: str, place: Place) -> None:
    path = place.folder / "picture.png"
    if content is not None:
        path.write_bytes(content)
    message = place.refused(audio=place.wav(), image=path)
    assert message.startswith(f"--image {path}: ") and said in message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": "a.png", "skeleton": "b.npz"}, "give one of --image, --skeleton, --reference-clip, not several"),
        ({"skeleton": "b.npz", "reference_clip": "c"}, "give one of --image, --skeleton, --reference-clip"),
        ({"audio": "a.wav", "voice_clip": "c"}, "give one of --audio, --voice-clip, not several"),
    ],
)
def test_several_of_one_kind_are_refused(given: dict[str, Any], said: str, place: Place) -> None:
    assert said in place.refused(**given)


def test_a_clip_that_the_shards_do_not_hold_is_refused(place: Place) -> None:
    for name in ("reference_clip", "voice_clip"):
        message = place.refused(**{name: "file:0123456789abcdef/0+150"})
        assert "shards holds no clip file:0123456789abcdef/0+150: `csg405 table samples` lists them" in message


def test_without_shards_there_is_nothing_to_take_clips_from(place: Place) -> None:
    assert "_index.json is missing" in place.refused(shards=place.folder / "none")


def damaged(how: str, whole: bytes) -> bytes:
    if how == "cut short":
        return whole[: len(whole) // 2]
    if how == "empty":
        return b""
    if how == "words":
        return b"no weights at all\n" * 50
    if how == "header":
        return whole[:8] + b"x" + whole[9:]
    from safetensors.torch import save

    return save({"weight": torch.zeros(3)})  # somebody else's


@pytest.mark.parametrize("how", ["cut short", "empty", "words", "header", "of another kind"])
def test_a_damaged_model_is_refused(how: str, place: Place) -> None:
    path = place.folder / "damaged.safetensors"
    path.write_bytes(damaged(how, place.model.read_bytes()))
    message = place.refused(model=path)
    assert str(path) in message
    assert "damaged" in message or "not an audio-to-skeleton model" in message


@pytest.mark.parametrize("what", ["nothing", "an empty folder"])
def test_a_model_that_is_not_there_is_refused(what: str, place: Place) -> None:
    path = place.folder / "model"
    if what == "an empty folder":
        path.mkdir()
    assert f"{path} holds no model: train one with `make train`, or name another with --model" == place.refused(
        model=path
    )


@pytest.mark.usefixtures("unfilmed")
def test_the_runs_own_training_is_the_model_by_default(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last whole checkpoint, and its averaged weights."""
    model, average = (AudioToSkeleton.load(place.made / f"{name}.safetensors") for name in ("model", "mean"))
    folder = place.run / "training" / "model" / "checkpoints"
    for step in (1, 2, 3):
        checkpoint.write(folder, step, model, average, torch.optim.SGD(model.net.parameters(), 1e-3), {}, 3)
    path = folder / checkpoint.name_of(3) / checkpoint.MODEL
    path.write_bytes(path.read_bytes()[:-100])  # a damaged one is passed over
    given = {"audio": place.wav(), "skeleton": place.npz(somebody(place.made))}
    loaded: list[Path] = []
    load = AudioToSkeleton.load
    monkeypatch.setattr(
        AudioToSkeleton, "load", classmethod(lambda cls, path, *more: loaded.append(path) or load(path, *more))
    )
    place.generate(model="", **given)
    assert loaded == [folder / checkpoint.name_of(2) / checkpoint.AVERAGE]
    for step in (1, 2):
        (folder / checkpoint.name_of(step) / checkpoint.STATE).unlink()
    for path in place.out.parent.iterdir():
        path.unlink()
    assert "training/model holds no model" in place.refused(model="")


def unheard(how: str, folder: Path) -> Path:
    path = folder / ("mute.mp4" if how == "no track" else "sound.wav")
    if how == "silence":
        write_wav(path, np.zeros(SAMPLE_RATE, np.float32))
    elif how == "integers as floats":
        write_wav(path, 9000 * np.sin(np.arange(SAMPLE_RATE, dtype=np.float32)))
    elif how == "a blink":
        write_wav(path, np.full(600, 0.1, np.float32))
    elif how == "no samples":
        write_wav(path, np.zeros(0, np.float32))
    elif how == "words":
        path.write_text("a voice\n")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "folder":
        path.mkdir()
    elif how == "no track":
        write_clip(path, (np.zeros((48, 64, 3), np.uint8) for _ in range(30)), None, size=(64, 48))
    return path


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("silence", "there is no sound in it"),
        ("a blink", "there is no sound in it"),
        ("integers as floats", "samples up to 9000, where 1 is full scale"),
        ("no samples", ""),
        ("no track", "there is no sound in it"),
        ("words", ""),
        ("empty", ""),
        ("folder", ""),
        ("missing", ""),
    ],
)
def test_a_voice_that_cannot_be_heard_is_refused(how: str, said: str, place: Place) -> None:
    path = unheard(how, place.folder)
    message = place.refused(audio=path, skeleton=place.npz(somebody(place.made)))
    assert message.startswith(f"--audio {path}: ") and said in message and len(message) > len(f"--audio {path}: ") + 5


class _Secret:
    """Would be run if a pickle were read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (pytest.fail, ("a pickle was read",))


def test_pickled_objects_are_not_read(place: Place) -> None:
    for name, more in (
        ("keypoints", {"keypoints": np.array([_Secret()], object)}),
        ("scores", {"keypoints": somebody(place.made), "scores": np.array([_Secret()], object)}),
    ):
        path = place.folder / f"{name}.npz"
        np.savez(path, **more)
        message = place.refused(audio=place.wav(), skeleton=path)
        assert message.startswith(f"--skeleton {path}: no .npz with keypoints (133, 2) and scores (133,): ")


@pytest.mark.parametrize(
    "shape", [(17, 2), (133, 3), (2, 133), (4, 2, 133), (5, 17, 2), (0, 133, 2), (2, 266), (133,), ()]
)
def test_keypoints_of_another_shape_are_refused(shape: tuple[int, ...], place: Place) -> None:
    path = place.npz(np.zeros(shape))
    assert place.refused(audio=place.wav(), skeleton=path).startswith(f"--skeleton {path}: ")


@pytest.mark.parametrize(
    "more",
    [
        {"scores": np.ones(17)},
        {"scores": np.full(133, "sure")},
        {"size": [512]},
        {"size": [0, 512]},
        {"size": [512, 100_000]},
        {"size": 512},
        {"size": [np.nan, 512]},
        {"size": [np.inf, 512]},
    ],
)
def test_scores_and_sizes_that_make_no_sense_are_refused(more: dict[str, Any], place: Place) -> None:
    path = place.npz(somebody(place.made), **more)
    assert place.refused(audio=place.wav(), skeleton=path).startswith(f"--skeleton {path}: ")


def giant() -> bytes:
    """An .npz whose keypoints claim more than any machine holds."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 133, 2)})
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("keypoints.npy", head.getvalue() + bytes(800))
    return whole.getvalue()


@pytest.mark.parametrize(
    "how", ["missing", "empty", "words", "cut short", "changed", "npy", "pickle", "no keypoints", "giant"]
)
def test_a_file_that_is_no_npz_is_refused(how: str, place: Place) -> None:
    path = place.folder / "given.npz"
    np.savez_compressed(path, keypoints=somebody(place.made))
    whole = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "npy":
        with path.open("wb") as file:
            np.save(file, somebody(place.made))
    elif how == "no keypoints":
        np.savez(path, points=somebody(place.made))
    else:
        path.write_bytes(
            {
                "empty": b"",
                "words": b"a skeleton\n",
                "cut short": whole[: len(whole) // 2],
                "changed": whole[:300] + b"\xff" * 40 + whole[340:],
                "giant": giant(),
                "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.",
            }[how]
        )
    message = place.refused(audio=place.wav(), skeleton=path)
    assert message.startswith(f"--skeleton {path}: no .npz with keypoints (133, 2) and scores (133,)")
