"""`python -m stages.ablation`."""

from pipeline.cli.main import stage_main

stage_main("ablation")
