"""`python -m stages.lip_sync`."""

from pipeline.cli.main import stage_main

stage_main("lip_sync")
