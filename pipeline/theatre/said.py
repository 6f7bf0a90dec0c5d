"""What the puppets are said to be: planted, so that what the theatre's face nets answer can be told right from wrong.

Nothing follows from how a puppet looks; the words are those that DeepFace's nets know.
"""

from dataclasses import dataclass

from pipeline.theatre import takes
from pipeline.theatre.cast import Look


@dataclass(frozen=True)
class Said:
    """Of one look: its name, and the labels of `pipeline.nets.face.attributes.LABELS` that are said of it."""

    name: str
    gender: str
    age_years: int
    ethnicity: str
    emotion: str


SAID: dict[Look, Said] = {
    takes.ADA: Said("ada", "female", 34, "White", "Neutral"),
    takes.BEN: Said("ben", "male", 41, "Black", "Happy"),
    takes.CAI: Said("cai", "female", 27, "Asian", "Neutral"),
    takes.DOV: Said("dov", "male", 58, "White", "Surprise"),
    takes.EVA: Said("eva", "female", 31, "Latino Hispanic", "Happy"),
    takes.FYN: Said("fyn", "male", 24, "White", "Happy"),
    takes.GIA: Said("gia", "female", 37, "Indian", "Surprise"),
    takes.HAL: Said("hal", "male", 45, "Middle Eastern", "Neutral"),
}
