"""What annotate and attributes keep of pictures: later stages give the same rows and files, and decode nothing."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from pipeline.engine.decoded import FOLDER
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.frames import decoded_frames
from pipeline.media.moments import FACES, STILL, STRIP, middle, spread
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.video import GridReader, write_video
from pipeline.skeleton import layout
from pipeline.theatre.facenets import build_face_nets
from pipeline.theatre.lipnet import build_lip_net
from pipeline.theatre.takes import ADA
from stages.annotate import Annotate, kept
from stages.annotate.worker import AnnotateWorker
from stages.attributes import Attributes
from stages.lip_sync import LipSync
from stages.previews import Previews
from stages.same_face import SameFace
from tests.stages.faces_on_film import FRAMES, SIDE, THEATRE, played
from tests.stages.faces_on_film import sample as exported

LEAD = 30  # frames of the video before the clip
VIDEO_ID = "file:" + "7" * 16
IDS = {"clip_id": f"{VIDEO_ID}/{LEAD}+{FRAMES}", "video_id": VIDEO_ID}
CLIP = {**IDS, "first_frame": LEAD, "frames": FRAMES}
ALL = frozenset((FACES, STRIP, STILL))
FAST = {"detect_every_frames": 5, "min_detections": 1}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A puppet on film with a voice, and the nets that know it."""
    folder = tmp_path_factory.mktemp("films")
    pictures = played(ADA, "study", 212, 0)[0]
    wave = np.random.default_rng(0).normal(0, 0.1, (LEAD + FRAMES) * 640).astype(np.float32)
    write_video(
        folder / "film.mp4", iter([*pictures, *pictures]), wave, size=(SIDE, SIDE), options={"preset": "veryfast"}
    )
    build_face_nets(folder)
    build_lip_net(folder / "theatre_syncnet.onnx")
    return folder


@pytest.fixture(autouse=True)
def however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The puppet's face fills more of its picture than is worth keeping."""
    monkeypatch.setattr(kept, "LARGEST_SHARE", 1.0)


def video(films: Path, **more: Any) -> dict[str, Any]:
    facts = {"width": SIDE, "height": SIDE, "audio_codec": "aac", "footage": "theatre", "grid_frames": LEAD + FRAMES}
    return {"video_id": VIDEO_ID, "path": str(films / "film.mp4"), "sha256": "ab" * 32, **facts, **more}


