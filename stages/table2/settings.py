"""What table 2 is made from."""

from typing import Literal

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class Table2Settings(Settings):
    """Where back-ends, fine-tuned weights and other systems' videos are; all else is as `evaluate` has it."""

    protocol: Literal["csg405", "pats", "ted"] = Field("csg405", description="test set, as of `evaluate`")
    source: str = Field("", description="its folder, as of `evaluate`", json_schema_extra=runtime())
    model: str = Field("", description="whose motion ours is, as of `generate`", json_schema_extra=runtime())
    backends: tuple[str, ...] = Field((), description="back-ends whose rows are made; () for all")
    checkouts_folder: str = Field(
        ".",
        description="folder of the back-ends' checkouts, each by the name that `git clone` gives it",
        json_schema_extra=runtime(),
    )
    checkouts: dict[str, str] = Field(
        {}, description="checkouts that lie elsewhere: back-end -> folder", json_schema_extra=runtime()
    )
    pythons: dict[str, str] = Field(
        {}, description="interpreters, as `evaluate.backend_python`: back-end -> program", json_schema_extra=runtime()
    )
    finetuned: str = Field(
        "",
        description="folder of StableAnimator fine-tuned on CSG-405 (pose_net.pth, face_encoder.pth, unet.pth): Hugging Face "
        "Moon-jack/Democratize-CSG",
        json_schema_extra=runtime(),
    )
    others: dict[str, str] = Field(
        {},
        description="other systems' videos, as `evaluate.folder`: name of the row, such as DiffTED -> folder",
        json_schema_extra=runtime(),
    )
    trust: tuple[str, ...] = Field(
        (),
        description="nets without a known hash that are fetched and trusted as they come, such as deepface_identity for CSIM",
        json_schema_extra=runtime(),
    )
