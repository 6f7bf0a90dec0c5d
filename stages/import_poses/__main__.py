"""`python -m stages.import_poses`."""

from pipeline.cli import stage_main

stage_main("import_poses")
