"""`python -m stages.audio_features`."""

from pipeline.cli.main import stage_main

stage_main("audio_features")
