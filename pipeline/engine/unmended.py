"""Notes of units that a stage could not make again: what was made of them stays, so no outcome says it."""

import json
from collections import Counter
from pathlib import Path

from pipeline.base import files
from pipeline.engine.stamps import FOLDER

SUFFIX = ".unmended"


def keep_unmended(run: Path, stage: str, reasons: Counter[str], shard: tuple[int, int] | None = None) -> None:
    """Note why units of a stage were not made again, by reason; of none, take the note away, a whole run those of all parts."""
    path = _path(run, stage, shard)
    for old in [path] if shard else _notes(run, stage):
        if old != path or not reasons:
            old.unlink(missing_ok=True)
    if reasons:
        files.write_text(path, json.dumps(reasons))


def unmended(run: Path, stage: str, shard: tuple[int, int] | None = None) -> Counter[str]:
    """{reason: units} that a stage did not make again when it last ran."""
    found: Counter[str] = Counter()
    for path in [_path(run, stage, shard)] if shard else _notes(run, stage):
        try:
            found += Counter({reason: int(count) for reason, count in files.read_object(path).items()})
        except (ValueError, TypeError):  # the stage's next run writes it again
            continue
    return found


def _notes(run: Path, stage: str) -> list[Path]:
    return sorted(path for ending in ("", ".*-of-*") for path in (run / FOLDER).glob(f"{stage}{ending}{SUFFIX}"))


def _path(run: Path, stage: str, shard: tuple[int, int] | None) -> Path:
    part = f".{shard[0]}-of-{shard[1]}" if shard else ""
    return run / FOLDER / f"{stage}{part}{SUFFIX}"
