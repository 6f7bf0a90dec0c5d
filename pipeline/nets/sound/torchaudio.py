"""Make torchaudio importable beside a CPU-only torch.

Its wheels are built for CUDA, and the extension in them does not load without it; what pyannote.audio and transformers use of it is
plain Python. So the extension is marked absent before the import, and only where torch has no CUDA.
"""

import importlib.util
import sys
import types
from typing import Any


def mark_extension_absent() -> None:
    """Replace `torchaudio._extension` by a stand-in where it cannot load; a no-op elsewhere."""
    import torch

    name = "torchaudio._extension"
    if torch.version.cuda is not None or name in sys.modules or importlib.util.find_spec("torchaudio") is None:
        return
    absent: Any = types.ModuleType(name)
    absent._IS_TORCHAUDIO_EXT_AVAILABLE = absent._IS_ALIGN_AVAILABLE = False
    absent.fail_if_no_align = lambda function: function
    absent._check_cuda_version = lambda: None
    sys.modules[name] = absent
