"""What a worker tells of itself; as a program, a driver whose forks have the modules of every stage."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from pipeline.engine.executors.executor import Job
from pipeline.engine.executors.expected import expect, modules
from pipeline.engine.executors.local import LocalExecutor
from pipeline.engine.stage import Context, Stage
from pipeline.engine.unit import Unit
from pipeline.tables.arrow import packed_schema
from pipeline.tables.kinds import KINDS
from tests.pipeline.engine.toys import ToyTold

ROOT = Path(__file__).parents[4]


def told(run: Path, unit: str = "PATH", device: str = "cpu") -> dict[str, Any]:
    """What a worker tells of itself (`ToyTold`)."""
    results = LocalExecutor(Job(ToyTold(), Context(run, device), 1)).results(enumerate([Unit(unit, {})]))
    _, result = next(results)
    found: dict[str, Any] = json.loads(result.table(packed_schema(KINDS["videos"]))["title"][0].as_py())
    results.close()
    return found


def every_stage() -> list[Stage]:
    """All that have a worker, evaluate's too; what crawl takes is fetched."""
    rooms = sorted(path.parent.relative_to(ROOT) for path in ROOT.glob("stages/**/worker.py"))
    packages = [import_module(".".join(room.parts)) for room in rooms]
    found = [(package, kind) for package in packages for kind in vars(package).values()]
    return [
        kind(**({"input": "theatre"} if "input" in kind.model_fields else {}))
        for package, kind in found
        if isinstance(kind, type) and issubclass(kind, Stage) and kind.__module__ == package.__name__
    ]


def main() -> None:
    expect([ToyTold(), *every_stage()])
    found, asked = told(Path.cwd()), modules(ToyTold())
    threads = psutil.Process(found["parent"]).num_threads()
    print(json.dumps({"threads": threads, "asked": asked, "missing": sorted({*asked} - {*found["modules"]})}))


if __name__ == "__main__":
    main()
