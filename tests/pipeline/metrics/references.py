"""Other people's implementations of the same metrics."""

from typing import Any

import pytest


def torchmetrics() -> Any:
    """The package; skips where it is not installed."""
    pytest.importorskip("torch", reason="torchmetrics runs on torch")
    from pipeline.nets.sound.torchaudio import mark_extension_absent

    mark_extension_absent()
    return pytest.importorskip("torchmetrics", reason="the reference is torchmetrics")
