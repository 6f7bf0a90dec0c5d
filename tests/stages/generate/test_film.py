"""Generation through back-ends: stand-ins for their checkouts film a true motion that is moved onto another clip's person."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.base.hashes import sha256_of
from pipeline.cli.faults import Fault, errors_in_a_line
from pipeline.engine.session import Session
from pipeline.media.audio import read_wave
from pipeline.media.probe import probe
from pipeline.media.still import read_picture
from pipeline.media.writer import write_clip
from pipeline.shards.format import VERSION
from pipeline.shards.index import build_index, write_index
from pipeline.shards.read import decode_audio, open_shards
from pipeline.shards.write import write_shard
from pipeline.skeleton import layout
from pipeline.theatre import planted
from stages.generate import Generate, film
from tests.pipeline.backends import fakes

SHOULDERS = [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two clips of two speakers, one of them with a film; nothing was trained in it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "clips").mkdir()
    (folder / "shards").mkdir()
    rows = [planted.row(clip) for number in (3, 5) for clip in list(planted.clips(range(number, number + 1), 5.0))[:1]]
    picture = np.full((512, 512, 3), (40, 90, 60), np.uint8)
    write_clip(folder / "clips" / "one.mp4", [picture] * 10, None, size=(512, 512))
    rows[0] |= {"video": "clips/one.mp4"}
    path = folder / "shards" / "test-00000-of-00001.parquet"
    write_shard(path, rows)
    entry = {"path": path.name, "split": "test", "rows": 2, "seconds": 10.0}
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    index = build_index([entry], [], version=".".join(map(str, VERSION)), settings={})
    write_index(folder / "shards", index)
    return folder


@pytest.fixture
def clips(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    one, other = open_shards(run / "shards").rows()
    return one, other


class Studio:
    """Ways to film in a run."""

    def __init__(self, run: Path, folder: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
        self.run, self.folder, self.one, self.other = run, folder, one, other
        self.out = folder / "out" / "film.mp4"

    def film(self, name: str = "stableanimator", **more: Any) -> None:
        settings = {"transfer": True, "reference_clip": self.one["clip_id"], "voice_clip": self.other["clip_id"]}
        settings |= {"out": str(self.out), "backend": name, **more}
        Generate(**settings).run(Session("folder", str(self.run), "", "", "", "", ["machine.device=cpu"], ["generate"]))

    def refused(self, name: str = "stableanimator", **more: Any) -> str:
        with pytest.raises(Fault) as caught, errors_in_a_line():
            self.film(name, **more)
        assert not self.out.exists()
        return str(caught.value.message)

    def checkout(self, name: str = "stableanimator", behaviour: str = "film") -> dict[str, Any]:
        options = fakes.checkout(self.folder / "checkout", name, behaviour)
        (self.folder / "checkout" / "place").write_text("[0.5, 0.5]")
        python = str(options.python)
        return {"backend_dir": str(self.folder / "checkout"), "backend_python": python, "backend_size": "128x128"}


@pytest.fixture
def studio(run: Path, tmp_path: Path, clips: tuple[dict[str, Any], dict[str, Any]]) -> Studio:
    return Studio(run, tmp_path, *clips)


@pytest.mark.parametrize("name", ["stableanimator", "echomimicv2", "echomimicv2-acc", "wan-s2v"])
def test_a_true_motion_is_filmed_with_its_voice(studio: Studio, name: str) -> None:
    studio.film(name, **studio.checkout(name))
    frames = studio.other["frames"]
    about = probe(studio.out)
    assert (about.width, about.height) == (128, 128) and abs(about.grid_frames - frames) <= 1
    heard, planted_wave = read_wave(studio.out), decode_audio(studio.other["audio"])
    assert heard is not None
    span = slice(16000, 48000)
    assert np.corrcoef(heard[span], planted_wave[span])[0, 1] > 0.95  # sample for sample, after AAC
    with np.load(studio.out.with_suffix(".npz")) as made:
        shoulders = made["keypoints"][0][SHOULDERS]
        reference = studio.one["keypoints"][0][SHOULDERS]
        assert np.linalg.norm(shoulders - reference, axis=1).max() < 25  # brought onto the other person
        assert made["scores"].shape == (frames, 133)
    [row] = shard_rows(studio.out.with_suffix(".parquet"))
    assert row["frames"] == frames
    preview = read_picture(studio.out.with_suffix(".alignment.png"))
    assert preview.shape[1] > 1000


def shard_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return list(pq.read_table(path, columns=["frames"]).to_pylist())


def test_a_dry_run_writes_inputs_and_says_the_command(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    studio.film(dry_run=True, **studio.checkout())
    said = capsys.readouterr().out
    work = studio.out.with_name("film-stableanimator")
    assert not studio.out.exists() and "inference_basic.py" in said and str(work) in said
    assert len(list(work.rglob("frame_*.png"))) >= studio.other["frames"]


def test_a_dry_run_needs_no_checkout(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    studio.film(dry_run=True)
    said = capsys.readouterr().out
    assert f"to be run in {Path('StableAnimator').absolute()}:" in said and "inference_basic.py" in said


def test_what_went_wrong_is_said_in_a_line_and_the_log_stays(studio: Studio) -> None:
    said = studio.refused(**studio.checkout(behaviour="gpu"))
    assert "GPU" in said and "log.txt" in said
    assert "No CUDA GPUs" in next(studio.out.parent.rglob("log.txt")).read_text()


def test_two_at_once_do_not_share_a_folder(studio: Studio) -> None:
    """As good as at once: the other one has made its folder, and nothing in it yet."""
    given = studio.checkout()
    theirs = studio.out.with_name("film-stableanimator")
    theirs.mkdir(parents=True)
    studio.film(**given)
    assert studio.out.is_file() and not list(theirs.iterdir())
    assert (studio.out.with_name("film-stableanimator-2") / "log.txt").is_file()


def test_a_missing_checkout_is_told_before_anything_is_made(studio: Studio) -> None:
    assert "is not there" in studio.refused(backend_dir=str(studio.folder / "nowhere"))
    assert not studio.out.parent.exists()


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("stableanimator", {"backend_size": "500x500"}, "multiples of 64"),
        ("stableanimator", {"backend_seed": 1}, "fixed in its code"),
        ("echomimicv2", {"backend_size": "512x768"}, "square sizes only"),
        ("mimicmotion", {"backend_weights": {"unet": "x.pth"}}, "no weights called 'unet'"),
        ("vace-14b", {"backend_fps": 25}, "16 is fixed in its code"),
    ],
)
def test_options_that_do_not_fit_are_told_before_anything_is_made(
    studio: Studio, name: str, wrong: dict[str, Any], words: str
) -> None:
    for dry_run in (False, True):
        assert words in studio.refused(name, backend_dir=str(studio.folder), dry_run=dry_run, **wrong)
        assert not studio.out.parent.exists()


def test_a_skeleton_alone_cannot_be_filmed(studio: Studio) -> None:
    path = studio.folder / "who.npz"
    np.savez(path, keypoints=studio.one["keypoints"][0], scores=studio.one["scores"][0])
    said = studio.refused(skeleton=str(path), reference_clip="", **studio.checkout())
    assert "only a skeleton is known" in said


def test_a_clip_whose_film_is_not_there_asks_for_a_picture(studio: Studio) -> None:
    said = studio.refused(reference_clip=studio.other["clip_id"], voice_clip=studio.one["clip_id"], **studio.checkout())
    assert "--image" in said


def test_a_film_outside_the_run_is_not_opened(run: Path, tmp_path: Path) -> None:
    from pipeline.model.generation.inputs import BadInput, picture_of_clip

    write_clip(run.parent / "secret.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3, None, size=(64, 64))
    with pytest.raises(BadInput, match="not in"):
        picture_of_clip(run, "../secret.mp4")


def test_a_voice_from_a_file_has_no_motion_to_transfer(studio: Studio) -> None:
    wave = studio.folder / "voice.wav"
    from pipeline.media.audio import write_wav

    write_wav(wave, decode_audio(studio.other["audio"]))
    assert "--voice-clip" in studio.refused("skeleton", voice_clip="", audio=str(wave))


def test_the_skeleton_needs_no_picture(studio: Studio) -> None:
    studio.film("skeleton", reference_clip=studio.other["clip_id"], voice_clip=studio.one["clip_id"])
    assert probe(studio.out).grid_frames == studio.one["frames"]


def test_a_picture_of_any_size_is_a_reference(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture's own pixels are what the back-end's inputs are cut from."""
    from stages.generate import inputs

    picture = studio.folder / "who.png"
    cv2.imwrite(str(picture), np.full((720, 1280, 3), 90, np.uint8))
    person = replace(
        inputs._of_clip(studio.one, studio.run),
        keypoints=studio.one["keypoints"][0] + np.float32([384, 104]),
        size=(1280, 720),
        picture=lambda: read_picture(picture),
    )
    monkeypatch.setattr(inputs, "_of_picture", lambda *_: person)
    given = studio.checkout()
    studio.film(image=str(picture), reference_clip="", **{**given, "backend_size": "256x128"})
    with np.load(studio.out.with_suffix(".npz")) as made:
        assert tuple(made["size"]) == (1280, 720)
        assert abs(made["keypoints"][0][SHOULDERS].mean(0)[0] - person.keypoints[SHOULDERS].mean(0)[0]) < 25
    assert (probe(studio.out).width, probe(studio.out).height) == (256, 128)


