"""`python -m stages.manifest_clips`."""

from pipeline.cli.main import stage_main

stage_main("manifest_clips")
