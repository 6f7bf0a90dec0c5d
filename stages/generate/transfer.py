"""The true motion of a clip, brought onto a reference."""

import click
import numpy as np

from pipeline.engine.session import Session
from pipeline.model.generation.inputs import BadInput
from pipeline.model.generation.outputs import PersonMotion
from pipeline.skeleton.align import align_motion, letterbox
from pipeline.skeleton.layout import visible
from stages.generate.film import ready
from stages.generate.inputs import find_inputs
from stages.generate.motion import Motion
from stages.generate.settings import GenerateSettings


def transferred(settings: GenerateSettings, session: Session) -> Motion:
    """Fit the true motion of the voice's clip to the reference. Raises BadInput."""
    person, voice = find_inputs(settings, session, "")
    if voice.skeleton is None:
        raise BadInput("--transfer moves as a clip of the shards did: name it with --voice-clip, not --audio")
    ready(settings, person, dry_run=settings.dry_run)
    points, scores = voice.skeleton
    _, fitted = align_motion(visible(points, scores), visible(person.keypoints, person.scores))
    if fitted is None:
        raise BadInput(f"{person.name} and {voice.name} do not both show head and shoulders: nothing can be fitted")
    click.echo(f"{len(points)} frames of {voice.name}, moved onto {person.name}: {fitted.scale:.2f} x")
    moved = PersonMotion.transferred(fitted.apply(points).astype(np.float32), scores, letterbox(*person.size))
    about = {"settings": settings.without_paths(), "fitted": {"scale": fitted.scale}}
    return Motion(person, voice, moved, about, "")