class Nets:
    """Stands in for the registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resolve(self, names: tuple[str, ...], precision: str = "fp32") -> SimpleNamespace:
        entry = SimpleNamespace(same_person=0.9)
        return SimpleNamespace(
            name=names[0], path=self.folder / f"{names[0]}.onnx", entry=entry, original=None, sha256=""
        )

    optional = resolve


class Knows:
    """A detector and a pose net that know the puppet's true points in each picture of the film."""

    batch, lanes = 4, 1

    def __init__(self, films: Path, jump: int = -1) -> None:
        self.points = played(ADA, "study", 212, 0)[1].copy()
        if jump >= 0:
            self.points[jump:] += [60, 0]
        with GridReader(films / "film.mp4", LEAD, FRAMES, reading=AS_IT_STANDS) as reader:
            self.numbers = {frame.pixels.tobytes(): frame.n - LEAD for frame in reader}

    def detect(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [np.array([[40, 20, 480, 511, 0.9]], np.float32) for _ in pictures]

    def prepare_crop(self, picture: np.ndarray, box: Any) -> int:
        return self.numbers[picture.tobytes()]

    def run(self, numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
        points = self.points[numbers]
        return points.astype(np.float32), np.where(np.isnan(points).any(-1), 0, 0.9).astype(np.float32)


def context(run: Path, films: Path, wanted: frozenset[str] = frozenset()) -> Context:
    run.mkdir(exist_ok=True)
    return Context(run, threads=2, models=Nets(films), wanted_pictures=wanted)  # type: ignore[arg-type]


def annotated(
    run: Path, films: Path, wanted: frozenset[str] = ALL, clip: dict[str, Any] = CLIP, jump: int = -1
) -> list[dict[str, Any]]:
    knows: Any = Knows(films, jump)
    worker = AnnotateWorker(Annotate(**FAST), context(run, films, wanted), knows, knows, {})
    return list(worker.process(Unit(IDS["clip_id"], {"clips": [clip], "videos": [video(films)]})))


def found(run: Path) -> list[str]:
    return sorted(path.parent.name for path in (run / FOLDER / "files").rglob("*.patches"))


def later(run: Path, films: Path, persons: list[dict[str, Any]], **more: Any) -> tuple[list[Any], int]:
    """Rows of lip_sync and same_face, and how many frames they decoded."""
    unit = Unit(IDS["clip_id"], {"persons": persons, "clips": [CLIP], "videos": [video(films, **more)]})
    before = decoded_frames()
    lips = list(LipSync(net=("theatre_syncnet",)).worker(context(run, films)).process(unit))
    faces = list(SameFace(net=("theatre_identity",), moments=5).worker(context(run, films)).process(unit))
    return [lips, faces], decoded_frames() - before


def test_lips_and_faces_are_those_of_decoded_pictures(tmp_path: Path, films: Path) -> None:
    persons = annotated(tmp_path / "kept", films)
    assert found(tmp_path / "kept") == ["faces", "strip"]
    rows, frames = later(tmp_path / "kept", films, persons)
    again, decoded = later(tmp_path / "bare", films, persons)
    assert rows == again and rows[0][0]["lip_confidence"] is not None and rows[1][0]["face_moments"] == 5
    assert frames == 0 and decoded > 2 * FRAMES
    other, decoded = later(tmp_path / "kept", films, persons, sha256="cd" * 32)
    assert other == rows and decoded > 2 * FRAMES, "of other bytes nothing was kept"


def test_the_rows_of_annotate_do_not_depend_on_what_is_kept(tmp_path: Path, films: Path) -> None:
    [kept_row], [bare] = annotated(tmp_path / "kept", films), annotated(tmp_path / "bare", films, frozenset())
    assert found(tmp_path / "bare") == []
    assert kept_row.keys() == bare.keys()
    for name, value in bare.items():
        np.testing.assert_array_equal(kept_row[name], value)


def test_a_person_unseen_for_a_while_is_grey_there(tmp_path: Path, films: Path) -> None:
    [person] = annotated(tmp_path / "kept", films)
    person = {**person, "scores": person["scores"].copy()}
    person["scores"][8:12] = 0
    rows, frames = later(tmp_path / "kept", films, [person])
    again, _ = later(tmp_path / "bare", films, [person])
    assert rows == again and frames == 0 and 0 < rows[0][0]["lip_frames"] < FRAMES - 10


def test_points_that_others_gave_are_not_served_from_other_faces(tmp_path: Path, films: Path) -> None:
    [person] = annotated(tmp_path / "kept", films)
    moved = np.asarray(person["keypoints"]).reshape(FRAMES, -1, 2) + np.float32([90, 40])
    person = {**person, "keypoints": moved.reshape(FRAMES, -1)}
    rows, frames = later(tmp_path / "kept", films, [person])
    again, _ = later(tmp_path / "bare", films, [person])
    assert rows == again and frames > 2 * FRAMES


def test_a_face_without_extent_gives_what_it_gives_where_nothing_is_kept(tmp_path: Path, films: Path) -> None:
    """Eyes, nose and mouth on one spot: nothing says which part of the picture such a face would show."""
    [person] = annotated(tmp_path / "kept", films)
    points = np.asarray(person["keypoints"]).reshape(FRAMES, -1, 2).copy()
    others = [*range(layout.RIGHT_EYE_RING.start, layout.LEFT_EYE_RING.stop), 71, 77]
    points[:, others] = points[:, 53:54]
    person = {**person, "keypoints": points.reshape(FRAMES, -1)}
    unit = Unit(IDS["clip_id"], {"persons": [person], "clips": [CLIP], "videos": [video(films)]})
    rows = [
        list(SameFace(net=("theatre_identity",), moments=5).worker(context(tmp_path / run, films)).process(unit))
        for run in ("kept", "bare")
    ]
    assert rows[0] == rows[1] and rows[0][0]["face_moments"] == 5


def cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 100_000)


def choosy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LARGEST_SHARE", 0.125)
    monkeypatch.setattr(kept, "LOOKED_AT", 8)


def demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LEAST_SEEN", 1.1)


@pytest.mark.parametrize(("spoil", "left"), [(cap, ["strip"]), (choosy, ["strip"]), (demand, [])])
def test_too_much_and_too_little_is_not_kept(
    tmp_path: Path,
    films: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch], None],
    left: list[str],
) -> None:
    """Faces that fill memory, or the picture, and people who are hardly there."""
    spoil(monkeypatch)
    persons = annotated(tmp_path / "run", films)
    assert len(persons) == 1 and found(tmp_path / "run") == left


