"""What an evaluation can be told: a test set, its pairs, and whose videos of them."""

from typing import Literal

from pydantic import Field

from pipeline.backends.settings import BackendSettings
from pipeline.base.strict import Strict
from pipeline.engine.settings import Settings, runtime
from pipeline.model.generation.sampling import SamplingSettings
from stages.evaluate.gpus import Gpus


class ProtocolSettings(Strict):
    """The test set, the pairs that are drawn from it, and the method whose videos are scored."""

    protocol: Literal["csg405", "pats", "ted"] = Field(
        "csg405", description="test set: the shards' own, or PATS or TED-talks from --source"
    )
    method: Literal["ours", "transfer", "folder"] = Field(
        "ours", description="generated from sound; the true motion transferred; or the videos in --folder"
    )
    source: str = Field(
        "",
        description="folder of shards (the run's by default), or of the files of PATS or TED-talks",
        json_schema_extra=runtime(),
    )
    frames_fps: float = Field(
        25.0,
        gt=0,
        le=240,
        description="frames a second of clips of PATS and TED-talks that are folders of frames, and of TED-talks in silent videos "
        "of 10 fps: `load_videos.py` keeps every frame and says 10 of all",
    )
    split: Literal["train", "validation", "test", "all"] = Field(
        "test", description="of the shards; what a model was trained on says nothing of it"
    )
    settings: tuple[Literal["paired", "unpaired"], ...] = Field(
        ("paired", "unpaired"), description="of table 2: SSIM and PSNR are paired, the other measures unpaired"
    )
    pairs: str = Field(
        "",
        description="list of pairs in place of these: a voice's and a reference's name a line, or one for both",
        json_schema_extra=runtime(),
    )
    pairs_seed: int = Field(405, ge=0, description="of the unpaired list; another number draws another")
    limit: int = Field(0, ge=0, description="clips of the test set, drawn once and for all; 0 takes all")
    folder: str = Field(
        "",
        description="another system's videos: paired/NAME.mp4, unpaired/REFERENCE__VOICE.mp4, as in pairs.csv",
        json_schema_extra=runtime(),
    )
    label: str = Field(
        "", pattern=r"^[\w .()+-]{0,60}$", description="of the method in the table", json_schema_extra=runtime()
    )
    model: str = Field("", description="as of `generate`", json_schema_extra=runtime())


class EvaluateSettings(SamplingSettings, ProtocolSettings, BackendSettings, Settings):
    """All of it, with the nets that score."""

    window_batch: int = Field(8, ge=1, description="as of `generate`", json_schema_extra=runtime())
    gpus: Gpus = Field(
        (),
        description="a worker for each of these GPUs, as CUDA_VISIBLE_DEVICES names them, such as 0,1; by default one worker films",
        json_schema_extra=runtime(),
    )
    keep_open: bool = Field(
        True,
        description="open a back-end's weights once a worker; false: a process a clip, as for a checkout of another version",
        json_schema_extra=runtime(),
    )
    shard: str = Field(
        "",
        pattern=r"^(\d+/\d+)?$",
        description="film and score only the I-th of N parts of the pairs, such as 0/2; the table is written without it",
        json_schema_extra=runtime(),
    )
    fit: bool = Field(
        True,
        description="fit a transferred motion to the reference's head, shoulders and hips, and a generated one where it is off",
    )
    faces: Literal["auto", "skeleton", "annotate"] = Field(
        "auto",
        description="where faces are: where the skeleton says that the video follows, or where the profile's nets find them; "
        "auto: skeleton in the true videos, annotate in all others",
    )
    fvd_frames: int = Field(16, ge=9, description="frames of a span that I3D looks at; the paper does not say")
    inception: tuple[str, ...] = Field(("inception",), description="net of FID in the model registry; () leaves it out")
    i3d: tuple[str, ...] = Field(("i3d",), description="net of FVD; () leaves it out")
    inputs_only: bool = Field(
        False,
        description="only write references, voices and pairs.csv, for other systems to work on",
        json_schema_extra=runtime(),
    )
