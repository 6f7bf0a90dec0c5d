"""`python -m stages.speakers`."""

from pipeline.cli.main import stage_main

stage_main("speakers")
