"""`python -m stages.measure_pose`."""

from pipeline.cli.main import stage_main

stage_main("measure_pose")
