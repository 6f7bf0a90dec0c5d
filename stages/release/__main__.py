"""`python -m stages.release`."""

from pipeline.cli import stage_main

stage_main("release")
