"""Who is tested on: the clips of a test set as rows of `subjects`, whatever set they come from."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.reasons import Failure, Reason, Reject
from pipeline.stage import Context, Resources, Row, Stage, Unit, runtime

if TYPE_CHECKING:
    from pipeline.nets.dwpose import PoseNet
    from pipeline.nets.yolox import Detector
    from pipeline.table import Store

Protocol = Literal["csg405", "pats", "ted"]

SIDES = {"csg405": 512, "pats": 256, "ted": 384}  # px, as the paper unifies its pictures
CLIPS = {"csg405": 133, "pats": 474, "ted": 122}  # of the paper
# PATS itself calls Kubinec's lectures `chemistry`, and the scripts of S2G-MDDiffusion put them into a folder `chem`.
PATS_SPEAKERS = {name: name for name in ("chemistry", "jon", "oliver", "seth")} | dict.fromkeys(
    ("chem", "kubinec"), "chemistry"
)
PATS_SPLIT = "filtered_intervals.json"  # of S2G-MDDiffusion: {"train": [interval, ...], "test": [...]}
SOUNDS = (".wav", ".flac", ".m4a", ".mp3")
FILMS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v")
MAX_FRAMES = 3000
_ROW = (
    *("clip_id", "video_id", "person", "frames", "keypoints", "scores", "audio"),
    *("video", "video_sha256", "speaker"),
)


class Subjects(Stage):
    """A row a clip of the test set.

    - `csg405`: the test split of a run's shards, their skeletons as stored;
    - `pats`, `ted`: the files of a folder, see `films` and `speaker_of`; the largest person of each is annotated by the profile's
      nets. A video without sound has that of the sound file of its name, wherever in the folder it lies: S2G-MDDiffusion and
      the scripts for TED-talks store pictures without sound.
    """

    name: ClassVar[str] = "subjects"
    version: ClassVar[int] = 1
    writes: ClassVar[str] = "subjects"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=12, gpu=True)

    protocol: Protocol = "csg405"
    detector: tuple[str, ...] = ()
    pose: tuple[str, ...] = ()
    split: Literal["train", "validation", "test", "all"] = "test"
    limit: int = Field(0, json_schema_extra=runtime())  # says which units there are, and changes none
    source: str = Field("", json_schema_extra=runtime())  # folder of shards, or of files
    base: str = Field("", json_schema_extra=runtime())  # folder that the shards' videos are relative to

    _context: Context = PrivateAttr()
    _rows: dict[str, Row] = PrivateAttr(default_factory=dict)
    _nets: "tuple[Detector, PoseNet] | None" = PrivateAttr(default=None)
    _sounds: dict[str, Path] = PrivateAttr(default_factory=dict)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return () if self.protocol == "csg405" else (self.detector, self.pose)

    def sources(self, store: "Store | None" = None) -> list[str]:
        found = sorted(self._clips() if self.protocol == "csg405" else films(Path(self.source), self.protocol))
        if not self.limit or self.limit >= len(found):
            return found
        return sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())[: self.limit]

    def depends(self, store: "Store") -> str:
        """What the test set is made of: the index of the shards, or the files' names, sizes and times."""
        if self.protocol != "csg405":
            from stages.evaluate.cast import state_of

            folder = Path(self.source)
            used = [folder / name for name in films(folder, self.protocol)]
            return "\n".join(map(state_of, [*used, *sounds(folder).values()]))
        return hashlib.sha256("".join(sorted(self._hashes())).encode()).hexdigest()

    def _clips(self) -> list[str]:
        from pipeline import shard

        rows = shard.open_shards(Path(self.source), self._split()).rows(("clip_id", "person"))
        return [f"{row['clip_id']}#{row['person']}" for row in rows]

    def _hashes(self) -> list[str]:
        from pipeline import shard

        files = shard.read_index(Path(self.source))["files"]
        return [entry["sha256"] for entry in files if self._split() in (None, entry["split"])]

    def _split(self) -> str | None:
        return None if self.split == "all" else self.split

    def setup(self, context: Context) -> None:
        from pipeline import shard

        self._context = context
        if self.protocol == "csg405":
            wanted = set(self.sources())
            rows = shard.open_shards(Path(self.source), self._split()).rows(_ROW)
            named = ((f"{row['clip_id']}#{row['person']}", row) for row in rows)
            self._rows = {name: row for name, row in named if name in wanted}
        else:
            self._nets = annotator(self, context)
            self._sounds = sounds(Path(self.source))

    def process(self, unit: Unit) -> Iterator[Row]:
        yield self._of_clip(unit.id) if self.protocol == "csg405" else self._of_file(unit.id)

    def _of_clip(self, name: str) -> Row:
        from stages.evaluate.cast import squares, whole_body_frame

        row = self._rows[name]
        film = self._film_of(row["video"])
        scores = np.asarray(row["scores"], np.float32)
        for _ in squares(film, 1, SIDES[self.protocol]):
            pass  # whether it is a video at all: later it would stop everything
        return {
            "subject": name,
            "video_id": row["video_id"],
            "speaker": row.get("speaker") or row["video_id"],
            "film": row["video"],
            "film_sha256": row["video_sha256"],
            "frames": row["frames"],
            "side": SIDES[self.protocol],
            "keypoints": np.asarray(row["keypoints"]).reshape(row["frames"], -1),
            "scores": scores,
            "reference_frame": whole_body_frame(scores),
            "audio": row["audio"],
        }

    def _film_of(self, video: str | None) -> Path:
        """The video of a row of the shards; nothing outside their run is opened."""
        if not video:
            raise Reject(Reason.NOT_MEDIA, "the shards say of no video of this clip: they are a copy without footage")
        base = Path(self.base).resolve()
        path = (base / video).resolve()
        if not path.is_relative_to(base):
            raise Reject(Reason.NOT_MEDIA, f"the shards say {video[:80]}, which leads out of their run")
        if not path.is_file():
            raise Failure(Reason.SOURCE_MISSING, f"{video} is not in {self.base}")
        return path

    def _of_file(self, name: str) -> Row:
        from pipeline import shard
        from pipeline.media.audio import cut, read_wave, to_flac
        from pipeline.media.probe import probe
        from stages.evaluate.cast import onto_square, whole_body_frame

        assert self._nets is not None
        path, side = Path(self.source) / name, SIDES[self.protocol]
        about = probe(path)
        if about.grid_frames > MAX_FRAMES:
            raise Reject(
                Reason.TOO_LONG, f"{about.grid_frames} frames at 25 fps, a clip of a test set has {MAX_FRAMES} at most"
            )
        found = annotate(path, about.grid_frames, *self._nets)
        if found is None:
            raise Reject(Reason.NO_PERSON, "nobody is seen in it")
        points, scores, size = found
        wave = read_wave(path)
        if wave is None and path.stem in self._sounds:
            wave = read_wave(self._sounds[path.stem])
        return {
            "subject": name,
            "video_id": f"file:{shard.sha256_of(path)[:16]}",
            "speaker": speaker_of(name, self.protocol),
            "film": str(path.resolve()),
            "film_sha256": shard.sha256_of(path),
            "frames": len(points),
            "side": side,
            "keypoints": onto_square(points, *size, side).reshape(len(points), -1),
            "scores": scores,
            "reference_frame": whole_body_frame(scores),
            "audio": None if wave is None else to_flac(cut(wave, 0, len(points))),
        }


