"""Who is tested on: the clips of a test set as rows of `subjects`, whatever set they come from."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import CLIP_SIDE_PX, FPS, SAMPLE_RATE, Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.nets.pose import PoseBackend
from stages.evaluate.collection import SAID_FPS, Collection, Protocol, speaker_of

if TYPE_CHECKING:
    from pipeline.nets.pose.dwpose import PoseEstimator
    from pipeline.nets.pose.yolox import Detector
    from pipeline.tables.table import Store

SIDES = {"csg405": CLIP_SIDE_PX, "pats": 256, "ted": 384}  # px, as the paper unifies its pictures
CLIPS = {"csg405": 133, "pats": 474, "ted": 122}  # of the paper
MAX_FRAMES = 3000
# Frames that last longer or shorter than their sound, by more than both, were not taken at the rate that was said.
_UNLIKE_SECONDS, _UNLIKE_SHARE = 0.3, 0.03
_ROW = (
    *("clip_id", "video_id", "person", "frames", "keypoints", "scores", "audio"),
    *("video", "video_sha256", "speaker"),
)


class Subjects(Stage):
    """A row a clip of the test set.

    - `csg405`: the test split of a run's shards, their skeletons as stored;
    - `pats`, `ted`: the clips of a `Collection`; the largest person of each is annotated by the profile's nets, once. A clip
      without sound has that of the sound file of its name.
    """

    name: ClassVar[str] = "subjects"
    version: ClassVar[int] = 1
    writes: ClassVar[str] = "subjects"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=12, gpu=True)

    protocol: Protocol = "csg405"
    detector: tuple[str, ...] = ()
    pose: tuple[str, ...] = ()
    pose_backend: PoseBackend = "onnx"
    split: Literal["train", "validation", "test", "all"] = "test"
    frames_fps: float = float(FPS)
    limit: int = Field(0, json_schema_extra=runtime())  # says which units there are, and changes none
    source: str = Field("", json_schema_extra=runtime())  # folder of shards, or of files
    base: str = Field("", json_schema_extra=runtime())  # folder that the shards' videos are relative to

    _context: Context = PrivateAttr()
    _rows: dict[str, Row] = PrivateAttr(default_factory=dict)
    _nets: "tuple[Detector, PoseEstimator] | None" = PrivateAttr(default=None)
    _collection: Collection | None = PrivateAttr(default=None)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return () if self.protocol == "csg405" else (self.detector, self.pose)

    def result_settings(self) -> dict[str, Any]:
        """Without those that change nothing: clips of the shards have a rate and keypoints of their own, and `pose_backend` at its
        default stays out, so that fingerprints are those of runs from before there was the setting.
        """
        unused = {"frames_fps"} if self.protocol == "csg405" else set()
        if self.protocol == "csg405" or self.pose_backend == "onnx":
            unused |= {"pose_backend"}
        return {name: value for name, value in super().result_settings().items() if name not in unused}

    @property
    def collection(self) -> Collection:
        """What lies in the folder, looked up once."""
        if self._collection is None:
            self._collection = Collection(Path(self.source), self.protocol)
        return self._collection

    def sources(self, store: "Store | None" = None) -> list[str] | Mapping[str, str]:
        """The clips; those of a folder each with the state of its files."""
        chosen = self._chosen()
        return chosen if self.protocol == "csg405" else {name: self.collection.state(name) for name in chosen}

    def _chosen(self) -> list[str]:
        found = sorted(self._clips() if self.protocol == "csg405" else self.collection.clips())
        if not self.limit or self.limit >= len(found):
            return found
        return sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())[: self.limit]

    def depends(self, store: "Store") -> str:
        """The index of the shards, where the test set is theirs."""
        if self.protocol != "csg405":
            return ""
        return hashlib.sha256("".join(sorted(self._hashes())).encode()).hexdigest()

    def _clips(self) -> list[str]:
        from pipeline.shards import shard

        rows = shard.open_shards(Path(self.source), self._split()).rows(("clip_id", "person"))
        return [f"{row['clip_id']}#{row['person']}" for row in rows]

    def _hashes(self) -> list[str]:
        from pipeline.shards import shard

        files = shard.read_index(Path(self.source))["files"]
        return [entry["sha256"] for entry in files if self._split() in (None, entry["split"])]

    def _split(self) -> str | None:
        return None if self.split == "all" else self.split

    def setup(self, context: Context) -> None:
        from pipeline.shards import shard

        self._context = context
        if self.protocol == "csg405":
            wanted = set(self.sources())
            rows = shard.open_shards(Path(self.source), self._split()).rows(_ROW)
            named = ((f"{row['clip_id']}#{row['person']}", row) for row in rows)
            self._rows = {name: row for name, row in named if name in wanted}
        else:
            from stages.evaluate.annotation import annotator

            self._nets = annotator(self, context)

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
        from pipeline.media import sequence
        from pipeline.media.audio import cut, to_flac
        from stages.evaluate.annotation import annotate
        from stages.evaluate.cast import held, onto_square, whole_body_frame

        assert self._nets is not None
        path, side = self.collection.path(name), SIDES[self.protocol]
        frames, fps = self._length(path)
        if frames > MAX_FRAMES:
            raise Reject(Reason.TOO_LONG, f"{frames} frames at 25 fps, a clip of a test set has {MAX_FRAMES} at most")
        wave = self._wave(name, path)
        if wave is not None and fps is not None:
            _check_rate(frames, fps, len(wave))
        found = annotate(held(path, frames, fps), *self._nets)
        if found is None:
            raise Reject(Reason.NO_PERSON, "nobody is seen in it")
        points, scores, size = found
        sha256 = sequence.sha256_of(path) if path.is_dir() else sha256_of(path)
        return {
            "subject": name,
            "video_id": f"file:{sha256[:16]}",
            "speaker": speaker_of(name, self.protocol),
            "film": str(path.resolve()),
            "film_sha256": sha256,
            "fps": fps,
            "frames": len(points),
            "side": side,
            "keypoints": onto_square(points, *size, side).reshape(len(points), -1),
            "scores": scores,
            "reference_frame": whole_body_frame(scores),
            "audio": None if wave is None else to_flac(cut(wave, 0, len(points))),
        }

    def _length(self, path: Path) -> tuple[int, float | None]:
        """Pictures on the 25-fps grid, and the rate of the frames where the clip does not say it, or says it wrong."""
        from pipeline.media import sequence
        from pipeline.media.probe import probe

        if path.is_dir():
            return sequence.grid_frames(len(sequence.frames_in(path)), self.frames_fps), self.frames_fps
        about = probe(path)
        if self.protocol == "ted" and not about.audio_streams and abs(about.source_fps - SAID_FPS) < 0.01:
            count = round(about.duration_seconds * SAID_FPS)
            return sequence.grid_frames(count, self.frames_fps), self.frames_fps
        return about.grid_frames, None

    def _wave(self, name: str, path: Path) -> "np.ndarray | None":
        """(samples,) at 16 kHz: a video's own sound, or else that of the file of its name."""
        from pipeline.media.audio import read_wave

        wave = None if path.is_dir() else read_wave(path)
        sound = self.collection.sound(name) if wave is None else None
        if sound is None:
            return wave
        try:
            return read_wave(sound)
        except Reject as reject:
            raise Reject(reject.reason, f"its sound, {sound.name}: {reject.detail}") from reject


def _check_rate(frames: int, fps: float, samples: int) -> None:
    """Raise Reject(LATE_SOUND) where pictures on the 25-fps grid and samples at 16 kHz cannot be of one clip."""
    seen, heard = frames / FPS, samples / SAMPLE_RATE
    if abs(seen - heard) > max(_UNLIKE_SECONDS, _UNLIKE_SHARE * seen):
        fits = f": {seen * fps / heard:.4g} frames a second would fit (--frames-fps)" if heard else ""
        raise Reject(Reason.LATE_SOUND, f"its frames last {seen:.2f} s at {fps:g} fps, its sound {heard:.2f} s{fits}")
