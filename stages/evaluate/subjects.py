"""Who is tested on: the clips of a test set as rows of `subjects`, whatever set they come from."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.reasons import Reason, Reject
from pipeline.stage import Context, Resources, Row, Stage, Unit, runtime

if TYPE_CHECKING:
    from pipeline.nets.dwpose import PoseNet
    from pipeline.nets.yolox import Detector
    from pipeline.table import Store

Protocol = Literal["csg405", "pats", "ted"]

SIDES = {"csg405": 512, "pats": 256, "ted": 384}  # px, as the paper unifies its pictures
CLIPS = {"csg405": 133, "pats": 474, "ted": 122}  # of the paper
PATS_SPEAKERS = ("jon", "kubinec", "oliver", "seth")
FILMS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v")
MAX_FRAMES = 3000
_ROW = (
    *("clip_id", "video_id", "person", "frames", "keypoints", "scores", "audio"),
    *("video", "video_sha256", "speaker"),
)


class Subjects(Stage):
    """A row a clip of the test set.

    - `csg405`: the test split of a run's shards, their skeletons as stored;
    - `pats`, `ted`: a folder of files, whatever lies in it; the largest person of each is annotated by the profile's nets.
      Of PATS the four speakers of the paper are taken, by the name of a folder or the beginning of a file's name; of TED-talks a
      speaker is the part of a file's name before the first `#`, which is the id of the talk.
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

    _context: Context = PrivateAttr()
    _rows: dict[str, Row] = PrivateAttr(default_factory=dict)
    _nets: "tuple[Detector, PoseNet] | None" = PrivateAttr(default=None)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return () if self.protocol == "csg405" else (self.detector, self.pose)

    def sources(self, store: "Store") -> list[str]:
        found = sorted(self._clips() if self.protocol == "csg405" else films(Path(self.source), self.protocol))
        if not self.limit or self.limit >= len(found):
            return found
        return sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())[: self.limit]

    def depends(self, store: "Store") -> str:
        """What the test set is made of: the index of the shards, or the files' names, sizes and times."""
        if self.protocol != "csg405":
            from stages.evaluate.cast import state_of

            folder = Path(self.source)
            return "\n".join(state_of(folder / name) for name in films(folder, self.protocol))
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
            rows = shard.open_shards(Path(self.source), self._split()).rows(_ROW)
            self._rows = {f"{row['clip_id']}#{row['person']}": row for row in rows}
        else:
            self._nets = annotator(self, context)

    def process(self, unit: Unit) -> Iterator[Row]:
        yield self._of_clip(unit.id) if self.protocol == "csg405" else self._of_file(unit.id)

    def _of_clip(self, name: str) -> Row:
        from stages.evaluate.cast import whole_body_frame

        row = self._rows[name]
        if not row["video"]:
            raise Reject(Reason.NOT_MEDIA, "the shards say of no video of this clip: they are a copy without footage")
        scores = np.asarray(row["scores"], np.float32)
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

    def _of_file(self, name: str) -> Row:
        from pipeline import shard
        from pipeline.media.audio import cut, read_wave, to_flac
        from pipeline.media.probe import probe
        from pipeline.skeleton.align import letterbox
        from stages.evaluate.cast import whole_body_frame

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
        return {
            "subject": name,
            "video_id": f"file:{shard.sha256_of(path)[:16]}",
            "speaker": speaker_of(name, self.protocol),
            "film": str(path.resolve()),
            "film_sha256": shard.sha256_of(path),
            "frames": len(points),
            "side": side,
            "keypoints": letterbox(*size, side).apply(points).astype(np.float32).reshape(len(points), -1),
            "scores": scores,
            "reference_frame": whole_body_frame(scores),
            "audio": None if wave is None else to_flac(cut(wave, 0, len(points))),
        }


def films(folder: Path, protocol: Protocol) -> list[str]:
    """The videos in a folder and below it, as paths relative to it; of PATS those of the paper's four speakers."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in FILMS and path.is_file())
    names = [path.relative_to(folder).as_posix() for path in found]
    return [name for name in names if protocol != "pats" or speaker_of(name, protocol) in PATS_SPEAKERS]


def speaker_of(name: str, protocol: Protocol) -> str:
    """Who speaks in a file, by its path.

    PATS keeps a folder a speaker, or puts the speaker first in the name; TED-talks names files `<talk>#<first>#<last>.mp4`.
    """
    if protocol == "pats":
        words = [word for part in Path(name).with_suffix("").parts for word in re.split(r"[^a-z]+", part.lower())]
        return next((word for word in words if word in PATS_SPEAKERS), name)
    return Path(name).stem.partition("#")[0]


def annotator(names: Any, context: Context) -> "tuple[Detector, PoseNet]":
    """The nets `names.detector` and `names.pose`, which see any footage or refuse."""
    from pipeline.nets.dwpose import PoseNet
    from pipeline.nets.footage import check_footage, footage_of
    from pipeline.nets.session import open_session
    from pipeline.nets.yolox import Detector

    assert context.models is not None, "the driver hands every worker a model registry"
    device: Literal["cpu", "cuda"] = "cuda" if context.device == "cuda" else "cpu"
    found = [context.models.resolve(choice) for choice in (names.detector, names.pose)]
    sessions = [open_session(file.path, device, context.threads) for file in found]
    made = {file.name: footage_of(session) for file, session in zip(found, sessions, strict=True)}
    check_footage(made, None, "`annotate.detector` and `annotate.pose`")
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
