"""How a puppet looks and speaks. Whoever only reads the programme needs no painter and no resampler for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a puppet looks; the names are keys of the palette.

    Attributes:
        skin, hair, top, bottom: colours.
        hair_style: long, bun, short or curly.
        top_style: jacket, sweater or shirt.
        glasses: whether it wears them.
    """

    skin: str = "fair"
    hair: str = "brown"
    top: str = "navy"
    bottom: str = "charcoal"
    hair_style: str = "short"
    top_style: str = "sweater"
    glasses: bool = False


@dataclass(frozen=True)
class Voice:
    """An espeak voice: name such as `en-us+f3`, words a minute, pitch and its range 0..100; and its tone in `pilot`."""

    name: str = "en-us"
    speed: int = 155
    pitch: int = 45
    range: int = 55
    pilot: int = 0
