"""Validation clips generated during training: drawn beside the truth with the voice, and measured against it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats32, Floats64
from pipeline.media.audio import cut
from pipeline.media.skeleton_film import write_skeletons
from pipeline.metrics.skeletons import jitter, limb_error_percent, mouth_follows_sound
from pipeline.model.audio_to_skeleton import GUIDANCE_PAIRED, AudioToSkeleton, Reference
from pipeline.model.generation.sampling import SamplingSettings
from pipeline.model.training.cache import Cache
from pipeline.shards.read import decode_audio, open_shards
from pipeline.skeleton import layout
from pipeline.skeleton.layout import seen
from pipeline.skeleton.local import from_local

log = logging.getLogger(__name__)
MOST_FRAMES = 250


@dataclass(frozen=True)
class Case:
    """A clip to be generated again, and its truth.

    Attributes:
        audio: (F, 768) features.
        reference: the frame of the clip in which most of the upper body counts.
        true: (F, 133, 2) px of the 512 crop, NaN where a point does not count.
        wave: (F x 640,), or None.
    """

    audio: Floats32
    reference: Reference
    true: Floats32
    wave: Floats32 | None


def cases_of(held_out: Cache, shards: Path, clips: Sequence[int]) -> list[Case]:
    """The first ten seconds of these clips of a split; the sound is read from the shards."""
    frames = {clip: min(MOST_FRAMES, int(held_out.frames[clip])) for clip in clips}
    waves = _waves(shards, held_out, frames)
    return [_case(held_out, clip, frames[clip], waves.get(clip)) for clip in clips]


def _case(held_out: Cache, clip: int, frames: int, wave: Floats32 | None) -> Case:
    span = slice(int(held_out.first[clip]), int(held_out.first[clip]) + frames)
    local, neck = held_out.local(clip)[:frames], np.asarray(held_out.neck[span])
    valid = np.asarray(held_out.valid[span])
    best = int(valid[:, list(layout.UPPER_BODY.values())].sum(1).argmax())
    reference = Reference(np.nan_to_num(local[best]), valid[best], neck[best])
    true = from_local(local, neck).astype(np.float32)
    return Case(np.asarray(held_out.audio[span]), reference, true, wave)


def _waves(shards: Path, held_out: Cache, frames: dict[int, int]) -> dict[int, Floats32]:
    """The sound of clips, each so many frames of it, (frames x 640,); those without are absent."""
    wanted, found = {str(held_out.ids[clip]): clip for clip in frames}, {}
    for row in open_shards(shards, held_out.index["split"]).rows(("clip_id", "person", "audio")):
        clip = wanted.pop(f"{row['clip_id']}#{row['person']}", None)
        if clip is not None and row["audio"] is not None:
            found[clip] = cut(decode_audio(row["audio"]), 0, frames[clip])
        if not wanted:
            break
    return found


def draw_sample(model: AudioToSkeleton, held_out: Cache, shards: Path, path: Path, clip: int = 0) -> None:
    """Write a video with the truth on the left, the generated motion on the right (paired, 20 steps of DDIM).

    Args:
        model: the model to sample from; the reference is a frame of the clip itself.
        held_out: the split of the clip.
        shards: folder of the shards, which hold the sound.
        path: of the mp4.
        clip: index within the split.
    """
    [case] = cases_of(held_out, shards, [clip])
    model.net.eval()
    made = model.generate(case.audio, case.reference, guidance=GUIDANCE_PAIRED, sampler="ddim")
    path.parent.mkdir(parents=True, exist_ok=True)
    truth = (case.true, seen(case.true).astype(np.float32))
    write_skeletons(path, [truth, (from_local(made.local, made.neck), made.scores)], case.wave)


class Generated:
    """Measures of what a model generates for a few clips of a split, spread over it; they are read once.

    Args:
        held_out: the split.
        shards: folder of the shards, which hold the sound.
        count: of clips.
    """

    def __init__(self, held_out: Cache, shards: Path, count: int) -> None:
        self.held_out, self.shards, self.count = held_out, shards, count

    @cached_property
    def cases(self) -> list[Case]:
        clips = np.linspace(0, len(self.held_out) - 1, min(self.count, len(self.held_out))).astype(int)
        return cases_of(self.held_out, self.shards, clips.tolist())

    def measures(self, model: AudioToSkeleton) -> dict[str, float]:
        """Generate as `generate` does by default, in 20 steps of DDIM, and measure; means over the clips.

        Returns:
            generated_mouth_to_sound: correlation of the mouth's opening and the loudness; true_mouth_to_sound: the truth's own.
            generated_limb_error_percent: of limb lengths to the truth's.
            generated_jitter: over the truth's.
            What cannot be measured of any clip is absent, and logged.
        """
        model.net.eval()
        ways = SamplingSettings(sampler="ddim").sampling(paired=True, published=model.published)
        each = []
        for case in self.cases:
            made = model.generate(case.audio, case.reference, **ways)
            each.append(measured(case, np.asarray(from_local(made.local, made.neck), float)))
        means = {name: _mean([found[name] for found in each]) for name in each[0]}
        if absent := sorted(name for name, value in means.items() if value is None):
            log.warning("not measured, as it shows in none of the %d generated clips: %s", len(each), ", ".join(absent))
        return {name: value for name, value in means.items() if value is not None}


def measured(case: Case, made: Floats64) -> dict[str, float]:
    """The measures of one motion (F, 133, 2) px; NaN where something cannot be measured."""
    both = (made, case.true)
    sounds = [float("nan") if case.wave is None else mouth_follows_sound(points, case.wave) for points in both]
    shaking = jitter(case.true)["all"]
    return {
        "generated_mouth_to_sound": sounds[0],
        "true_mouth_to_sound": sounds[1],
        "generated_limb_error_percent": limb_error_percent(made, case.true),
        "generated_jitter": jitter(made)["all"] / shaking if shaking else float("nan"),
    }


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None
