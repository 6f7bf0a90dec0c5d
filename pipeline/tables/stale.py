"""Training caches that no training of the run can use again: they are a fifth of its disk."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.storage import storage_of
from pipeline.tables.run_folder import Place

INDEX = "index.json"
_OF_SHARDS = "shards/_index.json"


def stale(
    run: Path, place: Place, shards_of: Callable[[Path, str], Mapping[str, str] | None]
) -> Iterator[tuple[Path, str]]:
    """The caches in a place whose shards the run has no more, and why each is one.

    A cache names the shards' hashes and, where they are not this run's, the folder that they lay in. Another run's cache is judged
    by its own shards, and stays where these cannot be read: their disk may only be away.

    Args:
        run: the run's folder.
        place: where caches lie.
        shards_of: gives {file: sha256} of a folder of shards and a split, None where it cannot be read.
    """
    for path in sorted((run / place.name).glob("[!.]*")):
        try:
            index = json.loads((path / INDEX).read_text(encoding="utf-8"))
            made_of, split = dict(index["shards"]), str(index["split"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        folder, home = Path(index.get("folder", "")), storage_of(run).local(_OF_SHARDS).parent
        now = shards_of(folder if folder.is_absolute() else home, split)
        if now is not None and now != made_of:
            yield path, "a training cache of shards that are there no more"
