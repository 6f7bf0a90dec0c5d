"""`python -m stages.export`."""

from pipeline.cli.main import stage_main

stage_main("export")
