"""How puppets move: gestures of strokes and holds, sway in a bounded band, a mouth that follows the sound."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64

SIDES = ("left", "right")
HORIZON_SECONDS = 30.0  # gestures are planned this far, so that a shortened take begins like the whole one


@dataclass(frozen=True)
class Arm:
    """One arm over F frames.

    Attributes:
        wrist: (F, 3) shoulder widths from the neck: outwards, down, towards the viewer of a front view.
        tilt: (F,) radians, direction of the hand: 0 up, positive inwards.
        curl: (F,) 0 open to 1 closed fingers.
        spread: (F,) hand units, sideways lean of the fingers.
        thumb: (F,) 0 abducted to 1 beside the palm.
    """

    wrist: Floats64
    tilt: Floats64
    curl: Floats64
    spread: Floats64
    thumb: Floats64


@dataclass(frozen=True)
class Motion:
    """A puppet's posture over F frames; lengths in shoulder widths, angles in radians.

    Attributes:
        sway: (F, 2) of the neck over the hips.
        turn: (F,) of the body about the vertical, added to the actor's facing.
        shrug: (F, 2) of the left and right shoulder, down positive.
        head: (F, 3) yaw, pitch, roll relative to the body.
        mouth: (F,) 0 closed to 1 wide open.
        blink: (F,) bool.
        arms: left and right.
    """

    sway: Floats64
    turn: Floats64
    shrug: Floats64
    head: Floats64
    mouth: Floats64
    blink: NDArray[np.bool_]
    arms: dict[str, Arm]


@dataclass(frozen=True)
class Zone:
    """Where a hand may go: ranges of the wrist (outwards, down) and of the hand's tilt in degrees, and how often."""

    out: tuple[float, float]
    down: tuple[float, float]
    tilt: tuple[float, float]
    weight: float = 1.0
    depth: float = 0.45


# Zones keep the hands off the fiducials of shoulders and hips, so that a good take is seen whole.
TALK = (
    Zone((0.22, 0.42), (0.60, 0.90), (8, 30), 3.0),
    Zone((0.96, 1.22), (0.22, 0.62), (-20, 4), 2.0),
    Zone((0.28, 0.46), (0.94, 1.06), (24, 44), 1.2),
)
STYLES: dict[str, tuple[Zone, ...]] = {
    "talk": TALK,
    "calm": (Zone((0.20, 0.42), (0.66, 0.98), (8, 36), 3.0), Zone((0.84, 1.0), (0.42, 0.74), (-12, 6), 1.4)),
    "still": (Zone((0.36, 0.36), (0.90, 0.90), (30, 30)),),
    "down": (Zone((0.60, 0.86), (1.20, 1.27), (172, 188)),),
    "cross": (*TALK, Zone((-0.12, 0.05), (0.78, 0.95), (30, 60), 1.3)),
}
FACE_ZONE = Zone((0.20, 0.24), (-0.06, 0.0), (26, 32))  # the hand before mouth and cheek


def noise(rng: np.random.Generator, times: Floats64, low_hz: float, high_hz: float, rms: float) -> Floats64:
    """Smooth noise (F,) with energy in a band only: twelve sines of random phase, weaker with frequency."""
    hz = np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), 12))
    size = hz**-0.8
    size *= rms * np.sqrt(2.0) / np.linalg.norm(size)
    phase = rng.uniform(0, 2 * np.pi, 12)
    return np.sin(2 * np.pi * times[:, None] * hz + phase) @ size


def glide(knots: Floats64, values: Floats64, times: Floats64) -> Floats64:
    """Minimum-jerk way through `values` (M, D): at rest from knots[2i] to knots[2i+1], moving in between."""
    starts, ends = knots[1::2], knots[2::2]  # of the moves
    out = np.repeat(values[:1], len(times), axis=0)
    for start, end, before, after in zip(starts, ends, values[:-1], values[1:], strict=False):
        s = np.clip((times - start) / (end - start), 0.0, 1.0)
        out += (s**3 * (10 - 15 * s + 6 * s * s))[:, None] * (after - before)
    return out


