"""From a job to a film: plan, run, collect, and write with the voice."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from pipeline.backends.backend import Backend
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Filmed, Job, Options, Plan

BACKENDS: Mapping[str, str] = {
    "skeleton": "pipeline.backends.skeleton:Skeleton",
    "stableanimator": "pipeline.backends.stableanimator:StableAnimator",
    "echomimicv2": "pipeline.backends.echomimicv2:EchoMimicV2",
    "mimicmotion": "pipeline.backends.mimicmotion:MimicMotion",
}
"""Name -> where its adapter lives."""


def backend(name: str) -> Backend:
    """The adapter of that name; BackendError (BAD_JOB) when there is none."""
    if name not in BACKENDS:
        raise BackendError(Trouble.BAD_JOB, f"no back-end is called {name!r}: there are {', '.join(BACKENDS)}")
    module, kind = BACKENDS[name].split(":")
    made = getattr(import_module(module), kind)()
    assert isinstance(made, Backend)
    return made


def plan(name: str, job: Job, options: Options, work: Path) -> Plan:
    """Write a back-end's inputs into a new folder `work`, and say how it is run; neither a GPU nor weights are needed.

    Raises:
        BackendError: BAD_JOB, NO_CHECKOUT.
    """
    raise NotImplementedError


def drive(name: str, job: Job, options: Options, out: Path, work: Path) -> Filmed:
    """Film a job: write the inputs into the new folder `work`, run the back-end, and write an mp4 with the voice.

    Args:
        name: of `BACKENDS`.
        job: what to film.
        options: how.
        out: the mp4, written whole or not at all.
        work: a folder for inputs, log and the back-end's own output; it stays, and must not hold anything yet.

    Raises:
        BackendError: what went wrong and what to do. Failure: of writing the mp4, as `pipeline.media.writer.write_video`.
    """
    raise NotImplementedError