@pytest.mark.parametrize(
    ("scale", "shift"), [(0.7, (0.0, 0.0)), (1.4, (0.0, 0.0)), (1.0, (90.0, -60.0)), (1.0, (0.0, 0.0))]
)
def test_a_motion_that_is_off_is_brought_onto_the_person(
    studio: Studio, scale: float, shift: tuple[float, float]
) -> None:
    """Smaller, larger, elsewhere: said with numbers and mended; one that fits is left as it is."""
    from pipeline.model.generation.outputs import PersonMotion
    from pipeline.skeleton.align import letterbox
    from stages.generate import inputs

    person = inputs._of_clip(studio.one, studio.run)
    points, scores = studio.one["keypoints"].astype(np.float32), studio.one["scores"]
    off = (points - points[0][SHOULDERS].mean(0)) * scale + points[0][SHOULDERS].mean(0) + np.float32(shift)
    said: list[str] = []
    made = film.brought_onto(PersonMotion.transferred(off, scores, letterbox(512, 512)), person, said.append)
    away = np.linalg.norm(made.keypoints[0][SHOULDERS] - points[0][SHOULDERS], axis=1).max()
    assert away < 4
    fits = scale == 1 and shift == (0, 0)
    assert bool(said) != fits
    assert fits or (f"{scale:.2f} times" in said[0] if scale != 1 else "shoulder widths away" in said[0])


def test_a_motion_is_not_brought_onto_a_head(studio: Studio) -> None:
    """Without shoulders nothing can be fitted: it stays where it is, and the check says why."""
    from pipeline.model.generation.outputs import PersonMotion
    from pipeline.skeleton.align import letterbox
    from stages.generate import inputs

    person = inputs._of_clip(studio.one, studio.run)
    head = replace(person, scores=np.where(np.arange(133) < 5, person.scores, 0).astype(np.float32))
    moved = PersonMotion.transferred(studio.one["keypoints"] * 0.7, studio.one["scores"], letterbox(512, 512))
    assert film.brought_onto(moved, head, lambda _: None) is moved
