"""The rows of table 2, and how `evaluate` makes each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.run import BACKENDS, backend
from stages.table2.settings import Table2Settings

# As the paper writes them, by our names.
PAPER = {"mimicmotion": "MimicMotion", "echomimicv2": "EchoMimicV2", "stableanimator": "StableAnimator"}
OTHERS = ("S2G-MDDiffusion", "DiffTED")  # of the paper, which has no skeleton that a back-end could film
FINETUNED = "ours finetuned (stableanimator)"
_DAGGER = {
    "posenet_model_name_or_path": "pose_net.pth",
    "face_encoder_model_name_or_path": "face_encoder.pth",
    "unet_model_name_or_path": "unet.pth",
}


@dataclass(frozen=True)
class Wanted:
    """A row.

    Attributes:
        title: under which the evaluation's own table has it.
        paper: the paper's name of it; "" where it has none.
        settings: of `evaluate`.
        lacks: what is missing, known before anything is tried, and what to do.
    """

    title: str
    paper: str
    settings: dict[str, Any]
    lacks: str = ""


def rows(settings: Table2Settings) -> Iterator[Wanted]:
    """All rows: other systems, back-ends with the true motion, ours, and ours with the fine-tuned weights."""
    wanted = [name for name in BACKENDS if not settings.backends or name in settings.backends]
    for name in dict.fromkeys((*OTHERS, *settings.others)):
        yield _other(name, settings)
    for name in wanted:
        yield Wanted(f"transfer ({name})", PAPER.get(name, ""), {"method": "transfer", **_filmed(name, settings)})
    for name in wanted:
        paper = f"Ours ({PAPER[name]})" if name in PAPER else ""
        yield Wanted(f"ours ({name})", paper, {"method": "ours", **_filmed(name, settings)})
    if "stableanimator" in wanted:
        yield _finetuned(settings)


def _other(name: str, settings: Table2Settings) -> Wanted:
    given = settings.others.get(name, "")
    lacks = (
        f"run it over the references and voices of evaluation/{settings.protocol}/inputs (pairs.csv names its videos), then "
        f"`SET=\"table2.others={{'{name}'='FOLDER'}}\"`"
    )
    return Wanted(name, name, {"method": "folder", "folder": given, "label": name}, "" if given else lacks)


def _filmed(name: str, settings: Table2Settings) -> dict[str, Any]:
    adapter = backend(name)
    found = {"backend": name, "backend_python": settings.pythons.get(name, "")}
    if adapter.source:
        clone = Path(settings.checkouts_folder) / adapter.source.rpartition("/")[2]
        found["backend_dir"] = settings.checkouts.get(name) or str(clone)
    return found


def _finetuned(settings: Table2Settings) -> Wanted:
    folder = Path(settings.finetuned)
    weights = {which: str((folder / file).absolute()) for which, file in _DAGGER.items()}
    lacks = "its weights: download Moon-jack/Democratize-CSG from Hugging Face, then `SET=table2.finetuned=FOLDER`"
    return Wanted(
        FINETUNED,
        "Ours† (StableAnimator)",
        {
            "method": "ours",
            **_filmed("stableanimator", settings),
            "backend_weights": weights,
            "label": FINETUNED,
        },
        "" if settings.finetuned else lacks,
    )