def _spot(rng: np.random.Generator, zones: tuple[Zone, ...], last: Floats64 | None) -> Floats64:
    """A target (out, down, depth, tilt), rather not in the zone where the hand already is."""
    weights = np.array([zone.weight for zone in zones])
    zone = zones[int(rng.choice(len(zones), p=weights / weights.sum()))]
    if last is not None and np.hypot(np.mean(zone.out) - last[0], np.mean(zone.down) - last[1]) < 0.15:
        zone = zones[int(rng.choice(len(zones), p=weights / weights.sum()))]
    return np.array([rng.uniform(*zone.out), rng.uniform(*zone.down), zone.depth, np.radians(rng.uniform(*zone.tilt))])


def _strokes(rng: np.random.Generator, seconds: float, zones: tuple[Zone, ...]) -> tuple[Floats64, Floats64]:
    """Knot times (2M,) and targets (M, 4) of (out, down, depth, tilt): holds and moves in turn."""
    knots, clock = [0.0], -0.4
    targets = [_spot(rng, zones, None)]
    while clock < seconds + 1.0:
        spot = _spot(rng, zones, targets[-1])
        way = float(np.hypot(*(spot[:2] - targets[-1][:2])))
        targets.append(spot)
        clock += rng.uniform(0.08, 0.40)  # hold
        knots.append(clock)
        clock += rng.uniform(0.20, 0.28) + 0.52 * way  # a peak of about three shoulder widths a second on long ways
        knots.append(clock)
    return np.array(knots), np.array(targets)


def _arm(rng: np.random.Generator, times: Floats64, style: str, face_at: float | None) -> Arm:
    knots, targets = _strokes(rng, HORIZON_SECONDS, STYLES[style])
    if face_at is not None:
        nearest = int(np.argmin(np.abs(knots[1::2][: len(targets)] - face_at)))
        zone = FACE_ZONE
        targets[nearest] = (np.mean(zone.out), np.mean(zone.down), 0.5, np.radians(np.mean(zone.tilt)))
    path = glide(knots, targets, times)
    alive = 0.05 if style == "still" else 1.0
    beat = np.stack([noise(rng, times, 0.4, 3.6, 0.018 * alive) for _ in range(2)], axis=1)
    shapes, _ = _strokes(rng, HORIZON_SECONDS, STYLES[style])
    curls = glide(shapes, rng.uniform(0.0, 0.75, (len(shapes) // 2 + 1, 1)), times)[:, 0]
    return Arm(
        wrist=path[:, :3] + np.pad(beat, ((0, 0), (0, 1))),
        tilt=path[:, 3] + noise(rng, times, 0.3, 2.5, 0.09 * alive),
        curl=np.clip((curls if alive == 1.0 else 0.3) + noise(rng, times, 0.4, 3.0, 0.06 * alive), 0.0, 0.9),
        spread=noise(rng, times, 0.3, 2.0, 0.07 * alive),
        thumb=np.clip(0.4 + noise(rng, times, 0.3, 2.2, 0.22 * alive), 0.0, 1.0),
    )


def _blinks(rng: np.random.Generator, times: Floats64) -> NDArray[np.bool_]:
    starts = np.cumsum(rng.uniform(1.6, 4.2, 60))
    shut = (times[:, None] >= starts) & (times[:, None] < starts + 0.13)
    return np.asarray(shut.any(axis=1))


def perform(seed: int, times: Floats64, style: str, loudness: Floats64, face_at: float | None = None) -> Motion:
    """One puppet's motion at `times` (F,) in seconds; the same seed gives the same motion at any frame rate.

    Args:
        seed: of this puppet in this take.
        times: seconds.
        style: a key of `STYLES`.
        loudness: (F,) 0..1, what the mouth does.
        face_at: second at which the right hand comes before the face.
    """
    rng = np.random.default_rng(seed)
    alive = 0.08 if style == "still" else 1.0
    nod = 0.05 * loudness
    head = np.stack([noise(rng, times, 0.1, 1.2, r * alive) for r in (0.11, 0.05, 0.045)], axis=1)
    head[:, 1] += nod
    sway = np.stack([noise(rng, times, 0.1, 0.7, r * alive) for r in (0.035, 0.010)], axis=1)
    return Motion(
        sway=sway,
        turn=noise(rng, times, 0.1, 0.5, 0.06 * alive),
        shrug=np.stack([noise(rng, times, 0.2, 1.2, 0.012 * alive) for _ in range(2)], axis=1),
        head=head,
        mouth=loudness,
        blink=_blinks(rng, times),
        arms={side: _arm(rng, times, style, face_at if side == "right" else None) for side in SIDES},
    )
