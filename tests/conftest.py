"""What every test shares."""

from hypothesis import settings

import pipeline  # noqa: F401 - what it sets has to be set before a test imports numpy

# The same examples every time: a change that breaks something fails at once, and one that does not never fails by luck.
settings.register_profile("csg405", derandomize=True, deadline=None)
settings.load_profile("csg405")
