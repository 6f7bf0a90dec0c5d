"""From a job to a video: plan, run, collect, and write with the voice."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.backends.backend import Backend
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Filmed, Job, Options, Plan
from pipeline.backends.kept import Kept
from pipeline.backends.process import run
from pipeline.base.attributes import load_attribute
from pipeline.media.writer import write_video

BACKENDS: Mapping[str, str] = {
    "skeleton": "pipeline.backends.skeleton:Skeleton",
    "stableanimator": "pipeline.backends.stableanimator:StableAnimator",
    "echomimicv2": "pipeline.backends.echomimicv2:EchoMimicV2",
    "echomimicv2-acc": "pipeline.backends.echomimicv2:EchoMimicV2Acc",
    "mimicmotion": "pipeline.backends.mimicmotion:MimicMotion",
    "wan-s2v": "pipeline.backends.wan:WanS2V",
    "vace-1.3b": "pipeline.backends.vace:Vace1B",
    "vace-14b": "pipeline.backends.vace:Vace14B",
}
"""Name -> where its adapter lives."""

_HOSTED = re.compile(r"\w[\w.-]*/[\w.-]+")  # an id such as stabilityai/sd-vae-ft-mse


def backend(name: str) -> Backend:
    """The adapter of that name; BackendError (BAD_JOB) when there is none."""
    if name not in BACKENDS:
        raise BackendError(Trouble.BAD_JOB, f"no back-end is called {name!r}: there are {', '.join(BACKENDS)}")
    made = load_attribute(BACKENDS[name])()
    assert isinstance(made, Backend)
    return made


def plan(name: str, job: Job, options: Options, work: Path) -> Plan:
    """Write a back-end's inputs into a new folder, and say how it is run; neither its checkout nor a GPU has to be there.

    Args:
        name: of `BACKENDS`.
        job: what to film.
        options: how.
        work: the folder for the inputs; it must not hold anything yet.

    Raises:
        BackendError: BAD_JOB.
    """
    adapter = backend(name)
    adapter.check(options)
    view = adapter.view(job, options)
    work = work.absolute()
    folder = work
    if adapter.source:
        # Where none is named, the one that `git clone` makes here.
        folder = (options.checkout or Path(adapter.source.rpartition("/")[2])).absolute()
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        raise BackendError(Trouble.BAD_JOB, f"{work} is not empty: name a new folder")
    command = adapter.prepare(job, view, options, _python(options, folder), work)
    return Plan(name, view, work, command, folder)


def drive(name: str, job: Job, options: Options, out: Path, work: Path, kept: Kept | None = None) -> Filmed:
    """Film a job: write the inputs into a new folder, run the back-end, and write an mp4 with the voice.

    Picture n of the mp4 is shown at n/fps s, and the voice's first sample is heard with picture 0.

    Args:
        name: of `BACKENDS`.
        job: what to film.
        options: how.
        out: the mp4, written whole or not at all.
        work: the folder for inputs, log and the back-end's own output; it stays, and must not hold anything yet.
        kept: takes the back-end's process, where its program can be cut, for the jobs that follow; None starts it for this job.

    Raises:
        BackendError: what went wrong and what to do.
        Failure, WriteError: the mp4 cannot be written, as of `pipeline.media.writer.write_video`.
    """
    adapter = backend(name)
    check(name, options)
    made = plan(name, job, options, work)
    log = made.work / "log.txt" if made.command else None
    if log is not None:
        how: dict[str, Any] = {"gpu": options.gpu, "deadline_seconds": options.deadline_seconds}
        if kept is not None and adapter.cut is not None:
            kept.run(made.command, made.folder, log, adapter.cut, **how)
        else:
            run(made.command, made.folder, log, **how)
    out.parent.mkdir(parents=True, exist_ok=True)
    view = made.view
    write_video(
        out,
        adapter.collect(job, made),
        job.wave,
        size=view.size,
        fps=view.fps,
        options={"crf": 18, "preset": "medium"},
        deadline_seconds=options.deadline_seconds,
    )
    return Filmed(out, view.box, view.size, view.fps, view.frames, log, made.command)


def check(name: str, options: Options) -> None:
    """Look for a back-end's checkout, interpreter and weights, before anything costs time.

    Raises:
        BackendError: NO_CHECKOUT, NO_PYTHON, NO_WEIGHTS: what is missing and how to get it. BAD_JOB: options that do not fit.
    """
    adapter = backend(name)
    adapter.check(options)
    if not adapter.source:
        return
    if options.checkout is None:
        raise BackendError(
            Trouble.NO_CHECKOUT, f"{name} needs its checkout: {_clone(adapter)}, then set backend_dir to it"
        )
    folder = options.checkout.absolute()
    if not folder.is_dir():
        raise BackendError(Trouble.NO_CHECKOUT, f"{folder} is not there: {_clone(adapter)}")
    for needed in adapter.needed:
        if not (folder / needed).exists():
            raise BackendError(
                Trouble.NO_CHECKOUT, f"{folder} is no checkout of {name}: it has no {needed}. {_clone(adapter)}"
            )
    python = _python(options, folder)
    if shutil.which(python) is None:
        raise BackendError(
            Trouble.NO_PYTHON,
            f"{python} is no program: create {name}'s environment as its readme says, and name its interpreter",
        )
    for which, path in adapter.weights_of(options).items():
        hosted = which in adapter.hub and _HOSTED.fullmatch(path)
        if not hosted and not (folder / path).exists():
            origin = f" ({adapter.hosted} of Hugging Face)" if adapter.hosted else ""
            raise BackendError(
                Trouble.NO_WEIGHTS,
                f"{which}: {folder / path} is not there: download {name}'s weights{origin} as its readme says, "
                "or say where they are",
            )


def _clone(adapter: Backend) -> str:
    return f"`git clone {adapter.source}`"


def _python(options: Options, folder: Path) -> str:
    """The interpreter that is named, that of an environment within the checkout, or the system's."""
    if options.python:
        # A path is meant from here, not from the checkout in which it is run.
        return str(Path(options.python).absolute()) if "/" in options.python else options.python
    for place in (".venv", "venv"):
        if (folder / place / "bin" / "python").exists():
            return str(folder / place / "bin" / "python")
    return "python3"
