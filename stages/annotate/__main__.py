"""`python -m stages.annotate`."""

from pipeline.cli.main import stage_main

stage_main("annotate")
