"""What search can be told."""

from typing import Literal

from pydantic import Field

from pipeline.engine.settings import Settings
from pipeline.sources.web.criteria import Wanted


class SearchSettings(Wanted, Settings):
    """How many videos are looked for, of which kinds, and how far."""

    videos: int = Field(5000, ge=1, le=1_000_000, description="videos to find in all")
    quota: Literal["paper", "even"] = Field(
        "paper", description="paper: videos a type by its share in figure 2a; even: the same for each type"
    )
    pages_per_query: int = Field(
        15, ge=1, le=100, description="pages of 20 hits asked for each query at most; later ones are seldom about it"
    )
    min_seconds: float = Field(30.0, ge=0, description="shorter videos are left out, seconds")
    languages: tuple[str, ...] = Field(
        (), description="codes of the languages to search in, as the types have them; empty: all of them"
    )
    hd_only: bool = Field(True, description="ask for videos of 720 lines and more only")
