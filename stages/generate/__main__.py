"""`python -m stages.generate`."""

from pipeline.cli import stage_main

stage_main("generate")
