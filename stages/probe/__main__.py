"""`python -m stages.probe`."""

from pipeline.cli.main import stage_main

stage_main("probe")
