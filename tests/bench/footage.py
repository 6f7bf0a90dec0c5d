"""What the benches look at: real clips and nets where the assets are, a demo take where they are not."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.engine.stage import Context, Stage, Work
from pipeline.engine.unit import Unit
from pipeline.media.probe import Probe, probe
from tests.bench.table import Skipped, cores

ASSETS = Path(os.environ.get("CSG405_TEST_ASSETS") or Path(__file__).parents[3] / "shared")
SPEAKER = "latentsync_demo3"
TAKE = "long"
VIDEO = "file:" + "0" * 16
CLIP = f"{VIDEO}/0+250"


@dataclass(frozen=True)
class Footage:
    """A video and its facts."""

    name: str
    path: Path
    facts: Probe

    def row(self) -> dict[str, object]:
        """As a row of the `videos` table, for a run folder in which the file lies by its absolute path."""
        facts = self.facts
        columns = {name: getattr(facts, name) for name in ("width", "height", "source_fps", "audio_codec")}
        return {"video_id": VIDEO, "path": str(self.path), "sha256": "", "footage": None, **columns}


def asset(path: str) -> Path:
    """A file of the assets; Skipped where it is absent."""
    found = ASSETS / path
    if not found.exists():
        raise Skipped(f"{path} is not among the assets (CSG405_TEST_ASSETS)")
    return found


def clip(name: str) -> Footage:
    """A real clip; Skipped where it is absent."""
    path = asset(f"clips/{name}.mp4")
    return Footage(name, path, probe(path))


def take(folder: Path, name: str = TAKE) -> Footage:
    """A take of the demo, rendered once a folder."""
    from pipeline.theatre import Film, take_named
    from pipeline.theatre.coding import write_film

    path = folder / take_named(name).file
    if not path.exists():
        write_film(Film(take_named(name), 405), path)
    return Footage(f"demo take {name}", path, probe(path))


def speaker(folder: Path) -> Footage:
    """One speaker for 20 s: the real one where the assets are, else a puppet."""
    try:
        return clip(SPEAKER)
    except Skipped:
        return take(folder)


def unit(footage: Footage, first: int = 0, frames: int = 0, **rows: Mapping[str, object]) -> Unit:
    """A clip of the footage, with more rows by table kind."""
    cut = {"clip_id": CLIP, "video_id": VIDEO, "first_frame": first, "frames": frames}
    kinds = {"clips": cut, "videos": footage.row(), **rows}
    return Unit(CLIP, {kind: [dict(row)] for kind, row in kinds.items()})


def ready(
    stage: Stage, folder: Path, resolve: Callable[[tuple[str, ...]], Path] | None = None, device: str = "cpu"
) -> Work:
    """A worker of the stage for this machine; `resolve` finds its nets."""
    return stage.worker(context(folder, resolve, device))


def context(folder: Path, resolve: Callable[[tuple[str, ...]], Path] | None = None, device: str = "cpu") -> Context:
    """What a worker of this machine is told; `resolve` finds its nets."""
    models: Any = resolve and SimpleNamespace(
        resolve=lambda names, precision="fp32": SimpleNamespace(name=names[0], path=resolve(names), original=None)
    )
    return Context(run=folder, device=device, threads=cores(), models=models)
