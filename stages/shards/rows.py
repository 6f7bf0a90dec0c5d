"""What is known of the samples of a bucket, joined: by columns, with the heavy ones a row group at a time."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.units import FPS, Row
from pipeline.base.version import version_of
from pipeline.engine.unit import Unit
from pipeline.shards.format import VERSION, shard_measures, shard_schema
from pipeline.shards.write import pack
from pipeline.tables.arrow import to_arrow
from pipeline.tables.hashing import Hashes, digest, flat, mix, raw, row_hashes, string_hashes, valid
from pipeline.tables.kinds import KINDS
from stages.shards.columns import FEATURES, PUBLISHED, SAMPLE

_HEAVY = ("keypoints", "scores", "neck", "audio", "crop_box")
_OF_VIDEO = {**{name: name for name in PUBLISHED}, "source_width": "width", "source_height": "height"}
_ENCODING = 1  # a number of its own for how rows are encoded: another one, and nothing that was written is used again


class BucketRows:
    """The rows of a bucket.

    Args:
        unit: the bucket, in columns.
        version: of the stage.
    """

    def __init__(self, unit: Unit, version: int) -> None:
        self._unit, self._version, self._layout = unit, version, shard_schema()
        self.samples = unit.table("samples")
        self._tables = {kind: unit.table(kind) for kind in ("videos", "clips", "persons", *shard_measures())}
        self._tables["audio_features"] = unit.table("audio_features")
        self._at = {kind: self._places(kind) for kind in self._tables}
        for kind in ("videos", "clips", "persons"):
            if self._at[kind].null_count:
                raise LookupError(f"{unit.id} has samples without a row of {kind}")

    def _places(self, kind: str) -> pa.Array:
        """(samples,) the number of each sample's row of a kind; null where it has none."""
        key = KINDS[kind].key
        return pc.index_in(flat(self.samples[key]), value_set=flat(self._tables[kind][key]))

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def seconds(self) -> float:
        """Of all clips."""
        return float(raw(flat(self.samples["frames"])).sum()) / FPS

    def hashes(self) -> list[str]:
        """Of each row, a hash of all that it is made of, and of who writes it, in hex."""
        total = row_hashes(self.samples, self.samples.column_names) ^ string_hashes(flat(self.samples["video"]))
        for kind, table in self._tables.items():
            found = mix(row_hashes(table, table.column_names) ^ np.uint64(digest(kind)))
            total = mix(total + _taken(found, self._at[kind]))
        writer = digest(str(_ENCODING), str(self._version), version_of("pyarrow"), versions(), str(self._layout))
        return [f"{number:016x}" for number in mix(total ^ np.uint64(writer)).tolist()]

    def table(self, rows: Sequence[int]) -> pa.Table:
        """Rows of the shard, encoded as they are stored; not more than a row group is worth its memory."""
        numbers = pa.array(rows, pa.int64())
        heavy = self._heavy(rows, numbers)
        light = self._light(numbers)
        arrays = []
        for field in self._layout:
            column = light.get(field.name)
            arrays.append(to_arrow(heavy[field.name], field.type) if column is None else column.cast(field.type))
        return pa.Table.from_arrays(arrays, schema=self._layout)

    def _heavy(self, rows: Sequence[int], numbers: pa.Array) -> dict[str, list[Any]]:
        packed: list[Row] = [pack(row) for row in self._unit.heavy("samples", rows)]
        heavy = {name: [row.get(name) for row in packed] for name in (*_HEAVY, "local")}
        places = self._at["audio_features"].take(numbers).to_pylist()
        found = iter(self._unit.heavy("audio_features", [place for place in places if place is not None]))
        heavy["audio_features"] = [None if place is None else next(found)["audio_features"] for place in places]
        return heavy

    def _light(self, numbers: pa.Array) -> dict[str, pa.Array]:
        own = self.samples.take(numbers)
        found = {name: own[name] for name in ("clip_id", "video_id", *SAMPLE) if name not in _HEAVY}
        found |= self._columns("videos", _OF_VIDEO, numbers)
        found |= self._columns("persons", {"person": "person"}, numbers)
        found |= self._columns("clips", {"start_seconds": "start_seconds"}, numbers)
        found |= self._columns("audio_features", {FEATURES[1]: FEATURES[1]}, numbers)
        for kind, names in shard_measures().items():
            found |= self._columns(kind, dict(zip(names, names, strict=True)), numbers)
        same = {"fps": FPS, "versions": versions()}
        found |= {name: pa.array([value] * len(numbers), self._layout.field(name).type) for name, value in same.items()}
        return {name: flat(column) if isinstance(column, pa.ChunkedArray) else column for name, column in found.items()}

    def _columns(self, kind: str, names: dict[str, str], numbers: pa.Array) -> dict[str, pa.ChunkedArray]:
        """{column of the shard: its values} from a kind's columns; null where a sample has no row of it."""
        rows = self._tables[kind].select(list(dict.fromkeys(names.values()))).take(self._at[kind].take(numbers))
        return {name: rows[own] for name, own in names.items()}


def _taken(hashes: Hashes, at: pa.Array) -> Hashes:
    """(samples,) the hashes of their rows; 0 where there is none."""
    there = valid(at)
    found = np.zeros(len(at), np.uint64)
    found[there] = hashes[raw(at)[there]]
    return found


def versions() -> str:
    """What wrote a row, as it says itself."""
    return json.dumps({"csg405": version_of(), "shard": ".".join(map(str, VERSION))}, sort_keys=True)
