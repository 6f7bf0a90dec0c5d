"""The motion of a generation, and what it was made from."""

from dataclasses import dataclass
from typing import Any

from pipeline.model.generation.inputs import Person, Voice
from pipeline.model.generation.outputs import PersonMotion


@dataclass(frozen=True)
class Motion:
    """A motion, before it is filmed.

    Attributes:
        person: of the reference.
        voice: whose sound the video has.
        moved: keypoints and scores in the reference's picture.
        about: what the outputs say of it: settings, and the net or the fit.
        audio_of: what made the audio features; "" where there are none.
    """

    person: Person
    voice: Voice
    moved: PersonMotion
    about: dict[str, Any]
    audio_of: str
