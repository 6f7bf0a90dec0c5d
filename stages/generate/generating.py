"""Motions that the trained model makes of a voice."""

from collections.abc import Mapping
from typing import Any

import click

from pipeline.base.progress import Progress
from pipeline.engine.devices import torch_device
from pipeline.engine.session import Session
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.generation.outputs import PersonMotion
from pipeline.model.generation.placement import place
from pipeline.model.generation.silence import silence_of
from pipeline.model.training.checkpoint import model_of, weights_of
from stages.generate.film import ready
from stages.generate.inputs import find_inputs
from stages.generate.motion import Motion
from stages.generate.settings import GenerateSettings


def generated(settings: GenerateSettings, session: Session) -> Motion:
    """Generate a motion from a voice, led by a reference. Raises BadInput."""
    weights = weights_of(model_of(settings.model, session.run / "training"))
    model = AudioToSkeleton.load(weights, torch_device(session.profile))
    person, voice = find_inputs(settings, session, model.audio_of)
    ready(settings, person, dry_run=settings.dry_run)
    placed = place(person, model.space, settings.align, model.sure_score)
    for line in placed.notes:
        click.echo(line, err=True)
    paired = bool(person.clip) and person.clip == voice.clip
    sampling = settings.sampling(paired=paired, published=model.published)
    used = {name: sampling[name] for name in ("guidance", "begin_at_reference", "smooth", "sampler")}
    click.echo(
        f"{len(voice.features)} frames of {voice.name}, led by {person.name}, guidance {used['guidance']:g}, {weights}"
    )
    click.echo(_in_words(sampling, published=model.published))
    silence = silence_of(voice.wave, session.models)
    click.echo(f"{voice.name}: {silence}")
    with Progress("generate", 0) as progress:

        def report(done: int, steps: int) -> None:
            progress.resize(steps)
            progress.advance("steps")

        motion = model.generate(
            voice.features,
            placed.reference,
            **sampling,
            batch=settings.window_batch,
            progress=report,
        )
    moved = PersonMotion.generated(motion.local, motion.neck, motion.scores, placed.into)
    about = {
        "settings": {**settings.without_paths(), **used},
        "net": model.settings.model_dump(),
        "without_speech_seconds": silence.spans,
    }
    return Motion(person, voice, moved, about, model.audio_of)


def _in_words(sampling: Mapping[str, Any], *, published: bool) -> str:
    """One line: how the motion is sampled, and whose defaults these are."""
    (low, high), rescale = sampling["guidance_interval"], sampling["guidance_rescale"]
    guided = f"guided from {low:g} to {high:g}, " if (low, high) != (0, 1) else ""
    guided += f"rescaled by {rescale:g}, " if rescale else ""
    if guided and sampling["guidance"] == 1:
        guided = "nothing guided at guidance 1, wherever it is to be, "
    return (
        f"{guided}sampler {sampling['sampler']}, {sampling['begin_at_reference']} frames at the reference, "
        f"smoothing {sampling['smooth']}; "
        f"what was not asked for is {'as in the paper, whose recipe this model has' if published else 'ours'}"
    )
