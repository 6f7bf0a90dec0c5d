"""A generation from end to end: inputs, motion, arrays, video."""

from pathlib import Path

import click

from pipeline.base import files
from pipeline.engine.session import Session
from pipeline.model.generation.inputs import BadInput
from pipeline.model.generation.outputs import write
from pipeline.tables import people
from stages.generate.film import ALIGNMENT, brought_onto, film
from stages.generate.settings import GenerateSettings
from stages.generate.transfer import transferred

FOLDER = "generated"
SUFFIXES = (".mp4", ".npz", ".parquet")  # of what is written


def run(settings: GenerateSettings, session: Session) -> None:
    """Write the arrays and the video. Raises BadInput, BackendError."""
    _check_out(settings, session)
    if settings.transfer:
        motion = transferred(settings, session)
    else:
        from stages.generate.generating import generated  # torch, which a transfer does without

        motion = generated(settings, session)
    person, voice, moved = motion.person, motion.voice, motion.moved
    if settings.backend != "skeleton" and settings.align != "never":
        moved = brought_onto(moved, person, click.echo)
    out = Path(settings.out) if settings.out else session.run / FOLDER / f"{person.name}-{voice.name}.mp4"
    videos = [people.video_of(clip) for clip in (person.clip, voice.clip)]
    made = [out.with_suffix(suffix) for suffix in (*SUFFIXES, ALIGNMENT)]
    with people.noting(session.run, made, videos):
        for path in write(out, moved, person, voice, motion.audio_of, motion.about):
            click.echo(f"wrote {path}")
        for path in film(settings, out, moved, person, voice, click.echo, run=session.run, dry_run=settings.dry_run):
            click.echo(f"wrote {path}")


def _check_out(settings: GenerateSettings, session: Session) -> None:
    """Check that the video can be written, as far as that can be known before anything costly. Raises BadInput."""
    for name in (settings.image, settings.skeleton, settings.audio, settings.out):
        if name != name.encode("utf-8", "replace").decode():
            raise BadInput(f"{name!r}: its bytes are no UTF-8, which Parquet and JSON ask for: choose another name")
    if settings.out and Path(settings.out).suffix.lower() != ".mp4":
        raise BadInput(f"--out {settings.out}: the video is an mp4, so let its name end in .mp4")
    taken = {Path(name).resolve() for name in (settings.image, settings.skeleton, settings.audio) if name}
    if settings.out and taken & {Path(settings.out).with_suffix(suffix).resolve() for suffix in SUFFIXES}:
        raise BadInput(f"--out {settings.out}: it, or a file beside it, is what this generation starts from")
    if settings.out and Path(settings.out).is_dir():
        raise BadInput(f"--out {settings.out}: a folder has this name, choose another one")
    files.check_writable(Path(settings.out).parent if settings.out else session.run / FOLDER)
