"""What the stage `shards` wrote: a changed verdict rewrites its shard, most of which is copied."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.shards.written import from_text
from pipeline.tables.table import remaking

if TYPE_CHECKING:
    from pipeline.tables.store import Store

SHARDS = "shards"


@dataclass(frozen=True)
class Packed:
    """Shards that were written.

    Attributes:
        shards, samples: how many, and how many are in them.
        anew: samples that were encoded anew.
        bytes, copied: of their row groups, and how many of these were there before.
    """

    shards: int
    samples: int
    anew: int
    bytes: int
    copied: int


def row_groups(store: "Store") -> dict[str, str]:
    """{bucket: what the table says of the row groups of its shard}; what of it was lost is about to be made anew."""
    table = store.table(SHARDS)
    with remaking(table.folder):
        rows = table.rows(["bucket", "row_groups"]).to_pylist()
    return {row["bucket"]: row["row_groups"] for row in rows if row["row_groups"]}


def packed_since(before: Mapping[str, str], store: "Store") -> Packed:
    """What was written since the tables said `before`: shards, and in them what was in the shard of the same bucket already."""
    shards = samples = anew = size = copied = 0
    for bucket, text in row_groups(store).items():
        if text == before.get(bucket):
            continue
        was = from_text(before[bucket]) if bucket in before else []
        groups, rows = set(was), {row for group in was for row in group.rows}
        for group in from_text(text):
            samples += len(group.rows)
            anew += sum(row not in rows for row in group.rows)
            size += group.stored.bytes
            copied += group.stored.bytes if group in groups else 0
        shards += 1
    return Packed(shards, samples, anew, size, copied)
