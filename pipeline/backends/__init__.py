"""Pose-to-video back-ends: a motion, a picture and a voice in, a film of the person in the picture out.

`drive` does it all; `plan` writes the inputs and says the command, for whoever runs it elsewhere. The back-ends are other
people's programs with environments of their own: they are run as such, and nothing of them is imported.
"""

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Filmed, Job, Options, Plan, View
from pipeline.backends.run import BACKENDS, drive, plan

__all__ = ["BACKENDS", "BackendError", "Filmed", "Job", "Options", "Plan", "Trouble", "View", "drive", "plan"]
