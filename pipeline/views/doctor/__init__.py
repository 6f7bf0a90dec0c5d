"""The doctor: whether a machine has what runs of a profile need, a finding a line, each with what to do about it."""

from pipeline.views.doctor.examine import examine
from pipeline.views.doctor.finding import MISSING, OK, WARN, Finding

__all__ = ["MISSING", "OK", "WARN", "Finding", "examine"]
