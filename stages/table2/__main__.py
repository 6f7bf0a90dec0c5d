"""`python -m stages.table2`."""

from pipeline.cli.main import stage_main

stage_main("table2")
