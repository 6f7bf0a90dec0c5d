"""`python -m stages.overlap`."""

from pipeline.cli.main import stage_main

stage_main("overlap")
