"""`python -m stages.judge`."""

from pipeline.cli.main import stage_main

stage_main("judge")
