"""Servers of nets beside a stage's workers on this machine (`pipeline.nets.server`), where the machine's settings want them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from pipeline.base.errors import StageError
from pipeline.engine.devices import cards
from pipeline.engine.executors.executor import Job, Result
from pipeline.engine.executors.limits import limit_memory
from pipeline.engine.stage_nets import optional_names
from pipeline.nets.server.held import How
from pipeline.nets.server.keeper import Keeper

_RUN_SHARE = (
    0.1  # of a unit's time, after which a single run of a net is taken for endless: three may be tried within the unit
)


@contextmanager
def served(job: Job) -> Iterator[tuple[Job, Keeper | None]]:
    """The job with servers for its workers, and who keeps them; the job as it is, and None, where none are wanted.

    Raises StageError where they are insisted on and cannot be.
    """
    if not wanted(job):
        yield job, None
        return
    context, needs = job.context, job.stage.resources
    on_gpu = context.device == "cuda"
    servers = max(1, min(cards(), job.workers)) if on_gpu else 1
    threads = 1 if on_gpu else max(1, context.threads * job.workers)
    nets = len(job.stage.model_names()) + len(optional_names(job.stage))
    how = How.on("cuda" if on_gpu else "cpu", threads, _RUN_SHARE * needs.seconds, max(1, nets))
    keeper = Keeper(how, servers, partial(limit_memory, needs.memory_gb, context.device))
    with keeper as address:
        share = min(1.0, servers / job.workers)
        yield replace(job, context=replace(context, net_server=address, gpu_share=share)), keeper


def wanted(job: Job) -> bool:
    """Whether a job's workers get a server. Raises StageError where it is insisted on, on a system that has none."""
    asked = job.machine.net_server
    if asked == "off" or not (job.stage.resources.served and job.workers):
        return False
    if sys.platform != "linux":
        if asked == "on":
            raise StageError(f"machine.net_server is on, and {sys.platform} has no such server: set it to auto or off")
        return False
    return asked == "on" or (job.context.device == "cuda" and job.workers > max(1, cards()))


def told(result: Result, keeper: Keeper | None) -> Result:
    """A result that stops the stage, with the reason why no server is started any more, where that is why."""
    if result.broken and keeper is not None and keeper.given_up:
        return replace(result, detail=f"{result.detail} ({keeper.given_up})")
    return result
