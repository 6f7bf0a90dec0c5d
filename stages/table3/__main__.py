"""`python -m stages.table3`."""

from pipeline.cli.main import stage_main

stage_main("table3")
