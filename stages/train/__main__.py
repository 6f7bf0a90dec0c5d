"""`python -m stages.train`."""

from pipeline.cli.main import stage_main

stage_main("train")
