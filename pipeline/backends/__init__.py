"""Pose-to-video back-ends: from a motion, a reference picture and a voice to a video of that person.

`drive` runs one; `plan` writes its inputs and prints its command, to run it elsewhere. The back-ends are other projects' programs
in their own environments: they run as subprocesses, and nothing of theirs is imported.
"""

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Filmed, Job, Options, Plan, View
from pipeline.backends.run import BACKENDS, drive, plan

__all__ = ["BACKENDS", "BackendError", "Filmed", "Job", "Options", "Plan", "Trouble", "View", "drive", "plan"]
