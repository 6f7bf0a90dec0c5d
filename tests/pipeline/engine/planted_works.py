"""A run in which works lie in every folder of the list, and in every table that has a row a video; and what is found of them."""

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.ids import disk_name
from pipeline.media.chromaprint import NAME, Items, fingerprint
from pipeline.tables import people, run_folder
from pipeline.tables.kinds import KINDS
from pipeline.tables.kinds.kind import Kind
from pipeline.tables.run_folder import Find, Place
from pipeline.tables.store import Store
from stages.crawl import notes
from stages.shards import Shards
from tests.stages import fake_run
from tests.stages.twins.talks import RATE, talk

WORK, MIRRORED, SAME_FACE, OTHER, NEAR = range(5)
NAMED = (SAME_FACE, OTHER)  # what says in a text which work it is, is not the id
FRAMES = 3
SECONDS = 24


def identity(number: int) -> str:
    """An id whose characters mean nothing else in any file."""
    return "yt:" + base64.urlsafe_b64encode(hashlib.sha256(f"work {number}".encode()).digest())[:11].decode()


def name_of(number: int) -> str:
    """What a run calls a work: a link to YouTube, a link that holds no id, or the name of a file."""
    own = hashlib.sha256(f"name {number}".encode()).hexdigest()[:12]
    if number in NAMED:
        return {SAME_FACE: f"talks/{own}.mp4", OTHER: f"https://vimeo.com/{own}?a=1&b=2"}[number]
    return f"https://www.youtube.com/watch?v={identity(number)[3:]}"


def words(number: int) -> str:
    """What is said in a work and nowhere else."""
    return f"spoken-only-in-{hashlib.sha256(f'words {number}'.encode()).hexdigest()[:12]}"


def vector(number: int) -> np.ndarray:
    """A face; those of the work, its re-upload and one more are of one person."""
    rng = np.random.default_rng(7 if number in (WORK, MIRRORED, SAME_FACE) else 100 + number)
    found = rng.normal(size=64) + 0.1 * np.random.default_rng(number).normal(size=64)
    return np.asarray(found / np.linalg.norm(found), np.float32)


def wave(number: int) -> np.ndarray:
    """The sound of a work: the re-upload has the same, on its way made quieter and noisy; five seconds of it are in another."""
    if number == MIRRORED:
        rng = np.random.default_rng(0)
        return np.asarray(0.6 * talk(1, SECONDS) + 1e-3 * rng.normal(size=SECONDS * RATE), np.float32)
    if number == NEAR:
        return np.concatenate([talk(9, 20), talk(1, SECONDS)[4 * RATE : 9 * RATE], talk(10, 20)])
    return talk(1 + number, SECONDS)


@cache
def prints() -> dict[int, Items]:
    """The fingerprints of all five."""
    return {number: fingerprint(wave(number)) for number in range(5)}


def row_of(kind: Kind, number: int) -> dict[str, Any]:
    """A row of any kind about a work: every text in it is the work's own."""
    own = fake_run.ids(number, 0, FRAMES)
    row: dict[str, Any] = {}
    for column in kind.schema:
        if pa.types.is_string(column.type):
            row[column.name] = f"{words(number)} {column.name}"
        elif pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
            row[column.name] = [words(number)]
    row |= {name: own[name] for name in own if name in kind.schema.names}
    key = own["person_id"] if kind.key not in own else own[kind.key]
    return {**row, kind.key: key}


def somebody(store: Store, number: int, items: Items, *, every: bool = True) -> None:
    """A work in every table that has rows of videos, or in those without which there are no shards."""
    video = identity(number)
    about = {
        "channel": f"by {words(number)}",
        "channel_id": f"UC{words(number)}",
        "channel_handle": f"@{words(number)}",
    }
    link = name_of(number)
    raw = f"raw/ab/{disk_name(video)}.bin"
    fake_run.add_video(store, number, path=raw, title=words(number), source=link, url=link, **about)
    fake_run.add_person(store, number, frames=FRAMES)
    fake_run.add_sample(store, number, 0, FRAMES, video=f"clips/ab/{disk_name(video)}.mp4")
    own = fake_run.ids(number, 0, FRAMES)
    fake_run.add(store, "attributes", [{**own, "identity": vector(number)}])
    speaker = {"speaker": "p1" if number in (WORK, MIRRORED, SAME_FACE) else f"p{number}", "speaker_samples": 1}
    fake_run.add(store, "speakers", [{**own, **speaker}])
    row = {"video_id": video, "fingerprint_of": NAME, "fingerprint_items": len(items)}
    fake_run.add(store, "sound_fingerprints", [{**row, "fingerprint": items.astype("<u4").tobytes()}])
    for kind in KINDS.values() if every else ():
        names = kind.schema.names
        if "video_id" in names and kind.name not in {*store_kinds(), "subjects"}:
            fake_run.add(store, kind.name, [row_of(kind, number)])
    (store.run / "clips/ab").mkdir(parents=True, exist_ok=True)
    (store.run / f"clips/ab/{disk_name(video)}.mp4").write_bytes(words(number).encode())
    notes.write(store.run, link, "", {"video_id": video, **about}, {})


