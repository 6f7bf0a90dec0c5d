"""`python -m stages.previews`."""

from pipeline.cli.main import stage_main

stage_main("previews")
