"""`python -m stages.report`."""

from pipeline.cli.main import stage_main

stage_main("report")
