"""Puppets as exported samples: encoded clips of one puppet each, with the keypoints that are true of them."""

import hashlib
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline.engine.stage import Context
from pipeline.media.video import write_clip
from pipeline.skeleton.crop import cut, map_points
from pipeline.theatre import Actor, Film, Shot, Take
from pipeline.theatre.cast import Look
from pipeline.theatre.takes import V_ADA
from stages.attributes import Attributes
from stages.attributes.worker import AttributesWorker

SIDE, FRAMES = 512, 30
THEATRE = {name: (f"theatre_{name}",) for name in ("gender", "age", "ethnicity", "emotion", "identity")}


@cache
def played(look: Look, room: str, unit: float, facing: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures (F, 512, 512, 3) RGB of a puppet's crop, and true keypoints (F, 133, 2) in them."""
    take = Take("scene", "", (Shot(FRAMES / 25, (Actor(look, V_ADA, unit=unit, facing=facing),), room),), sound="none")
    film = Film(take)
    box = (280, 20, 1000, 740)
    pictures = [cut(np.ascontiguousarray(film.picture(n)[:, :, ::-1]), box, SIDE) for n in range(FRAMES)]
    return pictures, map_points(film.truth().keypoints[0].astype(np.float32), box, SIDE)


def sample(
    run: Path, person_id: str, look: Look, room: str = "study", unit: float = 212.0, facing: float = 0.0
) -> dict[str, Any]:
    """A row of `samples`, its clip written into the run."""
    pictures, points = played(look, room, unit, facing)
    name = hashlib.sha256(person_id.encode()).hexdigest()[:12] + ".mp4"
    (run / "clips").mkdir(parents=True, exist_ok=True)
    write_clip(run / "clips" / name, iter(pictures), None, size=(SIDE, SIDE), crf=18, preset="veryfast", threads=1)
    clip_id = person_id.partition("#")[0]
    return {
        "person_id": person_id,
        "clip_id": clip_id,
        "video_id": clip_id.partition("/")[0],
        "frames": FRAMES,
        "keypoints": points.reshape(FRAMES, -1),
        "scores": np.where(np.isnan(points).any(-1), 0, 0.9).astype(np.float32),
        "video": f"clips/{name}",
        "video_sha256": hashlib.sha256((run / "clips" / name).read_bytes()).hexdigest(),
    }


class Nets:
    """Stands in for the model registry: these files are here, others are not."""

    def __init__(self, **paths: Path) -> None:
        self.paths = paths

    def optional(self, names: tuple[str, ...]) -> SimpleNamespace | None:
        known = [SimpleNamespace(name=name, path=self.paths[name], sha256="") for name in names if name in self.paths]
        return known[0] if known else None


def ready(run: Path, nets: Nets, **settings: Any) -> AttributesWorker:
    """A worker with its nets open."""
    return AttributesWorker.from_context(Attributes(**settings), Context(run, models=nets))  # type: ignore[arg-type]
