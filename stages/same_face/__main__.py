"""`python -m stages.same_face`."""

from pipeline.cli.main import stage_main

stage_main("same_face")
