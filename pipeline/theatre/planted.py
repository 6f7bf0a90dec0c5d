"""Skeleton and sound pairs with known truth, not rendered: what the model must learn, made by the hour in seconds.

Every speaker has limbs of their own length, a head that moves at least five times as far as the mouth opens, and a mouth that opens
with the envelope of the sound; the arms swing with its slower beat. The flat figure keeps limb lengths exact, so that a generated
skeleton can be measured against its reference. Detector noise is added to every point.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.base.hashes import sha256_of
from pipeline.base.units import CLIP_SIDE_PX, FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.media.audio import to_flac
from pipeline.nets.sound.wav2vec import logmel
from pipeline.shards.format import VERSION
from pipeline.shards.index import build_index, write_index
from pipeline.shards.write import write_shard
from pipeline.skeleton import layout
from pipeline.skeleton.local import to_local
from pipeline.theatre import figure

NOISE_PX = 0.5  # standard deviation of detector noise, a coordinate
HEAD_OVER_MOUTH = 6.0  # standard deviations: of the head's way over the mouth's opening
MIN_SECONDS, MAX_SECONDS = 5, 12
OPEN_HEAD_UNITS = 0.34  # the lower lip's way, of half a head's width
_LEGS = slice(13, 23)  # never seen, as in the footage this stands for
_LIPS = (layout.INNER_LIPS.start + 2, layout.INNER_LIPS.start + 6)  # middles of the inner lips, upper and lower


@dataclass(frozen=True)
class Speaker:
    """Lengths in px of the 512 crop; the mouth's gain is a share of its full opening; pitch in Hz."""

    shoulders: float
    upper_arm: float
    forearm: float
    hips_down: float
    head: float
    hand: float
    mouth_gain: float
    pitch: float


@dataclass(frozen=True)
class Pair:
    """A clip: keypoints (F, 133, 2) px, noisy, legs NaN; wave (F x 640,); envelope (F,) 0..1 of the sound at each picture."""

    keypoints: Floats64
    wave: NDArray[np.float32]
    envelope: Floats64


def speaker(seed: int) -> Speaker:
    """A speaker drawn from a seed."""
    rng = np.random.default_rng([405, seed])
    width = rng.uniform(95, 140)
    return Speaker(
        shoulders=width,
        upper_arm=width * rng.uniform(0.70, 1.10),
        forearm=width * rng.uniform(0.60, 1.00),
        hips_down=width * rng.uniform(1.15, 1.50),
        head=width * rng.uniform(0.26, 0.36),
        hand=width * rng.uniform(0.17, 0.25),
        mouth_gain=rng.uniform(0.7, 1.0),
        pitch=rng.uniform(90, 230),
    )


def sound(seconds: float, pitch: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], Floats64]:
    """Syllables with pauses: wave at 16 kHz, and its envelope 0..1 at 25 fps; the envelope is what was planted, not measured."""
    frames = round(seconds * FPS)
    clock = np.arange(frames * SAMPLES_PER_FRAME) / SAMPLE_RATE
    slow = np.arange(0, seconds + 0.5, 0.005)
    loud = np.zeros(len(slow))
    at = rng.uniform(0.0, 0.4)
    while at < seconds:
        for _ in range(rng.integers(3, 10)):  # syllables of a phrase
            half = rng.uniform(0.07, 0.16)
            inside = np.abs(slow - at - half) < half
            bump = rng.uniform(0.35, 1.0) * np.cos((slow[inside] - at - half) / half * np.pi / 2) ** 2
            loud[inside] = np.maximum(loud[inside], bump)
            at += half * rng.uniform(1.3, 2.0)
        at += rng.uniform(0.25, 0.9)
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * clock / rng.uniform(1.5, 3)))) / SAMPLE_RATE
    wave = np.interp(clock, slow, loud) * (_buzz(phase) / 4 + 0.15 * rng.standard_normal(len(clock)))
    wave = 0.5 * wave / max(1e-6, np.abs(wave).max()) + 1e-4 * rng.standard_normal(len(clock))
    return wave.astype(np.float32), np.interp(np.arange(frames) / FPS, slow, loud)


def _buzz(phase: Floats64) -> Floats64:
    """Fifteen harmonics, falling off; by Chebyshev's recurrence, as fifteen sines would cost five times as much."""
    before, harmonic, twice = np.zeros_like(phase), np.sin(phase), 2 * np.cos(phase)
    total = harmonic.copy()
    for k in range(2, 16):
        before, harmonic = harmonic, twice * harmonic - before
        total += harmonic / k**0.7
    return total


