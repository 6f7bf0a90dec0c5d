"""Graceful interruption: a run that is asked to stop finishes the unit or step in progress."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Ctrl-C and SIGTERM end a run after the unit or step in progress; a second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        if (
            threading.current_thread() is threading.main_thread()
        ):  # in another thread, the embedding program handles signals
            self._old = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
