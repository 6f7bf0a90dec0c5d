"""What the report can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings


class ReportSettings(Settings):
    """The page's heading, and how much of the run it shows."""

    title: str = Field("", description="heading of the page; the run's name by default")
    clips_a_file: int = Field(60, ge=10, le=5000, description="people in one data file, loaded when looked at")
    dropped_a_reason: int = Field(200, ge=0, description="refused units shown for each reason, at most")
    failed_shown: int = Field(300, ge=0, description="failed units listed, at most")
    footage: bool = Field(
        True, description="show pictures and play sound; off for a page to pass on, which needs no other folder"
    )