def films(folder: Path, protocol: Protocol) -> list[str]:
    """The videos in a folder and below it, as paths relative to it.

    Where some lie in a folder `test`, as the scripts of both sets leave them, only those. Of PATS only those of the paper's four
    speakers; with S2G-MDDiffusion's `filtered_intervals.json` in the folder, only the intervals (`<speaker>#<interval>.mp4`) of
    its test list. Of TED-talks no test list is public: the one of articulated-animation says `train` of every clip.
    """
    names = [path.relative_to(folder) for path in _below(folder, FILMS)]
    names = [name for name in names if "test" in name.parts[:-1]] or names
    found = [name.as_posix() for name in names]
    if protocol != "pats":
        return found
    found = [name for name in found if speaker_of(name, protocol) in PATS_SPEAKERS.values()]
    if not (folder / PATS_SPLIT).is_file():
        return found
    intervals = {str(number) for number in json.loads((folder / PATS_SPLIT).read_text("utf-8"))["test"]}
    return [name for name in found if Path(name).stem.rpartition("#")[2] in intervals]


def sounds(folder: Path) -> dict[str, Path]:
    """{name without suffix: the sound file in a folder or below it}."""
    return {path.stem: path for path in reversed(_below(folder, SOUNDS))}


def _below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return sorted(path for path in paths if path.is_file())


