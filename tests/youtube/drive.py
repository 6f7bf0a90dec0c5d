"""Real stages in a process of its own, for tests that kill it: `python -m tests.youtube.drive RUN WEB STAGE SETTINGS ...`."""

import json
import sys
from pathlib import Path

from pipeline.base.errors import StageError
from pipeline.cli.faults import INTERRUPTED
from pipeline.engine.lookup import stage_class
from pipeline.engine.runner import Options, run_stage
from pipeline.registry.models import Registry
from pipeline.sources.web.settings import Web

BLOCKED = 3


def main() -> None:
    run, web = Path(sys.argv[1]), Web(**json.loads(sys.argv[2]))
    for name, settings in zip(sys.argv[3::2], sys.argv[4::2], strict=True):
        stage = stage_class(name)(**json.loads(settings))
        try:
            summary = run_stage(stage, run, Registry(cache=run / "nets"), Options(workers=2, web=web))
        except StageError as error:
            print(name, error, flush=True)
            sys.exit(BLOCKED)
        print(name, json.dumps(summary.counts), flush=True)
        if summary.interrupted:
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
