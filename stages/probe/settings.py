"""What probe can be told."""

from datetime import UTC, datetime

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class ProbeSettings(Settings):
    """Which links are looked at, and on which day."""

    manifest: str = Field(
        "",
        description="list of links or manifest of clips to look at, beside what the run has searched and crawled",
        json_schema_extra=runtime(),
    )
    as_of: str = Field(
        "", pattern=r"^(\d{4}-\d\d-\d\d)?$", description="day of the checks, UTC; empty: today. Another day asks anew"
    )
    allow_loopback: bool = Field(
        False, description="let links lead to this machine itself: for tests and mirrors", json_schema_extra=runtime()
    )

    def day(self) -> str:
        """The day of the checks, UTC."""
        return self.as_of or datetime.now(UTC).date().isoformat()
