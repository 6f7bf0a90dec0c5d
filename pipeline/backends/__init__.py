"""Pose-to-video back-ends: from a motion, a reference picture and a voice to a video of that person.

`run.drive` runs one; `run.plan` writes its inputs and prints its command, to run it elsewhere. Back-ends are programs of other
projects in their own environments: they run as subprocesses, and nothing of theirs is imported.
"""
