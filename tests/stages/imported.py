"""A model of the authors' weights as `csg405 import-model` writes it, and who listens in wav2vec's place."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli.main import main
from pipeline.nets.sound import wav2vec
from pipeline.registry.models import Registry


def imported(folder: Path) -> Path:
    """The model, of planted weights in their form."""
    from tests.pipeline.model import released  # brings torch, which not every machine has

    checkpoint, mean, std = map(str, released.write(folder))
    out = folder / "new" / "authors.safetensors"
    call = ["import-model", checkpoint, "--mean", mean, "--std", std, "--size", "tiny", "--out", str(out)]
    ended = CliRunner().invoke(main, call)
    assert ended.exit_code == 0, ended.output
    assert "audio features wav2vec2-base-960h/12/release" in ended.output and f"wrote {out}" in ended.output
    return out


def listening(patch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Put a net in wav2vec's place that hears how loud it is; returns the shapes of what it is given, as they come."""
    heard: list[tuple[int, ...]] = []

    class Net:
        def __init__(self, weights: Path, device: str) -> None:
            assert weights == Path("wav2vec2.safetensors")

        def states(self, waves: np.ndarray, layer: int) -> np.ndarray:
            heard.append(waves.shape)
            loud = np.abs(waves[:, : 499 * 320]).reshape(len(waves), 499, 320).mean(2, keepdims=True)
            return np.repeat(loud, wav2vec.WIDTH, 2).astype(np.float32)

    known = Registry.resolve

    def resolve(self: Registry, names: Any, precision: str = "fp32") -> Any:
        if "wav2vec2" in names:
            return SimpleNamespace(path=Path("wav2vec2.safetensors"))
        return known(self, names, precision)

    patch.setattr(wav2vec, "opened", Net)
    patch.setattr(Registry, "resolve", resolve)
    return heard
