"""Which nets made the rows of a run, as its outcomes say."""

from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from pipeline.tables.outcome import OK, REJECTED
from pipeline.tables.store import Store

UNKNOWN = "not recorded"  # by a version that wrote no such column


@dataclass(frozen=True)
class MadeBy:
    """Results of one stage that the same nets made.

    Attributes:
        stage: its name.
        version: of the program and the stage, as outcomes say it.
        nets: {name: sha256}; empty where none were recorded.
        units: results.
    """

    stage: str
    version: str
    nets: dict[str, str]
    units: int

    def words(self, characters: int = 12) -> str:
        """The nets in words, each with the first characters of its hash."""
        return ", ".join(f"{name} {sha256[:characters]}" for name, sha256 in self.nets.items()) or UNKNOWN


def made_by(store: Store) -> list[MadeBy]:
    """What made the results of a run, in the order of its tables; of every stage of which at least one result names a net."""
    found = []
    for kind in store.kinds:
        won = store.outcomes(kind).select(["stage", "status", "versions", "nets"])
        won = won.filter(pc.or_(pc.equal(won["status"], OK), pc.equal(won["status"], REJECTED)))
        groups = won.group_by(["stage", "versions", "nets"]).aggregate([([], "count_all")]).to_pylist()
        for row in sorted(groups, key=lambda row: tuple(map(str, row.values()))):
            one = MadeBy(row["stage"], row["versions"] or "", _parsed(row["nets"]), row["count_all"])
            found.append(one)
    with_nets = {one.stage for one in found if one.nets}
    return [one for one in found if one.stage in with_nets]


def as_json(found: list[MadeBy]) -> dict[str, list[dict[str, Any]]]:
    """The same for an index: {stage: [{version, nets: {name: sha256}, units}]}."""
    listed: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        listed.setdefault(one.stage, []).append({"version": one.version, "nets": one.nets, "units": one.units})
    return listed


def _parsed(text: str | None) -> dict[str, str]:
    pairs = [part.rpartition(" ") for part in (text or "").split(", ") if part]
    return {name: sha256 for name, _, sha256 in pairs}
