"""`python -m stages.attributes`."""

from pipeline.cli.main import stage_main

stage_main("attributes")
