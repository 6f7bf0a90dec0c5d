"""Scores of skeletons: they need no net."""

from typing import Any

import numpy as np

from pipeline.base.arrays import Floats32
from pipeline.base.units import CLIP_SIDE_PX, Row
from pipeline.metrics.beats import beat_alignment, motion_beats, sound_beats
from pipeline.metrics.skeletons import jitter, joint_error, mouth_follows_sound
from pipeline.skeleton.layout import visible
from pipeline.skeleton.local import to_rooted
from stages.evaluate.cast import Subject
from stages.evaluate.scores.names import NO_SOUND, UNMEASURABLE


def skeleton_of(row: Row) -> tuple[Floats32, Floats32]:
    frames = row["frames"]
    return np.asarray(row["keypoints"], np.float32).reshape(frames, -1, 2), np.asarray(row["scores"], np.float32)


def scores_of(
    motion: tuple[Floats32, Floats32], truth: Subject | None, voice: Subject, absent: dict[str, str]
) -> dict[str, Any]:
    """Measures of a skeleton that need no net, in pixels of 512."""
    scale = CLIP_SIDE_PX / voice.side
    points = visible(*motion) * scale
    values = {"jitter_px_s3": jitter(points)["all"]}
    if truth is not None:
        frames = min(len(points), truth.frames)
        true = visible(truth.keypoints, truth.scores)[:frames] * scale
        made = points[:frames]
        near = joint_error(to_rooted(made), to_rooted(true))
        values |= {
            "keypoint_error_px": joint_error(made, true)["all"],
            "mouth_error_px": near["mouth"],
            "hand_error_px": near["hands"],
        }
    if voice.wave is not None:
        values["beat_alignment"] = beat_alignment(motion_beats(points, motion[1]), sound_beats(voice.wave))
        values["mouth_correlation"] = mouth_follows_sound(points, voice.wave)
    absent |= dict.fromkeys(("beat_alignment", "mouth_correlation"), NO_SOUND) if voice.wave is None else {}
    absent |= {name: UNMEASURABLE for name, value in values.items() if not np.isfinite(value)}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
