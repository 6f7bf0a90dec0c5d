"""`python -m stages.search`."""

from pipeline.cli.main import stage_main

stage_main("search")
