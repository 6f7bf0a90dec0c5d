"""Deleting what a run's folders hold of people who opted out, place by place as `run_folder` lists them.

Every step may be killed and done again: what tells whose a file is (its name, its note, a row of a table) goes after the file.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base import files
from pipeline.base.damage import Damage
from pipeline.base.ids import disk_name
from pipeline.storage import Entry, Storage
from pipeline.tables import losses, people, pointer, run_folder
from pipeline.tables.kinds import KINDS, is_path
from pipeline.tables.mentions import Mentions
from pipeline.tables.opt_out import OptOut
from pipeline.tables.parts import write_parquet
from pipeline.tables.run_folder import Find
from pipeline.tables.seal import DamagedFile, opened, told
from pipeline.tables.store import CHANNEL_COLUMNS, Store

_TEXT = (".js", ".json", ".jsonl", ".csv", ".md", ".html", ".txt")
_TOLD = {
    "release": "the release of this run held them: `{made_by}` writes one without them; publish that in place of the old one, "
    "and ask whoever has a copy to delete it",
    "model": "{path} was made with them in its training data, which cannot be undone: make another one without them "
    "(`{made_by}`), then delete this one and every copy",
    "model?": "{path} does not say who is in it (an older version made it): if they were in its shards, make another one",
    "elsewhere": "{path}, outside the run, was made from them: delete it",
    "damaged": "{path} does not read: it says which file outside the run was made from whom; look for one",
    "unsaid": "{count} files in {path} do not say whose they are (an older version made them, or somebody put them there): "
    "look at them, such as {first}",
    "unknown": "{path} is not on the list of a run's folders and was not looked into",
    "again": "{path} named them and is deleted: `{made_by}` writes it without them",
    "again?": "{path} holds a file that does not read, so that nobody can tell who is in it, and is deleted: `{made_by}` writes it "
    "without them",
}


@dataclass
class Forgotten:
    """What was deleted, and what has to be told.

    Attributes:
        files, bytes: deleted.
        told: what could not be undone or looked into, and what is to be made again; a line each.
        damages: by path, what would have said more about these people, and is missing or does not read.
        folders: in which something was deleted; to be flushed at the end.
    """

    files: int = 0
    bytes: int = 0
    told: list[str] = field(default_factory=list)
    damages: dict[str, Damage] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)

    def delete(self, path: Path, *, with_note: bool = True) -> None:
        """Delete a file or folder, and its note; count it where it was there."""
        count, size = people.size_of(path) if path.exists() else (0, 0)
        people.delete(path, with_note=with_note)
        self.folders.add(path.parent)
        self.files, self.bytes = self.files + count, self.bytes + size

    def delete_stored(self, storage: Storage, entry: Entry) -> None:
        """Delete a file by its key and count it; nothing where it is gone already."""
        if storage.delete(entry.key):
            self.files, self.bytes = self.files + 1, self.bytes + entry.bytes

    def tell(self, what: str, **values: Any) -> None:
        self.told.append(_TOLD[what].format(**values))

    def read(self, part: Path, columns: Callable[[pa.Schema], Iterable[str]] | None = None) -> pa.Table | None:
        """A part of a table, or columns of it; None where it does not read, which is noted."""
        try:
            return _read(part, columns)
        except DamagedFile as error:
            damage = losses.of_part(part, str(error))
            self.damages.setdefault(damage.path, damage)
            return None


def forget(store: Store, videos: frozenset[str], names: frozenset[str] = frozenset()) -> Forgotten:
    """Delete what lies in a run's folders of these videos but for tables and shards; nothing else may be at work in the run.

    Args:
        store: of the run; one that goes on without what is damaged, so that nobody stays because a table does not read.
        videos: ids of all videos that are left out.
        names: links and names of files that stand for some of them, where whoever asked wants lines and pages gone that hold these.

    Raises: DiskError where the disk does not give the bytes of a table.
    """
    run, gone, keys = store.run, Forgotten(damages={} if store.damages is None else store.damages), list[str]()
    marks, named = frozenset(map(people.mark, videos)), Mentions(videos, names)
    _tell_what_stays(run, marks, gone)
    if store.opt_out:  # a download that was cut short may be of a channel of which nothing else is known
        _half_written(store, gone)
    if videos:
        _unreadable(run, gone)
        for entry in _stored(store, videos):
            gone.delete_stored(store.storage, entry)
            keys.append(entry.key)
    for path in _crawled(run, videos):
        gone.delete(path)
    mentioning = [(place, path) for place in run_folder.found_by(Find.MENTION) for path in sorted(run.glob(place.name))]
    for place, path in mentioning:
        if videos and (why := next(filter(None, (_mentions(item, named) for item in _files(path))), "")):
            gone.delete(path, with_note=False)  # copies of a release may be anywhere: who was in it stays known
            gone.tell(why, path=path, made_by=place.made_by)
    for folder in sorted(run.glob("evaluation/*")) if videos else ():
        _from_evaluation(run, folder, named, marks, gone)
    _by_notes(run, marks, gone)
    _out_of_logs(_in(run, run, Find.LINES), named.within)
    store.storage.keep_deleted(keys)
    if store.opt_out and not keys:  # a download of another machine's may be all that there is
        store.storage.forget_elsewhere()
    files.sync_all(gone.folders)
    return gone


def _tell_what_stays(run: Path, marks: frozenset[str], gone: Forgotten) -> None:
    for place in run_folder.found_by(Find.TELL) if marks else ():
        for path in sorted(run.glob(place.name)):
            if path.name == people.ELSEWHERE:
                for note in sorted(path.glob("*.json")):
                    outside = _outside(note)
                    if outside is None:
                        gone.tell("damaged", path=note)
                    elif outside.exists() and (people.read(note) or frozenset()) & marks:
                        gone.tell("elsewhere", path=outside)
            elif path.name.endswith(people.SUFFIX):
                if (people.read(path) or frozenset()) & marks:
                    gone.tell("release", made_by=place.made_by)
            elif path.is_file() or any(path.iterdir()):
                found = people.read(people.note_of(path))
                if found is None or found & marks:
                    gone.tell("model?" if found is None else "model", path=path, made_by=place.made_by)
    for path in run_folder.unknown(run):
        gone.tell("unknown", path=path)


def _outside(note: Path) -> Path | None:
    """The file outside the run that a note is of; None where the note does not read."""
    path = files.read_object(note).get("path")
    return Path(path) if isinstance(path, str) else None


def _half_written(store: Store, gone: Forgotten) -> None:
    """What kills left half-written says not whose it is; of a download that was cut short, all starts again."""
    for path in [*store.run.rglob(f"{files.TEMPORARY}*"), *store.storage.scratches()]:
        if path.exists():
            gone.delete(path)


def _unreadable(run: Path, gone: Forgotten) -> None:
    """What was set aside as damaged: nobody can tell who is in it."""
    for place in run_folder.found_by(Find.UNREADABLE):
        for folder in sorted(run.glob(place.name)):
            for path in _files(folder):
                if run_folder.place_of(path.relative_to(run)) is place:
                    gone.delete(path)


def _stored(store: Store, videos: frozenset[str]) -> Iterator[Entry]:
    """Raw videos, clips and previews of these videos: named by rows of tables, or by what they are called.

    A name tells of what is half done, older, or of dropped people. Clips and people of a video begin as its own file does.
    """
    named = set(_named(store, videos))
    names = {disk_name(video)[:-10] for video in videos}  # without the hash
    lengths = {len(name) for name in names}
    for place in run_folder.found_by(Find.NAME):
        for entry in store.storage.list(place.name):
            name = entry.key.rpartition("/")[2]
            half = name.startswith(files.TEMPORARY)  # says not whose it is; a storage beside the run has such, too
            if half or entry.key in named or any(name[:length] in names for length in lengths):
                yield entry


def _named(store: Store, videos: frozenset[str]) -> Iterator[str]:
    """Keys of the run that the tables name for these videos; never of a file that was used where it was found."""
    for kind in [name for name in KINDS if name in store.kinds and "video_id" in KINDS[name].schema.names]:
        for column in [column.name for column in KINDS[kind].columns if is_path(column)]:
            rows = store.table(kind).rows(["video_id", column]).select(["video_id", column]).to_pylist()
            yield from (row[column] for row in rows if row["video_id"] in videos and row[column])


def noted_of(run: Path, who: OptOut) -> frozenset[str]:
    """Ids of the videos that crawl's notes say are of these channels; they know more than tables of which a part is lost."""
    rows = [row for _, row in _notes(run)] if who.channels else []
    channels = [[value for name in CHANNEL_COLUMNS if isinstance(value := row.get(name), str)] for row in rows]
    return frozenset(row["video_id"] for row, names in zip(rows, channels, strict=True) if who.names(None, *names))


