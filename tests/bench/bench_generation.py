"""What sampling does to motions that a trained model makes of voices never heard; what the defaults of `generate` follow from.

python -m tests.bench generation [--model MODEL]

The model is that of `make ablation` (full, tiny, 1,400 steps on planted speakers), trained first where none is given. Ten speakers
that it never saw are each led by the first frame of one clip and moved by six seconds of another, whose true motion is known:

- jitter: of all points, the mean third derivative over the truth's; still skeletons have none.
- mouth: the standard deviation of its opening over the truth's.
- sound: correlation of its opening with the planted envelope, mean over clips.
- jump, px: largest step of a wrist from the reference to the first frame and on to the tenth, mean over clips.
- limbs: error of their lengths to the speaker's, %.
- gestures: Frechet distance of 2-s windows to the truth's (`pipeline.metrics.gestures`).
- calls: of the network a window.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.base.units import SAMPLES_PER_FRAME
from pipeline.metrics.frechet import FewSamples
from pipeline.metrics.gestures import gesture_distance
from pipeline.metrics.skeletons import jitter, limb_lengths
from pipeline.model.audio_to_skeleton import AudioToSkeleton, Reference
from pipeline.model.audio_to_skeleton import Motion as Made
from pipeline.model.generation.sampling import SamplingSettings
from pipeline.nets.sound.wav2vec import logmel
from pipeline.skeleton import layout, smooth
from pipeline.skeleton.local import from_local
from pipeline.theatre import planted
from tests.bench.table import Goal, Row

TRAINED_STEPS = 1400
SPEAKERS = range(5000, 5010)  # far from those that it is trained on
FRAMES, FIRST = 150, 10
WRISTS = [layout.LEFT_WRIST, layout.RIGHT_WRIST]
QUICK = {"sampler": "dpm", "steps": 10}
PLAIN = {"guidance": 1.0, **QUICK, "begin_at_reference": 5, "smooth": "paper"}  # one thing after the other is changed
SMOOTH = ("none", "release", "paper")
SECTIONS: dict[str, list[dict[str, Any]]] = {
    "smooth": [{**PLAIN, "smooth": variant} for variant in SMOOTH],
    "begin_at_reference": [{**PLAIN, "begin_at_reference": frames} for frames in (0, 1, 3, 5, 8)],
    "guidance": [{**PLAIN, "guidance": scale} for scale in (1.0, 1.5, 2.5, 3.5)],
    "guidance_from, guidance_to": [
        {**PLAIN, "guidance": scale, "guidance_interval": interval}
        for scale in (1.5, 3.5)
        for interval in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0))
    ],
    "guidance_rescale": [
        {**PLAIN, "guidance": scale, "guidance_rescale": share} for scale in (1.5, 3.5) for share in (0.5, 1.0)
    ],
    "as the paper samples": [
        {"guidance": 3.5, "sampler": "ancestral", "begin_at_reference": begin, "smooth": variant}
        for begin, variant in ((0, "none"), (0, "paper"), (0, "release"))
    ],
    "sampler, sampler_steps": [
        {**PLAIN, "sampler": sampler, "steps": steps, "smooth": variant}
        for sampler, steps in (("dpm", 10), ("dpm", 20), ("ddim", 20), ("ancestral", 0))
        for variant in SMOOTH
    ],
}
HEAD = f"{'':<62} {'jitter':>7} {'mouth':>6} {'sound':>6} {'jump':>6} {'limbs':>6} {'gestures':>8} {'calls':>6}"


@dataclass(frozen=True)
class Case:
    """A speaker's reference, and a voice of theirs whose true motion is known."""

    who: planted.Speaker
    start: Floats64  # (133, 2) px
    true: Floats64  # (F, 133, 2) px
    features: np.ndarray  # (F, 768)
    envelope: Floats64  # (F,)

    @cached_property
    def reference(self) -> Reference:
        return Reference.of(self.start, np.isfinite(self.start).all(-1).astype(float))


@dataclass(frozen=True)
class Scores:
    """Of all cases together."""

    jitter: float
    mouth: float
    sound: float
    jump: float
    limbs: float
    gestures: float

    def __str__(self) -> str:
        return (
            f"{self.jitter:>7.1f} {self.mouth:>6.2f} {self.sound:>6.3f} {self.jump:>6.1f} {self.limbs:>6.1f} "
            f"{self.gestures:>8.3f}"
        )


def measured(folder: Path, model: Path | None) -> Iterator[Row]:
    found = Trial(AudioToSkeleton.load(model or trained(folder)), cases())
    print(f"{HEAD}\n{'the truth':<62} {found.truth}", flush=True)
    for title, ways in SECTIONS.items():
        print(title, flush=True)
        for way in ways:
            print(found.line(way), flush=True)
    yield from goals(found)


def goals(found: "Trial") -> Iterator[Row]:
    """What the defaults have to keep, over the same cases."""
    usual, _ = found.scored(SamplingSettings().sampling(paired=True, published=False))
    lost = found.truth.sound - usual.sound
    yield Row("defaults: jitter over the truth's", "times", usual.jitter, goal=Goal("value", 2.0))
    yield Row("defaults: jump in the first frame", "px", usual.jump, goal=Goal("value", 12.0))
    yield Row("defaults: mouth-to-sound below the truth's", "correlation", lost, goal=Goal("value", 0.05))
    yield Row("defaults: mouth's amplitude off the truth's", "share", abs(usual.mouth - 1), goal=Goal("value", 0.15))


