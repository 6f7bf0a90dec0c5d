"""`python -m stages.generate`."""

from pipeline.cli.main import stage_main

stage_main("generate")
