"""A driver in a process of its own, to be killed: `python -m tests.pipeline.engine.drive RUN WORKERS STAGE {settings}...`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pipeline.base.errors import StageError
from pipeline.cli.faults import INTERRUPTED
from pipeline.engine import commits
from pipeline.engine.executors import link
from pipeline.engine.profile import Machine
from pipeline.engine.runner import Options, run_stage
from pipeline.registry.models import Registry
from tests.pipeline.engine import toys

KNOWN: tuple[Any, ...] = (*toys.CHAIN, toys.ToyHeavy, toys.ToyBroken, toys.ToyServed)
STAGES = {cls.name: cls for cls in KNOWN}


def main() -> None:
    commits.COMMIT_SECONDS = float(os.environ.get("TOY_COMMIT_SECONDS", commits.COMMIT_SECONDS))
    link.GRACE_SECONDS = float(os.environ.get("TOY_GRACE_SECONDS", link.GRACE_SECONDS))
    run, workers = Path(sys.argv[1]), int(sys.argv[2])
    address = os.environ.get("TOY_RAY")  # of a Ray cluster, "" for one of its own
    served = os.environ.get("TOY_NET_SERVER", "auto")
    machine = Machine(net_server=served) if address is None else Machine(executor="ray", address=address)
    options = Options(workers=workers, executor=machine.executor, machine=machine)
    for name, settings in zip(sys.argv[3::2], sys.argv[4::2], strict=True):
        stage = STAGES[name](**json.loads(settings))
        try:
            summary = run_stage(stage, run, Registry(cache=run / "nets"), options)
        except StageError as error:
            sys.exit(str(error))
        print(name, json.dumps(summary.counts), flush=True)
        if summary.interrupted:
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
