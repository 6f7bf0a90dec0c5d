"""The stages, named as in the paper; each runs as `python -m stages.NAME` (see `stages/README.md`)."""

from pipeline.base.process import prepare

prepare()  # before a stage imports numpy: `python -m` loads this package before the stage's own