def pair(who: Speaker, seconds: float, seed: Sequence[int]) -> Pair:
    """A clip of this speaker; other numbers in `seed` draw another."""
    rng = np.random.default_rng([406, *seed])
    wave, envelope = sound(seconds, who.pitch, rng)
    keypoints = _motion(who, envelope, rng)
    keypoints += rng.normal(0, NOISE_PX, keypoints.shape)
    keypoints[:, _LEGS] = np.nan
    return Pair(keypoints, wave, envelope)


def _motion(who: Speaker, envelope: Floats64, rng: np.random.Generator) -> Floats64:
    """(F, 133, 2) without noise."""
    frames = len(envelope)
    neck = np.array([256.0, 230.0]) + _wander(frames, 2, 2.0, rng) * 5
    beat = np.convolve(envelope, np.hanning(21) / np.hanning(21).sum(), mode="same")
    opening = OPEN_HEAD_UNITS * who.mouth_gain * envelope * who.head
    points = np.full((frames, layout.K, 2), np.nan)
    head = _head(who, opening, rng)
    points[:, :5], points[:, layout.FACE] = neck[:, None] + head[:, :5], neck[:, None] + head[:, 5:]
    half = who.shoulders / 2
    for sign, side, arm in ((1, "left", (5, 7, 9, 11)), (-1, "right", (6, 8, 10, 12))):
        shoulder, elbow, wrist, hip = arm
        swing = _wander(frames, 2, 1.2, rng)
        lift = 0.9 * (beat - beat.mean()) / max(0.05, beat.std())
        upper = np.radians(62 + 5 * swing[:, 0] - 3 * lift)  # from the horizontal, outwards and down
        lower = np.radians(-30 + 7 * swing[:, 1] - 5 * lift)  # of the forearm, inwards and up
        points[:, shoulder] = neck + np.array([sign * half, 0.0])
        points[:, elbow] = points[:, shoulder] + who.upper_arm * _direction(sign * np.cos(upper), np.sin(upper))
        points[:, wrist] = points[:, elbow] + who.forearm * _direction(-sign * np.cos(lower), np.sin(lower))
        points[:, hip] = neck + np.array([sign * 0.36 * who.shoulders, who.hips_down])
        hand = layout.LEFT_HAND if side == "left" else layout.RIGHT_HAND
        along = lower + np.radians(5 * _wander(frames, 1, 1.5, rng)[:, 0])
        points[:, hand] = points[:, wrist, None] + _hand(who.hand, along, sign, _wander(frames, 1, 1.5, rng)[:, 0])
    return points


def _direction(x: Floats64, y: Floats64) -> Floats64:
    return np.stack([x, y], -1)


def _head(who: Speaker, opening: Floats64, rng: np.random.Generator) -> Floats64:
    """Body's five and the face's 68 (F, 73, 2) from the neck: a head that nods and sways, lips that open."""
    frames = len(opening)
    design, jaw = _head_design()
    tilt = np.radians(2) * _wander(frames, 1, 1.0, rng)
    turned = np.stack(
        [
            design[None, :, 0] * np.cos(tilt) - design[None, :, 1] * np.sin(tilt),
            design[None, :, 0] * np.sin(tilt) + design[None, :, 1] * np.cos(tilt),
        ],
        -1,
    )
    spread = max(1.0, float(opening.std())) * HEAD_OVER_MOUTH
    centre = np.array([0.0, -1.9 * who.head]) + spread * _wander(frames, 2, 0.8, rng) * [1.0, 0.8]
    face = centre[:, None] + who.head * turned
    face[..., 1] += jaw * opening[:, None]
    return face


def _head_design() -> tuple[Floats64, Floats64]:
    """(73, 2) of a closed mouth in head units from the head's centre, and (73,) how far each point follows the lower lip."""
    fiducials = np.zeros((2, figure.N, 2))
    for name, place in figure.HEAD_DESIGN.items():
        fiducials[:, figure.INDEX[name]] = place[:2]
    fiducials[1, figure.INDEX["lip"], 1] += 1
    closed, opened = figure.keypoints_of(fiducials)
    chosen = [*range(5), *range(layout.FACE.start, layout.FACE.stop)]
    return closed[chosen], (opened - closed)[chosen, 1]


