"""`python -m stages.fingerprint_sound`."""

from pipeline.cli.main import stage_main

stage_main("fingerprint_sound")
