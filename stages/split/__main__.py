"""`python -m stages.split`."""

from pipeline.cli.main import stage_main

stage_main("split")
