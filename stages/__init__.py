"""The stages, named as in the paper; each runs as `python -m stages.NAME` (see `stages/README.md`)."""

import pipeline  # noqa: F401 - what it sets has to be set before a stage imports numpy
