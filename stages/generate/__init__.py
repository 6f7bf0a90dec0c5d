"""Generates skeletons: a reference and a voice in, a skeleton video with the voice, `.npz` and Parquet out."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.stage import Program

if TYPE_CHECKING:
    from pipeline.cli_session import Session

FOLDER = "generated"
SUFFIXES = (".mp4", ".npz", ".parquet")  # of what is written


class Generate(Program):
    """The reference is a picture (annotated by the run's own nets), a skeleton file, or a clip of the shards; so is the voice.

    Named neither, two held-out clips are taken: the first frame of one, the voice of another.
    """

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "generate a skeleton video from a reference and a voice"
    extra: ClassVar[str] = "train"
    modules: ClassVar[tuple[str, ...]] = ("torch", "diffusers", "safetensors")

    model: str = Field(
        "", description="weights, a checkpoint, or a training folder; the run's `training/model` by default"
    )
    image: str = Field("", description="picture of the reference: PNG, JPEG or WebP")
    skeleton: str = Field("", description="or its skeleton: .npz with keypoints (133, 2) or (F, 133, 2), scores, size")
    reference_clip: str = Field("", description="or a clip of the shards, by clip_id: its first frame")
    audio: str = Field("", description="the voice: any file with sound")
    voice_clip: str = Field("", description="or the voice of a clip of the shards, by clip_id")
    shards: str = Field("", description="folder of shards; the run's by default")
    out: str = Field("", description="the video; .npz and .parquet beside it. `generated/` in the run by default")
    guidance: float | None = Field(
        None,
        ge=0,
        le=20,
        description="classifier-free guidance scale; 3.5, or 1 where reference and voice are of one clip",
    )
    sampler: Literal["ancestral", "ddim", "dpm"] = Field(
        "ancestral", description="ancestral: 100 steps as the release; ddim, dpm: DPM-Solver++ in 10 to 20"
    )
    sampler_steps: int = Field(0, ge=0, le=100, description="network calls; 0: 100 for ancestral, else 20")
    seed: int = Field(0, ge=0, lt=2**31, description="another number draws another motion")
    overlap_frames: int = Field(50, ge=0, description="that neighbouring windows share at least, at 25 fps")
    align: Literal["auto", "always", "never"] = Field(
        "auto", description="bring a reference to the size and place that the model knows; auto: when it is off"
    )
    window_batch: int = Field(8, ge=1, description="windows that the network sees at a time")

    @model_validator(mode="after")
    def _steps_fit(self) -> "Generate":
        if self.sampler == "ddim" and self.sampler_steps and 100 % self.sampler_steps:
            raise ValueError(
                f"ddim takes 1, 2, 4, 5, 10, 20, 25, 50 or 100 steps, not {self.sampler_steps}: dpm takes any"
            )
        return self

    def run(self, session: "Session") -> None:
        import click

        from pipeline.cli_run import torch_device
        from pipeline.generation.given import BadInput
        from pipeline.generation.outputs import write
        from pipeline.generation.place import place
        from pipeline.nets.audio_to_skeleton import GUIDANCE_PAIRED, GUIDANCE_UNPAIRED, AudioToSkeleton
        from pipeline.progress import Progress
        from pipeline.training.checkpoint import weights_of
        from stages.generate.inputs import find_inputs

        if self.out and Path(self.out).suffix.lower() != ".mp4":
            raise BadInput(f"--out {self.out}: the video is an mp4, so let its name end in .mp4")
        taken = {Path(name).resolve() for name in (self.image, self.skeleton, self.audio) if name}
        if self.out and taken & {Path(self.out).with_suffix(suffix).resolve() for suffix in SUFFIXES}:
            raise BadInput(f"--out {self.out}: it, or a file beside it, is what this generation starts from")
        weights = weights_of(Path(self.model) if self.model else session.run / "training" / "model")
        model = AudioToSkeleton.load(weights, torch_device(session.profile))
        person, voice = find_inputs(self, session, model.audio_of)
        placed = place(person, model.space, self.align)
        for line in placed.said:
            click.echo(line, err=True)
        out = Path(self.out) if self.out else session.run / FOLDER / f"{person.name}-{voice.name}.mp4"
        paired = bool(person.clip) and person.clip == voice.clip
        guidance = self.guidance if self.guidance is not None else GUIDANCE_PAIRED if paired else GUIDANCE_UNPAIRED
        click.echo(
            f"{len(voice.features)} frames of {voice.name}, led by {person.name}, guidance {guidance:g}, {weights}"
        )
        with Progress("generate", 0) as progress:

            def report(done: int, steps: int) -> None:
                progress.resize(steps)
                progress.advance("steps")

            motion = model.generate(
                voice.features,
                placed.reference,
                guidance=guidance,
                sampler=self.sampler,
                steps=self.sampler_steps,
                seed=self.seed,
                overlap=self.overlap_frames,
                batch=self.window_batch,
                progress=report,
            )
        for path in write(out, motion, placed, person, voice, {**self.result_settings(), "guidance": guidance}, model):
            click.echo(f"wrote {path}")