def _hand(size: float, along: Floats64, sign: int, curl: Floats64) -> Floats64:
    """(F, 21, 2) from the wrist: fingers that spread and curl."""
    frames = len(along)
    design = np.zeros((frames, 21, 2))
    design[:, 1:5] = figure.THUMB
    for finger, (root, tip) in enumerate(zip(figure.FINGER_ROOTS, figure.FINGER_TIPS, strict=True)):
        for joint, share in enumerate(figure.FINGER_JOINTS):
            design[:, 5 + 4 * finger + joint] = root + share * (tip - root)
            design[:, 5 + 4 * finger + joint, 0] -= share * (0.35 + 0.12 * curl)
    axis, across = _direction(-sign * np.cos(along), np.sin(along)), _direction(sign * np.sin(along), np.cos(along))
    return size * (design[..., :1] * axis[:, None] - design[..., 1:] * across[:, None])


def _wander(frames: int, columns: int, seconds: float, rng: np.random.Generator) -> Floats64:
    """(frames, columns) smooth random paths of variance one that change over about so many seconds."""
    width = max(3, round(seconds * FPS))
    kernel = np.hanning(2 * width + 1)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.standard_normal((frames + 2 * width, columns))
    return np.stack([np.convolve(noise[:, k], kernel, mode="valid") for k in range(columns)], -1)


def mouth_opening(keypoints: NDArray[np.floating]) -> Floats64:
    """(F,) distance of the inner lips' middles of keypoints or local coordinates (F, 133, 2)."""
    return np.asarray(keypoints[:, _LIPS[1], 1] - keypoints[:, _LIPS[0], 1], float)


@dataclass(frozen=True)
class Planted:
    """A pair with who it is: the speaker's number, and the number of the clip among the speaker's."""

    speaker: int
    clip: int
    pair: Pair


def clips(speakers: range, seconds_each: float, seed: int = 0) -> Iterator[Planted]:
    """Pairs of these speakers, 5 to 12 s long, about `seconds_each` of each; the same every time."""
    for number in speakers:
        who, left, clip = speaker(number), seconds_each, 0
        rng = np.random.default_rng([407, seed, number])
        while left >= MIN_SECONDS:
            seconds = min(left, float(rng.integers(MIN_SECONDS * FPS, MAX_SECONDS * FPS + 1)) / FPS)
            seconds = round(seconds * FPS) / FPS
            yield Planted(number, clip, pair(who, seconds, [seed, number, clip]))
            left, clip = left - seconds, clip + 1


def row(planted: Planted) -> dict[str, Any]:
    """A pair as a row of a shard, with `logmel768` for audio features."""
    made = planted.pair
    frames = len(made.keypoints)
    video = f"file:{hashlib.sha256(f'planted {planted.speaker}'.encode()).hexdigest()[:16]}"
    scores = np.where(np.isfinite(made.keypoints).all(-1), 0.95, 0.0)
    return {
        "clip_id": f"{video}/{1000 * planted.clip}+{frames}",
        "video_id": video,
        "person": 0,
        "start_seconds": 1000.0 * planted.clip / FPS,
        "frames": frames,
        "fps": float(FPS),
        "crop_box": [0, 0, CLIP_SIDE_PX, CLIP_SIDE_PX],
        "keypoints": made.keypoints,
        "scores": scores,
        "neck": to_local(made.keypoints)[1],
        "audio": to_flac(made.wave),
        "audio_features": logmel(made.wave, frames).astype(np.float16),
        "audio_features_of": "logmel768",
    }


def write(folder: Path, speakers: dict[str, range], seconds_each: float, seed: int = 0) -> dict[str, float]:
    """Write shards, a file a split; returns the hours of each.

    Args:
        folder: of the shards.
        speakers: split -> the speakers in it; ranges must not meet, if the held-out ones are to be unseen.
        seconds_each: of every speaker.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for split, numbers in speakers.items():
        path = folder / f"{split}-00000-of-00001.parquet"
        made = [row(planted) for planted in clips(numbers, seconds_each, seed)]
        write_shard(path, made)
        entries.append(
            {
                "path": path.name,
                "split": split,
                "rows": len(made),
                "seconds": sum(row["frames"] for row in made) / FPS,
                "bytes": path.stat().st_size,
                "sha256": sha256_of(path),
            }
        )
    write_index(folder, build_index(entries, [], version=".".join(map(str, VERSION)), settings={}))
    return {entry["split"]: entry["seconds"] / 3600 for entry in entries}