def speaker_of(name: str, protocol: Protocol) -> str:
    """Who speaks in a file, by its path.

    PATS: `<speaker>#<interval>.mp4`, as `trim_videos.py` of github.com/thuhcsi/S2G-MDDiffusion writes it, or a folder a speaker.
    TED-talks: the talk's YouTube id, the first of `<talk>#<first>#<last>.mp4`, as `load_videos.py` of
    github.com/AliaksandrSiarohin/video-preprocessing writes it; for ids like those of articulated-animation's
    `data/ted-metadata.csv`, which hold frame numbers themselves, it writes `<last>#<first>#<talk>#000000#000000.mp4`.
    """
    parts = Path(name).stem.split("#")
    if protocol == "ted":
        return next((part for part in parts if re.fullmatch(r"[A-Za-z0-9_-]{11}", part)), parts[0])
    words = [*re.split(r"[^a-z]+", parts[0].lower()), *(folder.lower() for folder in reversed(Path(name).parts[:-1]))]
    return next((PATS_SPEAKERS[word] for word in words if word in PATS_SPEAKERS), name)


def annotator(names: Any, context: Context, footage: str | None = None) -> "tuple[Detector, PoseNet]":
    """The nets `names.detector` and `names.pose`; WrongFootage when they cannot see this footage (None: real people)."""
    from pipeline.nets.dwpose import PoseNet
    from pipeline.nets.footage import check_footage, footage_of
    from pipeline.nets.session import open_session
    from pipeline.nets.yolox import Detector

    assert context.models is not None, "the driver hands every worker a model registry"
    device: Literal["cpu", "cuda"] = "cuda" if context.device == "cuda" else "cpu"
    found = [context.models.resolve(choice) for choice in (names.detector, names.pose)]
    sessions = [open_session(file.path, device, context.threads) for file in found]
    made = {file.name: footage_of(session) for file, session in zip(found, sessions, strict=True)}
    check_footage(made, footage, "`annotate.detector` and `annotate.pose`")
    return Detector(sessions[0]), PoseNet(sessions[1])


def annotate(
    path: Path, frames: int, detector: "Detector", pose: "PoseNet"
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]] | None:
    """The largest person of a film.

    Returns:
        keypoints (F, 133, 2) px of the film's picture, NaN where unseen, scores (F, 133), and the picture's (width, height);
        None when nobody is seen.
    """
    from pipeline.nets.whole_body import annotate_frames
    from stages.evaluate.cast import held

    size = (0, 0)

    def film() -> Iterator[tuple[int, np.ndarray]]:
        nonlocal size
        for number, picture in enumerate(held(path, frames)):
            size = picture.shape[1], picture.shape[0]
            yield number, picture.copy()

    people = annotate_frames(film(), detector, pose)
    if not people:
        return None
    areas = [float(np.nansum(np.prod(track.boxes[:, 2:] - track.boxes[:, :2], axis=1))) for track in people]
    best = people[int(np.argmax(areas))]
    return best.keypoints, best.scores, size
