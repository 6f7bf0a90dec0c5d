"""What the fork server imports before it forks workers (`forked`). Nothing here may start a thread.

A fork has only the thread that forked it: a lock that another one held would stay locked in it for good.
"""

import gc
import json
import os
from contextlib import suppress
from importlib import import_module

from pipeline.base.cycles import gc_paused
from pipeline.engine.executors import forked

# Where workers begin; Arrow imports pandas with the first list that it makes an array of.
FIRST = ("pipeline.engine.executors.local", "pandas")

with gc_paused():  # what modules make as they are imported stays: a tenth of the time went into looking for garbage
    for _module in FIRST:
        import_module(_module)
# With its first buffer Arrow takes a gibibyte of addresses, in a worker that starts afresh too.
import_module("pyarrow").allocate_buffer(1)
_modules = json.loads(os.environ.pop(forked.MODULES, "[]"))
_bytes, _variables = forked.data_bytes(), dict(os.environ)
with gc_paused():
    for _module in _modules:
        with suppress(Exception):  # a worker that needs it meets the same, and says so
            import_module(_module)
forked.brought_bytes = forked.data_bytes() - _bytes
forked.brought_variables = {name: value for name, value in os.environ.items() if _variables.get(name) != value}
gc.collect()
gc.freeze()  # what is here stays: it need not be looked through later, nor be copied into each worker
