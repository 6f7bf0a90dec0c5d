"""`python -m stages.evaluate`."""

from pipeline.cli import stage_main

stage_main("evaluate")
