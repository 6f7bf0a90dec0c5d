"""Taking people out of a published release: what has to be removed from it, and a new version in which they never were.

The release may come from strangers, and stays as it is. The new version is written beside its target, searched for every id that
was taken out, and renamed; what was removed stands in two files beside it, which are not to be published.
"""

import json
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.base import files
from pipeline.base.text import printable
from pipeline.shards.format import ShardError
from pipeline.shards.release import ALL_LINKS, AVAILABILITY, LINKS, schemas
from pipeline.shards.release.about import About, public
from pipeline.shards.release.reading import Released, open_release, tables_of
from pipeline.shards.release.seal import seal
from pipeline.shards.release.tables import TableWriter, link_line
from pipeline.shards.release.traces import Traces
from pipeline.shards.release.wanted import Gone, Wanted
from pipeline.tables import takedowns

_NAMES = ["name", "person_id", "clip_id", "video_id", "url"]


@dataclass
class TakenDown:
    """What a takedown took out.

    Attributes:
        release, out: the old version and the new one.
        old, new: their versions.
        gone: ids that were taken out.
        unmatched: entries that name nothing in the release.
        unresolved: those of them that name a channel, of which no video is known: they may be in it.
        changed: what became of each file that held some of it: path, rows by number, hashes.
        lists: the two files that say all this, with ids.
    """

    release: Path
    out: Path
    old: str
    new: str
    gone: Gone
    unmatched: Sequence[str]
    changed: list[dict[str, Any]] = field(default_factory=list)
    lists: tuple[Path, ...] = ()
    unresolved: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "release": str(self.release),
            "version": self.old,
            "new": str(self.out),
            "new_version": self.new,
            "persons": sorted(self.gone.persons),
            "clips": sorted(self.gone.clips),
            "videos": sorted(self.gone.videos),
            "links": sorted(self.gone.urls),
            "named_nothing": [entry for entry in self.unmatched if entry not in self.unresolved],
            "not_looked_up": list(self.unresolved),
            "files": self.changed,
        }


