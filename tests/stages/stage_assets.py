"""Real nets and clips that some tests use; they live beside the repository, and such tests skip where they do not."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
ASSETS = Path(os.environ.get("CSG405_TEST_ASSETS") or ROOT.parent / "shared")
FILES = {"silero_vad": "silero_vad.onnx", "yolox_nano": "yolox_nano_416.onnx", "lite133": "lite133.onnx"}


def asset(name: str) -> Path:
    """The path of a shared test file; skips the test where it is absent."""
    path = ASSETS / name
    if not path.exists():
        pytest.skip(f"needs {name} under CSG405_TEST_ASSETS ({ASSETS})")
    return path


class AssetModels:
    """Stands in for the model registry: resolves names to shared files, and to files given by hand.

    Args:
        originals: of nets that were turned into ONNX, the file that they were made of.
        paths: the files by name.
    """

    def __init__(self, originals: Mapping[str, Path] = {}, **paths: Path) -> None:
        self._originals, self._paths = originals, paths

    def resolve(self, names: tuple[str, ...], precision: str = "fp32") -> SimpleNamespace:
        for name in names:
            if name in self._paths:
                return SimpleNamespace(
                    name=name, path=self._paths[name], sha256="0" * 64, original=self._originals.get(name)
                )
        known = next(name for name in names if name in FILES)
        return SimpleNamespace(name=known, path=asset(f"models/{FILES[known]}"), sha256="0" * 64, original=None)
