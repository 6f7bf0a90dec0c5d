"""`python -m stages.availability`."""

from pipeline.cli import stage_main

stage_main("availability")
