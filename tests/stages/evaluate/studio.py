"""A run with a test set of puppets, small enough to be evaluated in seconds: films, their true skeletons, and their voices."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soxr

from pipeline.backends.job import Filmed, Job
from pipeline.backends.job import Options as HowToFilm
from pipeline.backends.kept import Kept
from pipeline.backends.run import drive, plan
from pipeline.base.hashes import sha256_of
from pipeline.engine.runner import Options
from pipeline.engine.session import Session
from pipeline.media.audio import cut as cut_sound
from pipeline.media.audio import to_flac
from pipeline.media.video import write_clip
from pipeline.shards.format import VERSION
from pipeline.shards.index import build_index, write_index
from pipeline.shards.write import write_shard
from pipeline.skeleton.crop import cut, map_points
from pipeline.skeleton.local import to_local
from pipeline.tables.store import Store
from pipeline.theatre import Actor, Film, Shot, Take, voice
from pipeline.theatre.cast import Look, Voice
from pipeline.theatre.takes import ADA, BEN, CAI, V_ADA, V_BEN, V_CAI
from stages.evaluate import Evaluate

SIDE, FRAMES = 512, 24
BOX = (280, 20, 1000, 740)
CAST: dict[str, tuple[Look, Voice]] = {"ada": (ADA, V_ADA), "ben": (BEN, V_BEN), "cai": (CAI, V_CAI)}


@dataclass(frozen=True)
class Played:
    """Pictures (F, 512, 512, 3) RGB, keypoints (F, 133, 2), scores (F, 133), wave (F x 640,) at 16 kHz."""

    pictures: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    wave: np.ndarray


@cache
def played(who: str, frames: int = FRAMES) -> Played:
    look, sound = CAST[who]
    take = Take(f"scene-{who}", "", (Shot(frames / 25, (Actor(look, sound, unit=212.0),), "study"),))
    film = Film(take, seconds=frames / 25)
    pictures = np.stack([cut(np.ascontiguousarray(film.picture(n)[:, :, ::-1]), BOX, SIDE) for n in range(frames)])
    truth = film.truth()
    points = map_points(truth.keypoints[0].astype(np.float32), BOX, SIDE)
    assert film.sound is not None
    wave = soxr.resample(film.sound, voice.RATE, 16_000).astype(np.float32)
    seen = np.isfinite(points).all(-1) & truth.visible[0].astype(bool)
    return Played(pictures, points, np.where(seen, 0.9, 0.0).astype(np.float32), cut_sound(wave, 0, frames))


def write_film(path: Path, pictures: Sequence[np.ndarray] | np.ndarray, wave: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    write_clip(path, iter(pictures), wave, size=(width, height), crf=12, preset="veryfast", threads=1)
    return path


def video_id(number: int) -> str:
    return f"file:{number:016x}"


def row_of(run: Path, number: int, who: str, frames: int = FRAMES, **more: Any) -> dict[str, Any]:
    """A row of the shards, its film written into the run."""
    scene = played(who, frames)
    path = run / "clips" / f"{number}.mp4"
    if not path.is_file():
        write_film(path, scene.pictures, scene.wave)
    return {
        "clip_id": f"{video_id(number)}/0+{frames}",
        "video_id": video_id(number),
        "person": 0,
        "start_seconds": 0.0,
        "frames": frames,
        "fps": 25.0,
        "keypoints": scene.keypoints,
        "scores": scene.scores,
        "neck": to_local(scene.keypoints)[1],
        "audio": to_flac(scene.wave),
        "speaker": who,
        "video": f"clips/{path.name}",
        "video_sha256": sha256_of(path),
        **more,
    }


def write_shards(run: Path, rows: Sequence[dict[str, Any]], split: str = "test") -> None:
    folder = run / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}-00000-of-00001.parquet"
    write_shard(path, rows)
    entry = {"path": path.name, "split": split, "rows": len(rows), "seconds": len(rows) * 1.0}
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    version = ".".join(map(str, VERSION))
    write_index(folder, build_index([entry], [], version=version, settings={}))


def subject(number: int, frames: int = FRAMES) -> str:
    return f"{video_id(number)}/0+{frames}#0"


class Studio:
    """A run folder, and evaluations of it in this process."""

    def __init__(self, run: Path, nets: Path) -> None:
        self.run, self.nets = run, nets

    def session(self, *sets: str, profile: str = "demo") -> Session:
        given = ["machine.device=cpu", *sets]
        return Session(profile, str(self.run), "", "", "", str(self.nets), given, ["evaluate"])

    def evaluate(self, session: Session | None = None, **settings: Any) -> list[str]:
        """Run it; returns the lines of its table, none where there is none yet."""
        Evaluate(**{"inception": (), "i3d": (), **settings}).run(session or self.session())
        return self.table(settings.get("protocol", "csg405"))

    def place(self, protocol: str = "csg405") -> Path:
        return self.run / "evaluation" / protocol

    def table(self, protocol: str = "csg405") -> list[str]:
        path = self.place(protocol) / "table2.md"
        return path.read_text("utf-8").splitlines() if path.is_file() else []

    def rows(self, folder: str, kind: str = "scores") -> dict[str, dict[str, Any]]:
        store = Store(self.place() / folder)
        key = {"subjects": "subject"}.get(kind, "pair_id")
        return {row[key]: row for row in store.read(kind).to_pylist()}

    def outcomes(self, folder: str, kind: str) -> dict[str, dict[str, Any]]:
        return {row["unit"]: row for row in Store(self.place() / folder).outcomes(kind).to_pylist()}

    def attempts(self, folder: str, kind: str) -> dict[str, int]:
        return {unit: row["attempt"] for unit, row in self.outcomes(folder, kind).items()}


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Workers cost seconds to start."""
    patch.setattr("stages.evaluate.run.options_of", lambda *_: Options(workers=0))


