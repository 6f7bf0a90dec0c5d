"""`python -m stages.import_poses`."""

from pipeline.cli.main import stage_main

stage_main("import_poses")