@pytest.mark.parametrize("rate", [24, 12, 5])
def test_a_face_of_a_picture_that_is_held_is_there_as_often_as_it_is_shown(
    tmp_path: Path, films: Path, rate: int
) -> None:
    """A film with too few pictures a second: each is posed once, and its lips are read as often as the grid shows it."""
    (tmp_path / "slow").mkdir()
    for net in films.glob("*.onnx"):
        (tmp_path / "slow" / net.name).symlink_to(net)
    with av.open(films / "film.mp4") as fast, av.open(tmp_path / "slow/film.mp4", "w") as file:
        stream = file.add_stream("libx264", rate, width=SIDE, height=SIDE, options={"preset": "veryfast"})
        voice = file.add_stream_from_template(fast.streams.audio[0])
        for frame in fast.decode(video=0):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), "rgb24")))
        file.mux(stream.encode())
        fast.seek(0)
        for packet in fast.demux(audio=0):
            packet.stream = voice
            file.mux(packet)
    persons = annotated(tmp_path / "kept", tmp_path / "slow")
    assert found(tmp_path / "kept") == ["faces", "strip"]
    rows, frames = later(tmp_path / "kept", tmp_path / "slow", persons)
    again, decoded = later(tmp_path / "bare", tmp_path / "slow", persons)
    assert rows == again and rows[0][0]["lip_confidence"] is not None and rows[1][0]["face_moments"] == 5
    assert frames == 0 and decoded >= FRAMES


def test_pictures_that_were_coded_again_are_looked_at_by_who_needs_them(tmp_path: Path, films: Path) -> None:
    persons = annotated(tmp_path / "run", films, clip={**CLIP, "repeats": [3, 9]})
    assert found(tmp_path / "run") == ["strip"]
    rows, frames = later(tmp_path / "run", films, persons)
    assert frames > 2 * FRAMES and rows[0][0]["lip_confidence"] is not None


def drawn(run: Path, films: Path, person: dict[str, Any], sample: dict[str, Any]) -> tuple[dict[str, bytes], int]:
    """The files that previews makes of a kept person, and how many frames it decoded."""
    rows = {
        "videos": [video(films, audio_codec=None)],
        "clips": [CLIP],
        "persons": [person],
        "pose_measures": [{"person_id": person["person_id"], "crop_box": [0, 0, SIDE, SIDE]}],
        "verdicts": [{**IDS, "person_id": person["person_id"], "keep": True, "reasons": []}],
        "samples": [sample],
    }
    before = decoded_frames()
    [row] = Previews().worker(context(run, films)).process(Unit(VIDEO_ID, rows))
    files = {name: (run / row[name]).read_bytes() for name in ("path", "loop", "pose")}
    return files, decoded_frames() - before


def test_previews_are_those_of_decoded_pictures(tmp_path: Path, films: Path) -> None:
    [person] = annotated(tmp_path / "kept", films)
    sample = exported(tmp_path / "kept", person["person_id"], ADA)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/clips").symlink_to(tmp_path / "kept/clips")
    looks = Unit(person["person_id"], {"samples": [sample], "videos": [{"footage": "theatre"}]})
    told = [
        list(Attributes(**THEATRE).worker(context(tmp_path / run, films, wanted)).process(looks))
        for run, wanted in (("kept", ALL), ("bare", frozenset[str]()))
    ]
    for kept_value, value in zip(told[0][0].values(), told[1][0].values(), strict=True):
        np.testing.assert_array_equal(kept_value, value)
    assert found(tmp_path / "kept") == ["faces", "still", "strip"]
    files, frames = drawn(tmp_path / "kept", films, person, sample)
    again, decoded = drawn(tmp_path / "bare", films, person, sample)
    assert files == again and frames == 0 and decoded > FRAMES


def test_another_strip_is_decoded(tmp_path: Path, films: Path) -> None:
    """What was kept for a strip of another length serves none, as in a run whose settings changed meanwhile."""
    [person] = annotated(tmp_path / "run", films)
    sample = exported(tmp_path / "run", person["person_id"], ADA)
    rows = {
        "videos": [video(films, audio_codec=None)],
        "clips": [CLIP],
        "persons": [person],
        "verdicts": [{**IDS, "person_id": person["person_id"], "keep": True, "reasons": []}],
        "samples": [sample],
    }
    before = decoded_frames()
    [row] = Previews(strip_frames=3).worker(context(tmp_path / "run", films)).process(Unit(VIDEO_ID, rows))
    assert row["tiles"] == 3 and decoded_frames() - before > FRAMES


def test_moments() -> None:
    assert spread(250, 4) == (31, 93, 156, 218) and spread(2, 4) == (0, 0, 1, 1) and spread(5, 1) == (2,)
    assert middle(250) == 124 and middle(3, 9) == 0 and middle(30, 6) == 12
