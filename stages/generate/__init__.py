"""Generates: a reference and a voice in; a video with the voice, its skeleton as `.npz` and Parquet out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from pipeline.backends.settings import BackendSettings
from pipeline.engine.program import Program
from pipeline.model.generation.sampling import SamplingSettings
from stages.generate.settings import InputSettings

if TYPE_CHECKING:
    from pipeline.engine.session import Session
    from pipeline.model.generation.inputs import Person, Voice
    from pipeline.model.generation.outputs import PersonMotion

FOLDER = "generated"
SUFFIXES = (".mp4", ".npz", ".parquet")  # of what is written


class Generate(SamplingSettings, InputSettings, BackendSettings, Program):
    """The reference is a picture (annotated by the run's own nets), a skeleton file, or a clip of the shards; so is the voice.

    Named neither, two held-out clips are taken: the first frame of one, the voice of another. The video is the drawn skeleton, or
    what a pose-to-video back-end makes of it.
    """

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "generate a video from a reference and a voice"
    extra: ClassVar[str] = "train"
    modules: ClassVar[tuple[str, ...]] = ("torch", "diffusers", "safetensors")

    align: Literal["auto", "always", "never"] = Field(
        "auto",
        description="bring a reference to the size and place that the model knows, and a motion onto the picture that a "
        "back-end films; auto: when it is off",
    )
    window_batch: int = Field(8, ge=1, description="windows that the network sees at a time")

    def needed_modules(self) -> tuple[str, ...]:
        return () if self.transfer else self.modules

    def run(self, session: "Session") -> None:
        import click

        from pipeline.model.generation.outputs import write
        from pipeline.tables import people
        from stages.generate.film import ALIGNMENT, brought_onto, film

        self._check_out(session)
        person, voice, moved, about, audio_of = (
            self._transferred(session) if self.transfer else self._generated(session)
        )
        if self.backend != "skeleton" and self.align != "never":
            moved = brought_onto(moved, person, click.echo)
        out = Path(self.out) if self.out else session.run / FOLDER / f"{person.name}-{voice.name}.mp4"
        videos = [people.video_of(clip) for clip in (person.clip, voice.clip)]
        made = [out.with_suffix(suffix) for suffix in (*SUFFIXES, ALIGNMENT)]
        with people.noting(session.run, made, videos):
            for path in write(out, moved, person, voice, audio_of, about):
                click.echo(f"wrote {path}")
            for path in film(self, out, moved, person, voice, click.echo, run=session.run, dry_run=self.dry_run):
                click.echo(f"wrote {path}")

    def _check_out(self, session: "Session") -> None:
        """Whether the video can be written, as far as that can be known before anything costly."""
        from pipeline.base import files
        from pipeline.model.generation.inputs import BadInput

        for name in (self.image, self.skeleton, self.audio, self.out):
            if name != name.encode("utf-8", "replace").decode():
                raise BadInput(f"{name!r}: its bytes are no UTF-8, which Parquet and JSON ask for: choose another name")
        if self.out and Path(self.out).suffix.lower() != ".mp4":
            raise BadInput(f"--out {self.out}: the video is an mp4, so let its name end in .mp4")
        taken = {Path(name).resolve() for name in (self.image, self.skeleton, self.audio) if name}
        if self.out and taken & {Path(self.out).with_suffix(suffix).resolve() for suffix in SUFFIXES}:
            raise BadInput(f"--out {self.out}: it, or a file beside it, is what this generation starts from")
        if self.out and Path(self.out).is_dir():
            raise BadInput(f"--out {self.out}: a folder has this name, choose another one")
        files.check_writable(Path(self.out).parent if self.out else session.run / FOLDER)

    def _generated(self, session: "Session") -> "tuple[Person, Voice, PersonMotion, dict[str, Any], str]":
        """What the model makes of the voice."""
        import click

        from pipeline.base.progress import Progress
        from pipeline.engine.devices import torch_device
        from pipeline.model.audio_to_skeleton import GUIDANCE_PAIRED, GUIDANCE_UNPAIRED, AudioToSkeleton
        from pipeline.model.generation.outputs import PersonMotion
        from pipeline.model.generation.placement import place
        from pipeline.model.training.checkpoint import weights_of
        from stages.generate.film import ready
        from stages.generate.inputs import find_inputs

        weights = weights_of(Path(self.model) if self.model else session.run / "training" / "model")
        model = AudioToSkeleton.load(weights, torch_device(session.profile))
        person, voice = find_inputs(self, session, model.audio_of)
        ready(self, person, dry_run=self.dry_run)
        placed = place(person, model.space, self.align, model.sure_score)
        for line in placed.notes:
            click.echo(line, err=True)
        paired = bool(person.clip) and person.clip == voice.clip
        sampling = self.sampling(GUIDANCE_PAIRED if paired else GUIDANCE_UNPAIRED)
        guidance = sampling["guidance"]
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
                **sampling,
                batch=self.window_batch,
                progress=report,
            )
        moved = PersonMotion.generated(motion.local, motion.neck, motion.scores, placed.into)
        about = {"settings": {**self._said(), "guidance": guidance}, "net": model.settings.model_dump()}
        return person, voice, moved, about, model.audio_of

    def _transferred(self, session: "Session") -> "tuple[Person, Voice, PersonMotion, dict[str, Any], str]":
        """The true motion of the voice's clip, brought onto the reference."""
        import click

        from pipeline.model.generation.inputs import BadInput
        from pipeline.model.generation.outputs import PersonMotion
        from pipeline.skeleton.align import align_motion, letterbox
        from pipeline.skeleton.layout import visible
        from stages.generate.film import ready
        from stages.generate.inputs import find_inputs

        person, voice = find_inputs(self, session, "")
        if voice.skeleton is None:
            raise BadInput("--transfer moves as a clip of the shards did: name it with --voice-clip, not --audio")
        ready(self, person, dry_run=self.dry_run)
        points, scores = voice.skeleton
        _, fitted = align_motion(visible(points, scores), visible(person.keypoints, person.scores))
        if fitted is None:
            raise BadInput(f"{person.name} and {voice.name} do not both show head and shoulders: nothing can be fitted")
        click.echo(f"{len(points)} frames of {voice.name}, moved onto {person.name}: {fitted.scale:.2f} x")
        moved = PersonMotion.transferred(fitted.apply(points).astype(np.float32), scores, letterbox(*person.size))
        return person, voice, moved, {"settings": self._said(), "fitted": {"scale": fitted.scale}}, ""

    def _said(self) -> dict[str, Any]:
        """The settings, without paths of this machine."""
        return {name: value for name, value in self.result_settings().items() if not str(value).startswith("/")}
