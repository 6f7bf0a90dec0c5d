"""`python -m stages.measure_sound`."""

from pipeline.cli.main import stage_main

stage_main("measure_sound")
