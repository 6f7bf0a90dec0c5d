"""`python -m stages.shards`."""

from pipeline.cli.main import stage_main

stage_main("shards")
