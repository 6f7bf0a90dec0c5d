"""`python -m stages.report`."""

from pipeline.cli import stage_main

stage_main("report")
