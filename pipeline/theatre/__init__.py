"""A theatre of puppets: short videos whose every keypoint is known, and the nets that see them.

The demo crawls them, and the tests measure against them. Everything follows from a seed.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.theatre.film import Film, Truth, render_take
    from pipeline.theatre.nets import build_nets
    from pipeline.theatre.programme import PROGRAMMES, take_named
    from pipeline.theatre.render import build, truth
    from pipeline.theatre.server import serve
    from pipeline.theatre.takes import TAKES, Actor, Shot, Take

__all__ = [
    "PROGRAMMES", "TAKES", "Actor", "Film", "Shot", "Take", "Truth", "build", "build_nets", "render_take", "serve",
    "take_named", "truth",
]  # fmt: skip

_HOMES = {
    "film": ("Film", "Truth", "render_take"),
    "nets": ("build_nets",),
    "programme": ("PROGRAMMES", "take_named"),
    "render": ("build", "truth"),
    "server": ("serve",),
    "takes": ("TAKES", "Actor", "Shot", "Take"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: to know the names of the takes nobody needs a painter, nor onnx."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pipeline.theatre.{module}"), name)
    raise AttributeError(f"pipeline.theatre has no {name}")
