"""`python -m stages.twins`."""

from pipeline.cli.main import stage_main

stage_main("twins")