def _crawled(run: Path, videos: frozenset[str]) -> Iterator[Path]:
    """Crawl's notes of these videos, which hold titles and channels."""
    return (path for path, row in _notes(run) if row["video_id"] in videos)


def _notes(run: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Crawl's notes, each with the row that it holds; half a note says nothing of anybody."""
    for place in run_folder.found_by(Find.CRAWL_NOTE):
        for path in sorted((run / place.name).rglob("*.json")):
            row = files.read_object(path).get("row")
            if isinstance(row, dict) and isinstance(row.get("video_id"), str):
                yield path, row


def _files(path: Path) -> Iterable[Path]:
    return [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())


def _mentions(path: Path, wanted: Mentions) -> str:
    """Whether a file names one of these videos, in its name, its text, or a Parquet column of words: what is to be told then.

    One that does not read may: it goes as well.
    """
    named = wanted.within(path.name)
    if not named and path.suffix in _TEXT:
        named = wanted.within(path.read_text(encoding="utf-8", errors="replace"))
    if not named and path.suffix == ".parquet":
        try:
            named = any(map(wanted.within, words_in(path)))
        except DamagedFile:
            return "again?"
    return "again" if named else ""


def words_in(path: Path) -> set[str]:
    """Every text in the columns of a Parquet file, lists of texts too. Raises DamagedFile."""
    table = _read(path, lambda schema: [column.name for column in schema if of_words(column.type)])
    return {word for column in table.columns for word in words_of(column) if word}


def of_words(type: pa.DataType) -> bool:
    """Whether a column holds texts, or lists of them."""
    while pa.types.is_list(type):
        type = type.value_type
    return bool(pa.types.is_string(type))


def words_of(column: pa.ChunkedArray) -> list[str | None]:
    """The different texts in a column."""
    while pa.types.is_list(column.type):
        column = pc.list_flatten(column)
    found: list[str | None] = pc.unique(column).to_pylist()
    return found


def _read(path: Path, columns: Callable[[pa.Schema], Iterable[str]] | None = None) -> pa.Table:
    """A Parquet file, or columns of it. Raises DamagedFile where it does not read."""
    source = opened(path)
    with told(path):
        return source.read(columns=None if columns is None else list(columns(source.schema_arrow)), use_threads=False)


def _by_notes(run: Path, marks: frozenset[str], gone: Forgotten) -> None:
    for place in run_folder.found_by(Find.NOTE) if marks else ():
        for folder in sorted(run.glob(place.name)):
            unsaid: list[Path] = []
            for made in list(people.made_in(folder)):
                if run_folder.place_of(made.path.relative_to(run)) is not place:
                    continue
                if made.marks is None:
                    unsaid.append(made.path)
                elif made.marks & marks:
                    gone.delete(made.path)
            if unsaid:
                gone.tell("unsaid", count=len(unsaid), path=folder, first=unsaid[0].name)


def _in(run: Path, folder: Path, how: Find) -> list[Path]:
    """What is there of the places in which a person is found in this way, within a folder of the run."""
    found = [path for place in run_folder.found_by(how) for path in sorted(run.glob(place.name))]
    return [path for path in found if path.is_relative_to(folder)]


def _from_evaluation(run: Path, folder: Path, named: Mentions, marks: frozenset[str], gone: Forgotten) -> None:
    """An evaluation without people: what sums it up, their videos, then their rows; the table `subjects` says who they are."""
    names = _subjects(folder, named.videos, gone)

    def about(text: str) -> bool:
        return named.within(text) or any(f"/{name}/" in f"/{text}/" for name in names)

    # `subjects` comes last: it says what the people are called in the others.
    tables = [table for path in reversed(_in(run, folder, Find.EVALUATED)) for table in sorted(path.iterdir())]
    units = {table: _units_about(table, about, gone) for table in tables}
    made = any(found.marks and found.marks & marks for found in people.made_in(folder))
    if made or any(units.values()):
        for path in _in(run, folder, Find.SUM):
            gone.delete(path)
    logs = _in(run, folder, Find.LINES)
    _out_of_logs(logs, lambda line: about(line) or any(f'"{name}"' in line for name in names))
    for table, without in units.items():
        for film in _films(table, without, gone):
            gone.delete(film)
        if without:
            _uncount(table)
        for side in ("outcomes", "rows") if without else ():
            for part in sorted((table / side).glob("*.parquet")):
                _rewrite(part, table.name if side == "rows" else "", without, gone)


def _subjects(folder: Path, videos: frozenset[str], gone: Forgotten) -> set[str]:
    """What people of these videos are called in a test set; that a part of it is missing is noted."""
    Store(folder, damages=gone.damages).table("subjects").rows([])
    tables = [gone.read(part) for part in sorted(folder.glob("tables/subjects/rows/*.parquet"))]
    rows = [row for table in tables if table for row in table.select(["subject", "video_id"]).to_pylist()]
    return {row["subject"] for row in rows if row["video_id"] in videos}


def _units_about(table: Path, about: Callable[[str], bool], gone: Forgotten) -> set[str]:
    """The units that have a row or an outcome about somebody: they are done again as a whole."""

    def words(schema: pa.Schema) -> Iterator[str]:
        return (column.name for column in schema if pa.types.is_string(column.type) and column.name != "commit")

    found: Counter[str] = Counter()
    for part in sorted([*table.glob("rows/*.parquet"), *table.glob("outcomes/*.parquet")]):
        rows = gone.read(part, words)
        for row in rows.to_pylist() if rows else ():
            found.update([row["unit"]] if any(value and about(value) for value in row.values()) else [])
    return set(found)


def _films(table: Path, units: set[str], gone: Forgotten) -> Iterator[Path]:
    """The videos that rows of these units name, where they lie in the evaluation itself."""
    for part in sorted((table / "rows").glob("*.parquet")) if table.name == "renditions" and units else ():
        rows = gone.read(part, lambda _: ("unit", "film"))
        for row in rows.to_pylist() if rows else ():
            path = PurePosixPath(row["film"] or "..")
            if row["unit"] in units and not path.is_absolute() and ".." not in path.parts:
                yield table.parent.parent / path


def _uncount(table: Path) -> None:
    """Let the pointer not say how many rows merged parts have: they are about to have fewer."""
    try:
        found = pointer.parse((table / pointer.NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # the check tells
        return
    if found.counts:
        pointer.write(table, replace(found, counts={}))


def _rewrite(part: Path, kind: str, without: set[str], gone: Forgotten) -> None:
    """A part without the rows of some units; written beside it and renamed."""
    table = gone.read(part)
    keep = [unit not in without for unit in table["unit"].to_pylist()] if table else []
    if table and not all(keep):
        kept = (table.schema.metadata or {}).get(pointer.KEY)
        table = table.filter(pa.array(keep, pa.bool_()))
        table = pointer.noted(table, replace(pointer.parse(kept.decode()), counts={})) if kept else table
        write_parquet(table, part, KINDS[kind] if kind else None)


def _out_of_logs(folders: Iterable[Path], about: Callable[[str], bool]) -> None:
    """Logs without the lines that are about somebody."""
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            kept = [line for line in lines if not about(line)]
            if len(kept) < len(lines):
                files.write_text(path, "".join(kept))
