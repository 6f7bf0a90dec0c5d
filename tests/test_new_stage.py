"""A stage with files of its own: written into a copy of the tree, its files are found by opt-out, gc and the disk figures.

It touches four files: its own, its kind (declared in a wing, listed in KINDS), and a line in the list of a run's folders.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.tables.store import Store
from tests.stages import fake_run

ROOT = Path(__file__).parent.parent
STAGE = '''"""How tall everybody is, as a picture of a line."""

from collections.abc import Iterator
from typing import ClassVar

from pipeline.base.ids import disk_name
from pipeline.base.units import Row
from pipeline.engine.stage import Context, Reads, Stage
from pipeline.engine.unit import Unit


class Silhouettes(Stage):
    """Writes a file for every person."""

    name: ClassVar[str] = "silhouettes"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("samples", ("person_id", "video_id", "frames")),)
    writes: ClassVar[str] = "silhouettes"
    unit: ClassVar[str] = "person_id"

    def worker(self, context: Context) -> "Drawer":
        return Drawer(context)


class Drawer:
    def __init__(self, context: Context) -> None:
        self.context = context

    def process(self, unit: Unit) -> Iterator[Row]:
        sample = unit.row("samples")
        key = f"silhouettes/{disk_name(unit.id)}.txt"
        with self.context.storage.writing(key) as path:
            path.write_text("|" * sample["frames"])
        yield {"person_id": unit.id, "video_id": sample["video_id"], "path": key}
'''
EDITS = {
    "pipeline/tables/kinds/outputs.py": {
        "SHARDS = Kind(": """SILHOUETTES = Kind(
    "silhouettes",
    key="person_id",
    parent="samples",
    columns=(PERSON, VIDEO, column("path", S, "path", "a line, relative to the run folder")),
)

SHARDS = Kind(""",
        "import VIDEO, ": "import PERSON, VIDEO, ",
    },
    "pipeline/tables/kinds/__init__.py": {
        "REPORTS, SHARDS\n": "REPORTS, SHARDS, SILHOUETTES\n",
        "*(PREVIEWS, SHARDS, REPORTS, RELEASES)": "*(PREVIEWS, SHARDS, REPORTS, RELEASES, SILHOUETTES)",
    },
    "pipeline/tables/run_folder.py": {
        '    Place("previews",': """    Place("silhouettes", "lines", Find.NAME, "csg405 run silhouettes", Collect.UNNAMED),
    Place("previews",""",
    },
}
# What the machine of the changed tree makes of a run with two people and a file that nobody names.
DRIVER = """
import json, sys, time
from pathlib import Path
from pipeline.engine.runner import Options, run_stage
from pipeline.engine.upkeep import waste
from pipeline.registry.models import Registry
from pipeline.shards.removal import remove_from_run
from pipeline.tables.store import Store
from pipeline.views.overview import bytes_on_disk
from stages.silhouettes import Silhouettes

run, leaver = Path(sys.argv[1]), sys.argv[2]
done = run_stage(Silhouettes(), run, Registry(cache=run.parent / "nets"), Options(workers=0))
folder = run / "silhouettes"
written = sorted(path.name for path in folder.iterdir())
shown = {"counts": done.counts, "written": written, "bytes": bytes_on_disk(run)["silhouettes"]}
shown["waste"] = [item.path.name for item in waste(Store(run), now=time.time() + 7200) if item.path.parent == folder]
removed = remove_from_run(run, [leaver])
shown["removed"], shown["told"] = removed.files, list(removed.told)
shown["left"] = sorted(path.name for path in folder.iterdir())
print(json.dumps(shown))
"""


def changed_tree(tree: Path) -> list[str]:
    """A copy of the tree with the stage in it; the files that differ from ours."""
    for name in ("pipeline", "stages", "manifests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "stages" / "silhouettes.py").write_text(STAGE)
    for name, edits in EDITS.items():
        text = (tree / name).read_text()
        for old, new in edits.items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
            text = text.replace(old, new)
        (tree / name).write_text(text)
    sources = [path.relative_to(tree) for folder in ("pipeline", "stages") for path in (tree / folder).rglob("*.py")]
    return [str(p) for p in sources if not (ROOT / p).exists() or (tree / p).read_bytes() != (ROOT / p).read_bytes()]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two people who are kept, and a file in the stage's folder that no row names."""
    store = Store(tmp_path / "run")
    for video in (1, 2):
        fake_run.add_video(store, video)
        fake_run.add_clip(store, video)
        fake_run.add_person(store, video)
        fake_run.add_sample(store, video, 0)
    stray = store.run / "silhouettes" / "stray.txt"
    stray.parent.mkdir()
    stray.write_text("left behind")
    return store.run


def test_a_new_stage_touches_four_files_and_the_machine_finds_what_it_writes(run: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    assert len(changed_tree(tree)) == 4

    command = [sys.executable, "-c", DRIVER, str(run), fake_run.video_id(1)]
    made = subprocess.run(
        command, cwd=tree, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(tree)}
    )
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)

    assert shown["counts"] == {"ok": 2}
    first, second = sorted(set(shown["written"]) - {"stray.txt"})
    assert shown["bytes"] == len("left behind") + 2 * fake_run.FRAMES
    assert shown["waste"] == ["stray.txt"]
    assert shown["left"] == [second, "stray.txt"] and first != second
    assert shown["removed"] == 1 and not [line for line in shown["told"] if "not on the list" in line]
