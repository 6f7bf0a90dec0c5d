"""The stages of a kept clip that look at its pictures, without their nets: what each decodes, and what that costs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline.base.arrays import Floats32, Picture
from pipeline.base.units import KEYPOINTS, Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.frames import decoded_frames
from stages.annotate import Annotate
from stages.annotate.worker import AnnotateWorker
from stages.attributes import Attributes
from stages.attributes.nets import Faces, Look
from stages.attributes.worker import AttributesWorker
from stages.export import Export
from stages.lip_sync import LipSync
from stages.lip_sync.crops import CropMeasurer
from stages.lip_sync.worker import LipSyncWorker
from stages.previews import Previews
from stages.same_face import SameFace
from stages.same_face.worker import SameFaceWorker
from tests.bench.footage import CLIP, VIDEO, Footage
from tests.bench.table import Cost, cores, cost_of
from tests.pipeline.nets.face.planted_face import face

PERSON = {"person_id": f"{CLIP}#0", "clip_id": CLIP, "video_id": VIDEO}


@dataclass(frozen=True)
class Step:
    """What a stage did: frames decoded, and what it cost."""

    frames: int
    cost: Cost


class Sees:
    """Finds the same person with the same points in every picture, a face as large as a quarter of the picture's lesser side."""

    batch, lanes = 8, 1

    def __init__(self, width: int, height: int) -> None:
        rng, side = np.random.default_rng(405), min(width, height)
        self.box = np.array([[width / 2 - side / 3, 0.1 * height, width / 2 + side / 3, height, 0.9]], np.float32)
        points = rng.uniform([width / 3, height / 3], [width / 1.5, height], (KEYPOINTS, 2))
        planted = face(width / 2, 0.4 * height, side / 4 / 112)
        self.points = np.where(np.isfinite(planted), planted, points).astype(np.float32)

    def detect(self, pictures: Sequence[Picture]) -> list[Floats32]:
        return [self.box for _ in pictures]

    def prepare_crop(self, picture: Picture, box: Floats32) -> int:
        return 0

    def run(self, crops: Sequence[int]) -> tuple[Floats32, Floats32]:
        return np.stack([self.points] * len(crops)), np.full((len(crops), KEYPOINTS), 0.9, np.float32)


class Idle:
    """In place of the nets of faces and lips: looks at every crop, and says nothing of it."""

    footage: dict[str, str] = {}

    def look(self, looks: Sequence[Look]) -> Faces:
        return Faces({}, None, None)

    def __call__(self, faces: Sequence[Picture]) -> Floats32:
        return np.full((len(faces), 4), 0.5, np.float32)

    @contextmanager
    def fits(self, crops: Iterator[Picture], *told: object) -> Iterator[Any]:
        yield SimpleNamespace(windows=0 * sum(1 for _ in crops))


def steps(footage: Footage, run: Path, first: int, frames: int, wanted: frozenset[str]) -> dict[str, Step]:
    """All stages one after the other, in a run of its own; `wanted` kinds of pictures are kept."""
    run.mkdir()
    here = Context(run, threads=cores(), wanted_pictures=wanted)
    sees: Any = Sees(footage.facts.width, footage.facts.height)
    idle: Any = Idle()
    side = min(footage.facts.width, footage.facts.height) // 2 * 2
    known: dict[str, list[Row]] = {
        "clips": [{"clip_id": CLIP, "video_id": VIDEO, "first_frame": first, "frames": frames}],
        "videos": [{**footage.row(), "sha256": "ab" * 32, "grid_frames": first + frames}],
        "verdicts": [{**PERSON, "keep": True, "reasons": []}],
        "pose_measures": [{**PERSON, "crop_box": [0, 0, side, side]}],
    }
    lips = LipSync()
    workers: dict[str, tuple[str, Callable[[], Any]]] = {
        "annotate": ("persons", lambda: AnnotateWorker(Annotate(), here, sees, sees, {})),
        "same_face": ("", lambda: SameFaceWorker(SameFace(), here, idle, None, {})),
        "lip_sync": ("", lambda: LipSyncWorker(lips, CropMeasurer(lips, here, idle), {})),
        "export": ("samples", lambda: Export().worker(here)),
        "attributes": ("", lambda: AttributesWorker(Attributes(), here, idle)),
        "previews": ("", lambda: Previews().worker(here)),
    }
    done = {}
    for name, (makes, worker) in workers.items():
        before, rows, ready = decoded_frames(), list[Row](), worker()
        cost = cost_of(lambda ready=ready, rows=rows: rows.extend(ready.process(Unit(CLIP, known))))  # type: ignore[misc]
        done[name] = Step(decoded_frames() - before, cost)
        if makes:
            known[makes] = rows
    return done
