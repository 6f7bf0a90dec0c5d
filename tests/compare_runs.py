"""Compare the tables of two runs of the same work: `python -m tests.compare_runs BEFORE AFTER`.

Rows are joined by the key of their kind and compared column by column, NaN equal to NaN. Commit, time and place of a unit are no
part of a row and are not compared. Ends with code 1 when anything differs.
"""

import sys
from pathlib import Path

import pyarrow as pa

from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store


def differences(before: Path, after: Path) -> dict[str, str]:
    """{kind: what differs, "" when nothing does} of every kind of which either run has rows."""
    stores = Store(before), Store(after)
    found = {}
    for kind in KINDS:
        tables = [_rows(store, kind) for store in stores]
        if any(len(table) for table in tables):
            found[kind] = _difference(*tables)
    return found


def _rows(store: Store, kind: str) -> pa.Table:
    spec = KINDS[kind]
    names = [
        name for name in spec.schema.names if name not in spec.listings
    ]  # of pages, which show how long stages took
    table = store.read(kind, names)
    return table.sort_by(KINDS[kind].key)


def _difference(before: pa.Table, after: pa.Table) -> str:
    if len(before) != len(after):
        return f"{len(before)} rows before, {len(after)} after"
    unlike = [name for name in before.schema.names if not _same(before[name], after[name])]
    return f"other values in {', '.join(unlike)}" if unlike else ""


def _same(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool:
    """Whether two columns hold the same values bit for bit; lists of floats may hold NaN, which no comparison calls equal."""
    return bool(_bytes(before) == _bytes(after))


def _bytes(column: pa.ChunkedArray) -> bytes:
    batch = pa.record_batch([column.combine_chunks()], ["value"])
    copied = pa.Table.from_batches([batch]).take(pa.array(range(len(batch))))  # offsets start at 0, nothing is shared
    return bytes(copied.combine_chunks().to_batches()[0].serialize()) if len(batch) else b""


def main(before: Path, after: Path) -> int:
    """Print a line a kind; returns the exit code."""
    found = differences(before, after)
    rows = {kind: len(Store(after).read(kind, [KINDS[kind].key])) for kind in found}
    for kind, difference in found.items():
        print(f"{kind:16} {rows[kind]:7,} rows  {difference or 'equal'}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
