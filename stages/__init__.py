"""The work, a room a stage."""

import pipeline  # noqa: F401 - what it sets has to be set before a stage imports numpy