def cheap_likeness(patch: pytest.MonkeyPatch) -> None:
    """SSIM takes longer than everything else, and most tests look at other things."""

    def near(made: np.ndarray, true: np.ndarray) -> float:
        return 1 - float(np.abs(made[::16].astype(float) - true[::16]).mean()) / 255

    patch.setattr("stages.evaluate.scores.worker.ssim", near)


_FILMED: dict[tuple[Any, ...], bytes] = {}
_SAID: dict[tuple[Any, ...], list[np.ndarray]] = {}


def filmed_once(patch: pytest.MonkeyPatch) -> None:
    """What is drawn of the same motion in the same way is copied: to draw and encode it takes longer than the rest of a test."""

    def film(name: str, job: Job, options: HowToFilm, out: Path, work: Path, kept: Kept | None = None) -> Filmed:
        if name != "skeleton":
            return drive(name, job, options, out, work, kept)
        key = repr(options), *map(_content, vars(job).values())
        if key not in _FILMED:
            found = drive(name, job, options, out, work)
            _FILMED[key] = out.read_bytes()
            return found
        view = plan(name, job, options, work).view
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(_FILMED[key])
        return Filmed(out, view.box, view.size, view.fps, view.frames, None, ())

    patch.setattr("stages.evaluate.renditions.worker.drive", film)


def asked_once(patch: pytest.MonkeyPatch) -> None:
    """What a net said of the same input is not asked again: the puppets are few."""
    ask = onnxruntime.InferenceSession.run

    def run(self: Any, outputs: Sequence[str] | None, inputs: dict[str, np.ndarray], how: Any = None) -> Any:
        net = blake2b(self._model_bytes).digest()  # nets are opened from their bytes: none has a path
        key = net, tuple(outputs or ()), *((name, _content(given)) for name, given in inputs.items())
        if key not in _SAID:
            _SAID[key] = ask(self, outputs, inputs, how)
        return [said.copy() for said in _SAID[key]]

    patch.setattr(onnxruntime.InferenceSession, "run", run)


def _content(given: np.ndarray | None) -> tuple[Any, ...]:
    if given is None:
        return ()
    return given.shape, given.dtype.str, blake2b(np.ascontiguousarray(given).data).digest()