def store_kinds() -> set[str]:
    """The kinds of which a work has a row of its own making."""
    made = {"videos", "clips", "sound_measures", "persons", "pose_measures", "verdicts", "samples"}
    return made | {"attributes", "speakers", "sound_fingerprints"}


def run_of(
    run: Path, numbers: tuple[int, ...] = (WORK, MIRRORED, SAME_FACE, OTHER, NEAR), *, small: bool = False
) -> Path:
    """A run of these works; a small one has few tables, and one place for each way in which people are found."""
    found, store = prints(), Store(run)
    with fake_run.together(store):
        for number in numbers:
            somebody(store, number, found[number], every=not small)
    # what others say of them: a copy that was refused, and a verdict that names the better copy
    link = f"https://youtu.be/{identity(WORK)[3:]}"
    fake_run.refuse(store, "videos", link, "duplicate", f"the same video as {link}")
    fake_run.refuse(
        store, "videos", "https://example.org/elsewhere", "duplicate", f"the same video as {identity(WORK)}"
    )
    fake_run.judge(store, OTHER, frames=FRAMES, person=1, keep=False, details=[f"better in {identity(WORK)}"])
    fake_run.run(Shards(buckets=1, test_share=0, validation_share=0), run)
    first = {place.find: place for place in reversed(run_folder.PLACES)}
    for number in numbers:
        for place in first.values() if small else run_folder.PLACES:
            plant(run, place, number)
    return run


def plant(run: Path, place: Place, number: int) -> None:
    """Something of a work in one place of the list, as the code that fills it would leave it."""
    at, video = run / place.name.replace("*", "one"), identity(number)
    at = at / "one/more" if place.name == "evaluation" else at
    mention = f"{name_of(number) if number in NAMED else video} {words(number)}\n"
    text = f"{video} {words(number)}\n"
    if place.find is Find.NAME:
        write(at / "ab" / f"{disk_name(fake_run.person_id(number, 0, FRAMES))}.bin", text)
    elif place.find is Find.UNREADABLE:
        write(at / f"{number}.parquet", text)
    elif place.find is Find.MENTION:
        write(at if at.suffix else at / f"{number}.json", mention, more=True)
    elif place.find is Find.LINES:
        for unit in (fake_run.person_id(number, 0, FRAMES), *([f"read {name_of(number)}"] if number in NAMED else ())):
            line = {"unit": unit, "said": words(number)}
            write(at / ("files.jsonl" if at.name == "input" else "more.jsonl"), json.dumps(line) + "\n", more=True)
    elif place.find is Find.NOTE and run_folder.place_of((at / "x").relative_to(run)) is place:
        write(at / f"made-{number}.bin", words(number))
        people.note(run, at / f"made-{number}.bin", [video])
    elif place.find is Find.SUM:
        write(at, text, more=True)
    elif place.find is Find.EVALUATED and place.name == "evaluation/*/tables":
        row = {"subject": f"s{number}", "video_id": video, "speaker": words(number)}
        fake_run.add(Store(run / "evaluation/one"), "subjects", [row])
    elif place.find is Find.TELL and "*" in place.name:
        write(at / "step-1/model.safetensors", f"weights of {place.name}")
        people.note(run, at, [video], more=True)
    elif place.name == ".release.people.json":
        people.note(run, run / "release", [video], more=True)


def write(path: Path, text: str, *, more: bool = False) -> None:
    """A file, or one more line of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if more and path.exists() else ""
    path.write_text(before + text, encoding="utf-8")


def decoded(path: Path) -> Iterator[str]:
    """A file's name, its bytes as they are, and, of a table, every value as it reads."""
    yield path.name
    data = path.read_bytes()
    yield data.decode("latin-1")
    if path.suffix == ".parquet" and data[:4] == b"PAR1":
        table = pq.read_table(path, partitioning=None)
        yield str(table.schema.metadata)
        for column in table.columns:
            yield str(column.to_pylist())


def found_of(run: Path, numbers: tuple[int, ...]) -> dict[str, list[str]]:
    """{file: what it holds of these works}: ids, words, faces and fingerprints."""
    found: dict[str, list[str]] = {}
    heard = prints()
    wanted: dict[str, str] = {}
    for number in numbers:
        wanted |= {f"id {number}": identity(number)[3:], f"words {number}": words(number)}
        wanted |= {f"name {number}": name_of(number)} if number in NAMED else {}
        wanted |= {f"face {number}": str(vector(number).tolist())[1:60]}
        sound = heard[number].astype("<u4").tobytes()
        wanted |= {
            f"sound {number}": str(sound[40:80])[2:-1],
            f"sound in base64 {number}": base64.b64encode(sound).decode()[:80],
        }
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        texts = list(decoded(path))
        if here := [name for name, word in wanted.items() if any(word in text for text in texts)]:
            found[path.relative_to(run).as_posix()] = here
    return found