def trained(folder: Path) -> Path:
    """The full model of `make ablation`."""
    from pipeline.model.training.checkpoint import weights_of
    from pipeline.model.training.loop import train
    from stages.ablation.run import recipe, splits
    from stages.ablation.settings import AblationSettings

    settings = AblationSettings(steps=TRAINED_STEPS)
    planted.write(folder / "shards", splits(settings), settings.seconds_each)
    return weights_of(
        train(recipe(settings, "full", 0), folder / "shards", folder / "model", folder / "cache", say=lambda _: None)
    )


def cases() -> list[Case]:
    """One a speaker."""
    found = []
    for number in SPEAKERS:
        who = planted.speaker(number)
        lead, talk = (planted.pair(who, FRAMES / 25, [7, number, clip]) for clip in (0, 1))
        wave = talk.wave[: FRAMES * SAMPLES_PER_FRAME]
        found.append(Case(who, lead.keypoints[0], talk.keypoints, logmel(wave, FRAMES), talk.envelope))
    return found


class Trial:
    """A model, tried in many ways on the same cases; what was drawn once is not drawn again."""

    def __init__(self, model: AudioToSkeleton, cases: Sequence[Case]) -> None:
        self.model, self.cases = model, cases
        self._drawn = cache(self._draw)

    @cached_property
    def truth(self) -> Scores:
        """What the truth scores against itself; it begins at its own first frame."""
        own = [replace(case, start=case.true[0]) for case in self.cases]
        return scores(own, [case.true for case in own])

    def line(self, way: Mapping[str, Any]) -> str:
        found, calls = self.scored(way)
        return f"  {words(way):<60} {found} {calls:>6}"

    def scored(self, way: Mapping[str, Any]) -> tuple[Scores, int]:
        """Scores of a way to sample, and calls of the network."""
        sampling = {
            name: value for name, value in way.items() if name not in ("smooth", "seed")
        }  # each case has its own
        made, calls = self._drawn(tuple(sampling.items()))
        return scores(self.cases, [smoothed(motion, way["smooth"]) for motion in made]), calls

    def _draw(self, sampling: tuple[tuple[str, Any], ...]) -> tuple[list[Made], int]:
        calls = 0

        def count(*_: Any) -> None:
            nonlocal calls
            calls += 1

        hook = self.model.net.register_forward_hook(count)
        made = [
            self.model.generate(case.features, case.reference, seed=number, batch=64, **dict(sampling))
            for number, case in enumerate(self.cases)
        ]
        hook.remove()
        return made, calls // len(made)


def smoothed(motion: Made, variant: Any) -> Floats64:
    """Keypoints (F, 133, 2) px, smoothed as `AudioToSkeleton.generate` does."""
    local, neck = motion.local, motion.neck
    if variant != "none":
        scores = np.broadcast_to(motion.scores, local.shape[:2])
        local, neck = smooth.smooth(local, neck, scores, variant=variant)
    return np.asarray(from_local(local, neck), float)


def scores(cases: Sequence[Case], made: Sequence[Floats64]) -> Scores:
    """Of motions (F, 133, 2) px, one a case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewSamples)
        gestures = gesture_distance(made, [case.true for case in cases])
    each = [of_one(case, points) for case, points in zip(cases, made, strict=True)]
    return Scores(*map(float, [*np.mean(each, 0), gestures]))


def of_one(case: Case, points: Floats64) -> tuple[float, float, float, float, float]:
    """Jitter, mouth, sound, jump and limbs of one motion."""
    opening = planted.mouth_opening(points)
    true = {"upper arm": case.who.upper_arm, "forearm": case.who.forearm, "shoulders": case.who.shoulders}
    wrists = np.concatenate([case.start[None], points[:FIRST]])[:, WRISTS]
    lengths = limb_lengths(points)
    return (
        jitter(points)["all"] / jitter(case.true)["all"],
        float(opening.std() / planted.mouth_opening(case.true).std()),
        float(np.corrcoef(opening, case.envelope)[0, 1]),
        float(np.linalg.norm(np.diff(wrists, axis=0), axis=-1).max()),
        float(np.mean([100 * abs(lengths[name] / length - 1) for name, length in true.items()])),
    )


def words(way: Mapping[str, Any]) -> str:
    """A way of sampling in a few words."""
    low, high = way.get("guidance_interval", (0.0, 1.0))
    named = {
        f"guidance {way['guidance']:g}": True,
        f"from {low:g} to {high:g}": (low, high) != (0, 1),
        f"rescale {way.get('guidance_rescale', 0):g}": "guidance_rescale" in way,
        f"begin {way['begin_at_reference']}": True,
        f"smooth {way['smooth']}": True,
        f"{way['sampler']} {way.get('steps') or ''}".strip(): True,
    }
    return ", ".join(name for name, told in named.items() if told)
