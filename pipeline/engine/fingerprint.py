"""Fingerprints: what a unit's result depends on, and by which older version of its stage a result was made."""

import json
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.version import version_of
from pipeline.engine.stage import Stage
from pipeline.tables.hashing import Hashes, digest, flat, mix, raw, valid
from pipeline.tables.outcome import OK, REJECTED
from pipeline.tables.store import Store


def signature(stage: Stage, store: Store, net_hashes: Sequence[str], version: int | None = None) -> int:
    """A hash of what all units of a stage depend on: settings, nets, and its version, today's by default."""
    settings = json.dumps(stage.result_settings(), sort_keys=True, default=str)
    number = stage.version if version is None else version
    return digest(stage.name, str(number), settings, stage.depends(store), *net_hashes)


def fingerprints(content: Hashes, signed: int) -> Hashes:
    """(units,) hashes of everything that results depend on, from those of what the units hold."""
    return mix(content ^ np.uint64(signed))


def versions_of(stage: Stage) -> str:
    """What an outcome says of who made it; `version_in` reads it."""
    return f"csg405 {version_of()}, {stage.name} {stage.version}"


def version_in(text: str | None, stage: str) -> int:
    """The stage's version in what an outcome says; 0 where it says none."""
    found = re.search(rf"(?:^|, ){re.escape(stage)} (\d{{1,9}})$", text or "")
    return int(found[1]) if found else 0


def superseded(
    stage: Stage, store: Store, units: pa.Array, content: Hashes, net_hashes: Sequence[str], forms: Iterable[Stage] = ()
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Which results would stand but for a newer version of their stage.

    Args:
        stage: as it is today.
        store: the run's tables.
        units: ids.
        content: (units,) hashes of what the units hold.
        net_hashes: of today's nets.
        forms: the stage with other settings with which results count as the same, such as defaults of before.

    Returns: (units,) the version that made each, 0 where that is not the reason or there is no result; and its status.
    """
    found, status = np.zeros(len(units), np.int64), np.full(len(units), "", dtype="U8")
    won = store.table(stage.writes).winners(("versions",))
    if not len(won) or not len(units):
        return found, status
    at = pc.index_in(units, value_set=flat(won["unit"]))
    known = valid(at)
    rows = won.select(["stage", "fingerprint", "status", "versions"]).take(at.drop_null())
    made = np.array([version_in(text, stage.name) for text in _distinct(rows["versions"])], np.int64)[
        _codes(rows["versions"])
    ]
    states = np.array(_distinct(rows["status"]), dtype="U8")[_codes(rows["status"])]
    ours = np.array([name == stage.name for name in _distinct(rows["stage"])], bool)[_codes(rows["stage"])]
    made[~(ours & np.isin(states, (OK, REJECTED)))] = 0
    recorded, here = raw(flat(rows["fingerprint"])), content[known]
    reason = np.zeros(len(made), np.int64)
    for form in (stage, *forms):
        for version in sorted(set(made[made > 0].tolist()) - ({stage.version} if form is stage else set())):
            same = recorded == fingerprints(here, signature(form, store, net_hashes, version))
            reason[(made == version) & same] = version
    found[known], status[known] = reason, states
    return found, status


def _distinct(column: pa.ChunkedArray) -> list[str]:
    return [value or "" for value in flat(column).dictionary_encode(null_encoding="encode").dictionary.to_pylist()] or [
        ""
    ]


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    return raw(flat(column).dictionary_encode(null_encoding="encode").indices)
