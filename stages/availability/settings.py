"""What availability can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class AvailabilitySettings(Settings):
    """The manifest whose account is given."""

    manifest: str = Field(
        "",
        description="list of links or manifest of clips of which the account is given, beside what was searched and crawled",
        json_schema_extra=runtime(),  # where it lies changes nothing; what it says is in `depends`
    )
