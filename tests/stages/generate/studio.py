"""A run to generate in, and who is generated."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.base.units import SAMPLE_RATE
from pipeline.cli.faults import Fault, errors_in_a_line
from pipeline.engine.session import Session
from pipeline.media.audio import write_wav
from pipeline.shards.read import as_rows
from pipeline.skeleton import layout
from pipeline.theatre import planted
from stages.generate import Generate

ROOT = Path(__file__).parents[3]
WINDOW = 40  # frames
QUICK = {"sampler": "ddim", "sampler_steps": 2, "overlap_frames": 8}
BOTH = [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]


class Place:
    """A run folder over what was made, and ways to generate in it."""

    def __init__(self, made: Path, folder: Path) -> None:
        self.made, self.folder, self.run = made, folder, folder / "run"
        self.model = made / "model.safetensors"
        self.run.mkdir()
        (self.run / "shards").symlink_to(made / "shards")
        self.out = folder / "out" / "out.mp4"

    def session(self) -> Session:
        """As the command line builds it."""
        return Session("demo", str(self.run), "", "", "", str(self.made / "nets"), ["machine.device=cpu"], ["generate"])

    def settings(self, **more: Any) -> Generate:
        paths = {"model": str(self.model), "out": str(self.out)}
        return Generate(**{**QUICK, **paths, **{k: str(v) if isinstance(v, Path) else v for k, v in more.items()}})

    def generate(self, **more: Any) -> dict[str, Any]:
        """What stands in the .npz afterwards, `about` as JSON."""
        self.settings(**more).run(self.session())
        return arrays_of(self.out)

    def refused(self, **more: Any) -> str:
        """The one line in which it is refused; nothing is left."""
        with pytest.raises(Fault) as caught, errors_in_a_line():
            self.settings(**more).run(self.session())
        message = caught.value.message
        assert message and "\n" not in message.strip()
        assert not [path for path in (*self.out.parent.glob("*"), *self.run.glob("generated/*")) if path.is_file()]
        return message

    def wav(self, seconds: float = 1.2, rate: int = SAMPLE_RATE, channels: int = 1) -> Path:
        """A voice of this length."""
        clock = np.arange(round(seconds * rate)) / rate
        wave = 0.4 * np.sin(2 * np.pi * (200 * clock + 300 * clock**2)) * np.minimum(1, 5 * clock)
        path = self.folder / f"voice-{rate}-{channels}.wav"
        write_wav(path, np.repeat(wave[:, None], channels, 1) if channels > 1 else wave, rate)
        return path

    def npz(self, keypoints: np.ndarray, name: str = "reference.npz", **more: Any) -> Path:
        path = self.folder / name
        np.savez(path, keypoints=keypoints, **more)
        return path


def arrays_of(out: Path) -> dict[str, Any]:
    with np.load(out.with_suffix(".npz"), allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    return {**found, "about": json.loads(str(found["about"]))}


def somebody(made: Path, scale: float = 1.0, moved: tuple[float, float] = (0, 0)) -> np.ndarray:
    """(133, 2) px of a 512 crop: a speaker of medium size, larger or smaller about the neck, or elsewhere."""
    from pipeline.model.audio_to_skeleton import AudioToSkeleton  # brings torch, which not every machine has

    points = planted.pair(planted.speaker(6), 5, [1]).keypoints[0]
    neck = points[BOTH].mean(0)
    space = AudioToSkeleton.load(made / "model.safetensors").space
    width = float(space.framing[0, 1]) / np.linalg.norm(points[BOTH[0]] - points[BOTH[1]])
    return np.asarray((points - neck) * width * scale + space.framing[1:, 1].numpy() + moved)


def wide(keypoints: np.ndarray) -> float:
    """Median shoulder width, px."""
    return float(np.median(np.linalg.norm(keypoints[..., BOTH[0], :] - keypoints[..., BOTH[1], :], axis=-1)))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(as_rows(pq.read_table(path)))