def takedown(folder: Path, wanted: Wanted, out: Path) -> TakenDown:
    """Write a version of a release without some people.

    Args:
        folder: the release.
        wanted: who goes.
        out: the new version; must not exist.

    Raises:
        ShardError: the folder is no whole release, nothing in it is meant, or an id would have stayed; nothing was written.
    """
    folder, out = Path(folder), Path(out)
    if out.exists() or out.resolve().is_relative_to(folder.resolve()):
        raise ShardError(f"{out} is there already, or lies in the release: name a folder that is not there yet")
    release = open_release(folder)
    gone, left = _gone(release, wanted)
    if not gone.persons:
        raise ShardError(f"{folder} holds nothing of what was named: nothing was written")
    if not left:
        raise ShardError(f"nobody would be left in {folder}: withdraw it as a whole")
    # older versions published people's decisions with ids and names
    about = replace(release.about, version=release.about.next_version, settings=public(release.about.settings))
    about = replace(about, changes=(*about.changes, f"{about.version}: {gone} taken out on request."))
    found = TakenDown(folder, out, release.about.version, about.version, gone, wanted.unmatched(gone))
    found.unresolved = wanted.unresolved(gone)
    files.make_folder(out.absolute().parent)
    temporary = out.absolute().parent / f"{files.TEMPORARY}{uuid.uuid4().hex[:12]}"
    try:
        _write(release, temporary, about, gone, found)
        found.changed += _beside(release, temporary)
        if lines := takedowns.read(folder / takedowns.LEDGER):  # it lies at the same address in every version
            takedowns.add(temporary / takedowns.LEDGER, lines.values())
        temporary.rename(out)
        files.sync(out.absolute().parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    found.lists = _write_lists(found)
    return found


def _gone(release: Released, wanted: Wanted) -> tuple[Gone, int]:
    """What goes, and how many speakers stay."""
    gone, left = Gone(), 0
    stay: dict[str, set[str]] = {name: set() for name in ("clip_id", "video_id", "name", "url")}
    for path in release.files(ALL_LINKS):
        for table in tables_of(release.check(path), ALL_LINKS, _NAMES):
            for row in table.to_pylist():
                if wanted.means(row):
                    gone.add(row)
                else:
                    left += 1
                    for name, values in stay.items():
                        values.add(row[name])
    gone.keep(stay["clip_id"], stay["video_id"], stay["name"], stay["url"])
    return gone, left


def _write(release: Released, folder: Path, about: About, gone: Gone, found: TakenDown) -> None:
    """The new version; raises ShardError where an id is left in it."""
    with files.replacing(folder / LINKS) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as lines:
        for table in schemas():
            for path in release.files(table):
                removed = _without(
                    release.check(path), folder, path, table, gone, lines if table == ALL_LINKS else None
                )
                if removed:
                    found.changed.append({"path": path, "rows": removed, "sha256": release.listed[path]["sha256"]})
    seal(folder, about)
    if left := next(Traces(gone).found(folder), ""):
        raise ShardError(f"{left}: something beside the rows names who was to go; nothing was written")


def _without(source: Path, folder: Path, path: str, table: str, gone: Gone, lines: Any) -> list[int]:
    """Write a file of a table without the rows that go; none where no row is left. Returns: the numbers of those rows.

    All files are written anew, also those without such a row: a stranger's may name somebody in what no reader looks at.
    """
    removed: list[int] = []
    first = 0
    stays = 0
    with TableWriter(folder, table, name=Path(path).name) as writer:
        for rows in tables_of(source, table):
            goes = [gone.has(table, row) for row in rows.select(_ids(table)).to_pylist()]
            removed += [first + at for at, out in enumerate(goes) if out]
            first += len(rows)
            kept = rows.filter(pa.array([not out for out in goes], pa.bool_()))
            stays += len(kept)
            if lines is not None:
                lines.writelines(map(link_line, kept.to_pylist()))
            if len(kept):
                writer.write(kept)
    if first and not stays:
        (folder / path).unlink()
    return removed


def _ids(table: str) -> list[str]:
    return ["video_id"] if table == AVAILABILITY else ["person_id", "clip_id", "video_id"]


def _beside(release: Released, folder: Path) -> Iterable[dict[str, Any]]:
    """The new hashes of files that change, and those of the files beside the tables, which say other numbers now."""
    for path in sorted(release.listed):
        if "/" not in path:
            yield {
                "path": path,
                "rows": None,
                "sha256": release.listed[path]["sha256"],
                "written_anew": (folder / path).is_file(),
            }


def _write_lists(found: TakenDown) -> tuple[Path, ...]:
    """The lists of what goes, beside the new version and not in it."""
    as_json = found.out.with_name(f"{found.out.name}.takedown.json")
    as_text = found.out.with_name(f"{found.out.name}.takedown.txt")
    files.write_text(as_json, json.dumps(found.as_json(), indent=1, ensure_ascii=False) + "\n")
    files.write_text(as_text, "".join(f"{printable(line)}\n" for line in _readable(found)))
    return as_json, as_text


def _readable(found: TakenDown) -> Iterable[str]:
    yield f"To be removed from version {found.old} of the release; version {found.new} is without it. Do not publish this list."
    yield ""
    for title, ids in (("persons", found.gone.persons), ("clips", found.gone.clips), ("videos", found.gone.videos)):
        yield f"{title}: {', '.join(sorted(ids)) or 'none whole'}"
    yield ""
    for one in found.changed:
        rows = "made anew" if one["rows"] is None else f"rows {', '.join(map(str, one['rows']))} (the first is 0)"
        yield f"{one['path']} (sha256 {one['sha256']}): {rows}"
    for entry in found.unmatched:
        yield f"{'could not be looked up' if entry in found.unresolved else 'named nothing here'}: {entry}"
