"""`python -m stages.finetune`."""

from pipeline.cli.main import stage_main

stage_main("finetune")
