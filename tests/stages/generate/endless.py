"""A net that never ends, in a module that another process imports without torch."""

import time
from typing import Any


def spinning(*_: Any, **__: Any) -> None:
    while True:
        time.sleep(1)
