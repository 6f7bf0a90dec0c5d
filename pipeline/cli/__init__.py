"""The commands of `csg405`, and how they talk to a terminal."""

import gc

from pipeline.base.process import prepare

prepare()  # before a command imports numpy

# A command starts by loading a thousand modules, of which all stays: at Python's first threshold, 700 new objects, the search for
# garbage among them takes a tenth of what `status` does in all.
gc.set_threshold(50_000, 20, 20)
