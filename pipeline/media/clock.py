"""How the clock of a file is mended: by how much the times of which packets are moved."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Turn:
    """From its `packet`-th packet with data on, a stream's times are moved by `shift` seconds; None: they mean nothing."""

    packet: int
    shift: Fraction | None


@dataclass(frozen=True)
class Clock:
    """How the times of a file are mended.

    Attributes:
        turns: by stream index, in order; a stream that is not named runs on.
        zero: presentation zero, seconds of the file's own clock, where the container's is wrong; else None.
    """

    turns: Mapping[int, tuple[Turn, ...]] = field(default_factory=dict)
    zero: Fraction | None = None

    @property
    def runs_on(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.turns and self.zero is None

    def text(self) -> str | None:
        """As JSON: {"turns": {stream: [[packet, "shift"], ...]}, "zero": "..."}; None where it runs on."""
        if self.runs_on:
            return None
        turns = {str(s): [[t.packet, _text(t.shift)] for t in turns] for s, turns in sorted(self.turns.items())}
        return json.dumps({"turns": turns, "zero": _text(self.zero)})

    @classmethod
    def of(cls, text: str | None) -> "Clock":
        """The clock that `text` gave."""
        if not text:
            return cls()
        said = json.loads(text)
        turns = {int(s): tuple(Turn(n, _number(shift)) for n, shift in turns) for s, turns in said["turns"].items()}
        return cls(turns, _number(said["zero"]))

    def menders(self) -> "dict[int, Mender]":
        """One for each stream that needs it; they count packets from the first of the file."""
        return {stream: Mender(turns) for stream, turns in self.turns.items()}


RUNS_ON = Clock()


def _text(shift: Fraction | None) -> str | None:
    return None if shift is None else str(shift)


def _number(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


class Mender:
    """Moves the times of one stream's packets, which come in the order of the file."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns, self._next, self._count = turns, 0, 0
        self._shift: Fraction | None = Fraction(0)

    def mend(self, packet: Any) -> None:
        """Move a packet's times; the first one of a piece is marked by its `opaque`."""
        while self._next < len(self._turns) and self._turns[self._next].packet <= self._count:
            self._shift = self._turns[self._next].shift
            self._next += 1
            packet.opaque = object()  # PyAV asks for one of its own
        self._count += 1
        if self._shift is None:
            packet.pts = packet.dts = None
        elif self._shift:
            ticks = round(self._shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
