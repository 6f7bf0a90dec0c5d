"""Synchrony and identity of generated motions, against planted truth."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.metrics.skeletons import limb_lengths
from pipeline.model.audio_to_skeleton import AudioToSkeleton, Reference, Smooth
from pipeline.model.diffusion import Sampler
from pipeline.nets.sound.wav2vec import logmel
from pipeline.skeleton.local import from_local
from pipeline.theatre import planted

_SCORES = ("mouth_correlation", "limb_error_percent", "validation_loss")


def score(
    model: AudioToSkeleton,
    speakers: range,
    guidance: float = 1.0,
    seconds_each: float = 24.0,
    smooth: Smooth = "none",
    sampler: Sampler = "ddim",
    frame: int = 0,
) -> dict[str, float]:
    """Synchrony and identity on speakers that were not trained on.

    Each is led by one frame of a clip of theirs, and moved by the sound of their other clips.

    Args:
        model: that generates.
        speakers: numbers of planted speakers.
        guidance: see `AudioToSkeleton.generate`.
        seconds_each: of clips, the first of which leads.
        smooth: see `AudioToSkeleton.generate`.
        sampler: ddim in 20 steps, or another of `diffusion.scheduler` with its usual steps.
        frame: of the first clip, whose skeleton leads.

    Returns:
        mouth_correlation: of the generated mouth's opening with the planted envelope, mean over clips.
        limb_error_percent: of the generated limbs' median lengths to the speaker's, mean over limbs and clips; each limb's own
        as `<limb>_error_percent`.
    """
    correlations: list[float] = []
    errors: dict[str, list[float]] = {}
    for first, others in _by_speaker(speakers, seconds_each):
        who, point = planted.speaker(first.speaker), first.pair.keypoints[frame]
        reference = Reference.of(point, np.isfinite(point).all(-1).astype(float))
        truth = {"upper arm": who.upper_arm, "forearm": who.forearm, "shoulders": who.shoulders}
        for other in others:
            features = logmel(other.pair.wave, len(other.pair.envelope))
            made = model.generate(
                features, reference, guidance=guidance, smooth=smooth, sampler=sampler, overlap=8, seed=other.clip
            )
            keypoints = from_local(made.local, made.neck)
            correlations.append(float(np.corrcoef(planted.mouth_opening(keypoints), other.pair.envelope)[0, 1]))
            for limb, length in limb_lengths(keypoints).items():
                errors.setdefault(limb, []).append(100 * abs(length / truth[limb] - 1))
    each = {f"{limb.replace(' ', '_')}_error_percent": float(np.mean(values)) for limb, values in errors.items()}
    return {
        "mouth_correlation": float(np.mean(correlations)),
        "limb_error_percent": float(np.mean(list(each.values()))),
        **each,
    }


def _by_speaker(speakers: range, seconds_each: float) -> Iterator[tuple[Any, list[Any]]]:
    """The first pair of each speaker, and the others; other pairs than those of the shards."""
    for number in speakers:
        pairs = list(planted.clips(range(number, number + 1), seconds_each, seed=1))
        yield pairs[0], pairs[1:] or pairs


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: mean and spread (standard deviation over seeds) of each score, a variant a row."""
    lines = [
        "| variant | seeds | mouth to envelope, correlation | limb lengths, error % | validation loss |",
        "|---|---|---|---|---|",
    ]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        cells = [_mean([row[name] for row in mine]) for name in _SCORES]
        lines.append(f"| {variant} | {len(mine)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1 if len(values) > 1 else 0):.3f}"


def words(row: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {row[name]:.3f}" for name in _SCORES)
