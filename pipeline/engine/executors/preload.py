"""What the fork server imports before it forks workers (`forked`). Nothing here may start a thread.

A fork has only the thread that forked it: a lock that another one held would stay locked in it for good.
"""

import gc
import json
import os
from contextlib import suppress
from importlib import import_module

import pandas as pd  # noqa: F401 - Arrow imports it with the first list that it makes an array of
import pyarrow as pa

import pipeline.engine.executors.local  # noqa: F401 - where workers begin
from pipeline.engine.executors import forked

pa.allocate_buffer(1)  # with the first one Arrow takes a gibibyte of addresses, in a worker that starts afresh too
_modules = json.loads(os.environ.pop(forked.MODULES, "[]"))
_bytes, _variables = forked.data_bytes(), dict(os.environ)
for _module in _modules:
    with suppress(Exception):  # a worker that needs it meets the same, and says so
        import_module(_module)
forked.brought_bytes = forked.data_bytes() - _bytes
forked.brought_variables = {name: value for name, value in os.environ.items() if _variables.get(name) != value}
gc.collect()
gc.freeze()  # what is here stays: it need not be looked through later, nor be copied into each worker
