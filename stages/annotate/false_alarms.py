"""Tracks that are no person: small detectors see people in rocks, and pose nets draw one into any box."""

from collections.abc import Sequence

import numpy as np

from pipeline.nets.pose.whole_body import PersonTrack
from pipeline.skeleton import layout
from stages.annotate.settings import AnnotateSettings


def doubt(track: PersonTrack, frames: int, settings: AnnotateSettings) -> str:
    """Why a track of a clip of `frames` frames is a false alarm; "" for a person."""
    share, body = track.seen.sum() / frames, body_score(track)
    height = float(np.nanmedian(track.boxes[:, 3] - track.boxes[:, 1])) if track.seen.any() else 0.0
    detail = detail_share(track, settings.min_detail_score)
    if share < settings.min_track_share:
        return f"seen in {share:.0%} of the frames < {settings.min_track_share:.0%}"
    if body < settings.min_track_score:
        return f"body score {body:.2f} < {settings.min_track_score:g}"
    if height < settings.min_person_height_px:
        return f"height {height:.0f} px < {settings.min_person_height_px:g}"
    if detail < settings.min_detail_share and body < settings.sure_body_score:
        return f"face or hands in {detail:.0%} of its frames < {settings.min_detail_share:.0%}, body score {body:.2f}"
    return ""


def no_person(tracks: Sequence[PersonTrack], frames: int, settings: AnnotateSettings) -> str:
    """The detail of a clip without a person: how many frames were looked at, and why its first tracks are false alarms."""
    looks = -(-frames // settings.detect_every_frames)
    if not tracks:
        return f"no person in {looks} frames looked at"
    doubts = "; ".join(doubt(track, frames, settings) for track in tracks[:3])
    return f"{len(tracks)} false alarms in {looks} frames looked at: {doubts}"


def body_score(track: PersonTrack) -> float:
    """Median over the frames in which the person is seen of the mean of the five surest body scores, 0..1."""
    scores = np.sort(track.scores[track.seen, : layout.RIGHT_HIP + 1], axis=1)[:, -5:]
    return float(np.median(scores.mean(1))) if len(scores) else 0.0


def detail_share(track: PersonTrack, min_score: float) -> float:
    """Share of the frames in which the person is seen that show a face or a hand, by its mean score."""
    scores = track.scores[track.seen]
    parts = [scores[:, part].mean(1) >= min_score for part in (layout.FACE, layout.LEFT_HAND, layout.RIGHT_HAND)]
    return float(np.any(parts, axis=0).mean()) if len(scores) else 0.0
