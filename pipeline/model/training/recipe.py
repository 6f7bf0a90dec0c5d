"""The recipe of a training run: every setting that affects the result, and those that affect only its speed."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pipeline.engine.settings import Settings, runtime

if TYPE_CHECKING:  # they import torch, and a profile that is only read must not wait for it
    from pipeline.model.dit import NetSettings
    from pipeline.model.training.batch import Augmentation


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]  # `--speaker ID` is a list of one


class Recipe(Settings):
    """Training settings; the defaults are ours, profile `train-paper` has the paper's."""

    # The network
    arch: Literal["dit", "release"] = Field("dit", description="dit: the paper's; release: the encoder of the scripts")
    size: Literal["tiny", "base", "large"] = Field(
        "base", description="layers x width: tiny 4 x 192, base 8 x 512, large 16 x 1024 (the paper's release)"
    )
    keypoints: Literal[133, 123] = Field(133, description="123 leaves out knees, ankles and feet, as the release does")
    neck: bool = Field(
        False, description="model the neck's way too; the paper does not, and puts it at the reference's"
    )
    ablate: Literal["", "reference", "concat", "local"] = Field(
        "", description="table 3: without the reference, cross-attention in place of concat, without local coordinates"
    )
    modulation: Literal["block", "single"] = Field(
        "block",
        description="by the time step: block, a projection in each block, as the paper; single, one for all (adaLN-single), which "
        "saves a third of the weights",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="in every block; the release uses 0.1")
    window_frames: int = Field(250, ge=8, le=5000, description="frames the network sees at once, at 25 fps")
    # The start
    start_from: str = Field(
        "",
        description="a model whose weights are the beginning: a file, an imported one too, or the name of a training of the run",
        json_schema_extra=runtime(),  # the provenance says which file it was
    )
    start_statistics: Literal["model", "means", "shards"] = Field(
        "model",
        description="means and spreads: model, those that the weights were trained with; means, its spreads and the shards' means, "
        "so that a new speaker is to the weights as the average of theirs; shards, both the shards'",
    )
    start_refit: int = Field(
        -1,
        ge=-1,
        description="batches on which the start's last layer is fitted to the shards by least squares, before the first step; 0: "
        "it stays; -1: 25 with start_statistics=shards, else 0, and 0 where it is frozen",
    )
    freeze: Names = Field(
        (), description="weights of the start that stay, by name, such as blocks.0.*; see the model's README"
    )
    lora_rank: int = Field(
        0, ge=0, description="LoRA: the start stays, adapters of this rank on its layers are trained; 0: off"
    )
    lora_alpha: int = Field(0, ge=0, description="an adapter's update is scaled by alpha / rank; 0: by 1")
    lora_layers: Names = Field(
        (), description="linear layers that have adapters, such as blocks.*.qkv; none: attention and MLPs"
    )
    # The data
    speaker: Names = Field((), description="only clips of these, of the shards' column speaker; none: all")
    min_score: float = Field(0.7, ge=0, le=1, description="points scored lower are zeroed and left out of the loss")
    augment_scale: float = Field(0.0, ge=0, lt=0.5, description="largest random change of size, as a share")
    augment_rotation_deg: float = Field(0.0, ge=0, le=45, description="largest random turn in the picture, degrees")
    augment_mirror: float = Field(0.0, ge=0, le=1, description="share of samples mirrored, left and right swapped")
    # The steps
    steps: int = Field(200_000, ge=1, description="optimiser steps in all")
    batch: int = Field(128, ge=1, description="windows a step, over all processes")
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="the paper says Adam, the release AdamW")
    learning_rate: float = Field(1e-4, gt=0, description="its peak")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")
    schedule: Literal["constant", "cosine"] = Field("constant", description="of the learning rate after the warm-up")
    warmup_steps: int = Field(1000, ge=0, description="over which the learning rate rises from 0")
    clip_norm: float = Field(1.0, ge=0, description="gradients are scaled down to this norm; 0: never")
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="of the averaged weights that generate; 0: none")
    loss: Literal["points", "parts"] = Field(
        "points",
        description="points: every number counts once, as in the release; parts: body, face and each hand weigh the same, so that "
        "13 points of a body are not drowned by 110 of face and hands",
    )
    velocity_loss: float = Field(
        0.0,
        ge=0,
        description="weight of the squared error of velocities, frame to frame, beside that of places; 0: none",
    )
    null_audio: float = Field(0.1, ge=0, lt=1, description="share of samples that hear the learned null vector")
    lead_still: float = Field(0.3, ge=0, le=1, description="release: share of samples whose lead is its last frame")
    seed: int = Field(0, ge=0, lt=2**31, description="another number draws everything anew")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on a GPU, fp32 on a processor")
    skip_in_a_row: int = Field(
        10,
        ge=1,
        description="a step whose gradient is not finite is skipped; after so many in a row the run stops",
        json_schema_extra=runtime(),
    )
    # How it runs
    deterministic: bool = Field(
        False, description="ask torch for operations that repeat to the bit; slower", json_schema_extra=runtime()
    )
    micro_batch: int = Field(
        0, ge=0, description="windows at a time on a device; 0: as many as fit, found out", json_schema_extra=runtime()
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="torch.compile; auto: on a GPU", json_schema_extra=runtime()
    )
    readers: int = Field(
        -1, ge=-1, description="processes that read ahead; -1: 4 beside a GPU, else none", json_schema_extra=runtime()
    )
    process_timeout_minutes: float = Field(
        30.0,
        gt=0,
        description="how long processes wait for one that does not answer; longer than a validation takes",
        json_schema_extra=runtime(),
    )
    # What is kept
    log_every: int = Field(
        50, ge=1, description="steps from one line of losses to the next", json_schema_extra=runtime()
    )
    validate_every: int = Field(2000, ge=1, description="steps", json_schema_extra=runtime())
    validation_windows: int = Field(256, ge=1, description="windows of a validation", json_schema_extra=runtime())
    generate_every: int = Field(
        0,
        ge=0,
        description="steps from one measurement of generated validation clips to the next: mouth to sound, limbs, jitter; 0: never",
        json_schema_extra=runtime(),
    )
    generate_clips: int = Field(4, ge=1, description="that are generated and measured", json_schema_extra=runtime())
    trackers: Annotated[tuple[Literal["tensorboard", "wandb"], ...], BeforeValidator(_one_or_more)] = Field(
        ("tensorboard",),
        description="that have the numbers beside metrics.jsonl; wandb where it is installed",
        json_schema_extra=runtime(),
    )
    sample_every: int = Field(
        10_000, ge=0, description="steps from one drawn sample to the next; 0: none", json_schema_extra=runtime()
    )
    checkpoint_every: int = Field(5000, ge=1, description="steps", json_schema_extra=runtime())
    keep_checkpoints: int = Field(3, ge=1, description="the last so many stay", json_schema_extra=runtime())
    milestone_every: int = Field(
        100_000,
        ge=0,
        description="steps from one milestone to the next, which all stay: the weights that generate; 0: none",
        json_schema_extra=runtime(),
    )

    @property
    def as_released(self) -> bool:
        """Whether masks and loss are those of the authors' scripts, which go with their network."""
        return self.arch == "release"

    def net(self) -> "NetSettings":
        """The network's settings."""
        from pipeline.model.dit import NetSettings

        names = ("arch", "size", "keypoints", "neck", "window_frames", "ablate", "dropout", "modulation")
        return NetSettings(**{name: getattr(self, name) for name in names})

    def augmentation(self) -> "Augmentation":
        """The augmentation's settings."""
        from pipeline.model.training.batch import Augmentation

        return Augmentation(self.augment_scale, self.augment_rotation_deg, self.augment_mirror)
