"""Shards from strangers: each of these is refused in one line that names shard and, where there is one, clip and column."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import UserError
from pipeline.shards import opened, write
from pipeline.shards.format import VERSION_KEY, ShardError
from pipeline.shards.pages import BadPage, pages
from pipeline.shards.read import decode_audio, open_shards
from pipeline.shards.write import write_shard
from tests.pipeline.shards import footers, hostile
from tests.pipeline.shards.hostile import FRAMES, NAME, clip_of

Plant = Callable[[Path], None]


def changed(name: str, at: Any, value: Any) -> Plant:
    """One number of the second clip."""

    def plant(folder: Path) -> None:
        values = np.array(hostile.row(1)[name])
        values[at] = value
        hostile.write(folder, **{name: values})

    return plant


def given(**values: Any) -> Plant:
    return lambda folder: hostile.write(folder, **values)


def lists(name: str, *lengths: int) -> Plant:
    return lambda folder: hostile.write_table(folder, hostile.stored_lists(name, list(lengths)))


def local(value: float) -> Plant:
    def plant(folder: Path) -> None:
        def put(flat: np.ndarray) -> None:
            flat[FRAMES * 266 + 7] = value

        hostile.write_table(folder, hostile.stored_lists("local", [FRAMES] * 3, put))

    return plant


def typed(name: str, value: Callable[[pa.Array], pa.Array]) -> Plant:
    return lambda folder: hostile.write_table(folder, hostile.replaced(name, value), compression="zstd")


def entry(**values: Any) -> Plant:
    """An index that says something else of its file."""

    def plant(folder: Path) -> None:
        hostile.write(folder)
        said = json.loads((folder / "_index.json").read_text())
        said["files"][0].update(values)
        (folder / "_index.json").write_text(json.dumps(said))

    return plant


def index(text: str | bytes) -> Plant:
    def plant(folder: Path) -> None:
        hostile.write(folder)
        (folder / "_index.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    return plant


def damaged(change: Callable[[bytearray], Any], *, listed: bool = True) -> Plant:
    """Other bytes; `listed`: in the index as well, as a stranger would."""

    def plant(folder: Path) -> None:
        hostile.write(folder)
        data = bytearray((folder / NAME).read_bytes())
        change(data)
        (folder / NAME).write_bytes(data)
        if listed:
            hostile.index(folder)

    return plant


def flip(data: bytearray) -> None:
    data[len(data) // 3] ^= 4


def page_header(data: bytearray) -> None:
    """The header of the column of local coordinates promises 2 GB."""
    found = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(0)
    start = next(
        found.column(n).data_page_offset
        for n in range(found.num_columns)
        if found.column(n).path_in_schema[:5] == "local"
    )
    [page] = pages(memoryview(data)[start : start + found.column(13).total_compressed_size])
    old, new = hostile.varint(2 * page.unpacked), hostile.varint(2 * 0x7FFF0000)
    # Written over what follows: no reader gets that far.
    at = data.index(old, start)
    data[at : at + len(new)] = new


def escaping(folder: Path) -> None:
    hostile.write(folder / "else")
    hostile.write(folder)
    (folder / NAME).unlink()
    (folder / NAME).symlink_to(folder.parent / "beside.parquet")
    (folder / "else" / NAME).rename(folder.parent / "beside.parquet")
    hostile.index(folder)


def pipe(folder: Path) -> None:
    hostile.write(folder)
    (folder / "_index.json").unlink()
    os.mkfifo(folder / "_index.json")


def twice(folder: Path) -> None:
    hostile.write(folder)
    said = json.loads((folder / "_index.json").read_text())
    said["files"] *= 2
    (folder / "_index.json").write_text(json.dumps(said))


def newer(folder: Path) -> None:
    stored = hostile.table()
    hostile.write_table(folder, stored.replace_schema_metadata({**stored.schema.metadata, VERSION_KEY: b"2.0"}))


def without(name: str) -> Plant:
    return lambda folder: hostile.write_table(folder, hostile.table().drop_columns([name]), compression="zstd")


def other_codec(folder: Path) -> None:
    hostile.write_table(folder, hostile.table(), compression="gzip")


def same_clip(folder: Path) -> None:
    hostile.write_table(folder, pa.concat_tables([hostile.table()] * 2))


def decoy(folder: Path) -> None:
    """One text of 1 MB that a dictionary repeats, behind a column whose name reads as a part of its own."""
    stored = hostile.table()
    at = stored.schema.get_field_index("channel")
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3, np.int32)), pa.array(["x" * (1 << 20)]))
    stored = stored.set_column(at, stored.schema.field("channel"), texts.cast(pa.string()))
    stored = stored.append_column("channel.x", pa.array(["a"] * 3))
    hostile.write_table(
        folder, stored, compression="zstd", use_dictionary=["channel"], dictionary_pagesize_limit=1 << 30
    )


def several_parts(folder: Path) -> None:
    """A column of two parts, of which the first unpacks to 50 MB."""
    long, short = pa.array(["x" * 50_000_000, None, None]), pa.array(["a"] * 3)
    parts = pa.StructArray.from_arrays([long, short], ["long", "short"])
    hostile.write_table(folder, hostile.table().append_column("more", parts), compression="zstd")


def thin_chunks(folder: Path) -> None:
    """A footer of 60 MB, three bytes a column chunk: 14 GB as structs."""
    hostile.write(folder)
    group = footers.group(b"\x26\x00\x00" * 16_000, 16_000)
    (folder / NAME).write_bytes(footers.as_file(footers.footer([group] * 1250)))
    hostile.index(folder)


SHARDS: dict[str, tuple[Plant, str]] = {
    # lengths
    "features a frame longer here, shorter there": (
        lists("audio_features", 11, 9, 10),
        r"audio_features has 11 frames",
    ),
    "scores a frame short": (lists("scores", 10, 9, 10), r"scores holds \d+ numbers"),
    "skeletons moved from clip to clip": (lists("local", 9, 11, 10), r"local has 9 frames"),
    "a neck without its last frame": (lists("neck", 10, 10, 9), r"neck holds \d+ numbers"),
    "no frame": (given(frames=0), r"frames is 0, and may be 1 to"),
    "frames of another number": (given(frames=9), r"holds 7980 numbers|frames"),
    "two billion frames": (given(frames=2**31 - 1), r"frames is 2147483647"),
    "sound a frame longer": (given(audio=hostile.flac(FRAMES + 1)), r"audio has 7040 samples"),
    "sound at 48 kHz": (given(audio=hostile.flac(rate=48_000)), r"audio has 1 channels at 48000 Hz"),
    "sound in stereo": (given(audio=hostile.flac(channels=2)), r"audio has 2 channels"),
    "sound that promises 60 billion samples": (given(audio=hostile.lying_flac(2**36 - 1)), r"audio has 68719476735"),
    "sound that is none": (given(audio=b"RIFF" + bytes(100)), r"audio is no FLAC"),
    # numbers
    "NaN in the features": (changed("audio_features", (3, 5), np.nan), r"audio_features .* not finite in frame 3"),
    "infinity in the features": (changed("audio_features", (9, 767), np.inf), r"audio_features .* in frame 9"),
    "1e30 px": (local(1e30), r"local holds a number beyond 32768 in frame 0"),
    "infinite px": (local(np.inf), r"local holds a number beyond"),
    "a neck at -1e9": (changed("neck", (2, 0), -1e9), r"neck|local|keypoints"),
    "a score of 1e6": (changed("scores", (1, 1), 1e6), r"scores holds a number beyond 100 in frame 1"),
    "50 frames a second": (given(fps=50.0), r"fps is 50\.0"),
    "a start that is NaN": (given(start_seconds=np.nan), r"start_seconds is nan"),
    "a box inside out": (given(crop_box=[9, 0, 3, 720]), r"crop_box is \[9, 0, 3, 720\], no box"),
    # names and types
    "no scores": (without("scores"), r"has no column scores"),
    "scores in double precision": (
        typed("scores", lambda values: values.cast(pa.list_(pa.list_(pa.float64(), 133)))),
        r"column scores is list",
    ),
    "features of another width": (
        typed("audio_features", lambda values: pa.nulls(3, pa.list_(pa.list_(pa.float16(), 9)))),
        r"column audio_features is list",
    ),
    "keypoints that are null": (
        typed("keypoints", lambda values: pa.nulls(3, values.type)),
        r"keypoints holds 3 numbers",
    ),
    "an id that is a path": (given(clip_id="../../x"), r"clip_id is no clip id"),
    "another clip's video": (given(video_id="yt:dQw4w9WgXcQ"), r"video_id is not the video of its clip_id"),
    "an id with colours": (given(audio_features_of="\x1b[31mlogmel768"), r"audio_features_of holds text"),
    "a path with a NUL": (given(video="clips/\0.mp4"), r"video holds text"),
    "a clip twice": (same_clip, r"clip file:0{16}/0\+10#0 is there twice"),
    "a decoy that is named as a part of another column": (decoy, r"has a column channel\.x, and names of columns"),
    "a column of several parts": (several_parts, r"column more has several parts"),
    "a footer of column chunks": (thin_chunks, r"has a footer that would take more than 400 MiB"),
    "a newer format": (newer, r"has format 2\.0"),
    "another packer": (other_codec, r"is packed by GZIP"),
    # bytes
    "a bit flipped": (damaged(flip, listed=False), r"sha256 differs|damaged|promises|page|numbers"),
    "cut short": (damaged(lambda data: data.__delitem__(slice(-500, None))), r"is no Parquet file"),
    "no file": (damaged(lambda data: data.clear()), r"is no Parquet file"),
    "a footer of garbage": (damaged(lambda data: data.__setitem__(slice(-400, -8), bytes(392))), r"is damaged"),
    "a page that promises 2 GB": (damaged(page_header), r"column local"),
    "a link out of the folder": (escaping, r"is a link that leads out of its folder"),
    # the index
    "a file outside": (entry(path="../../x.parquet"), r"names '\.\./\.\./x\.parquet', no plain file name"),
    "an absolute file": (entry(path="/etc/passwd"), r"no plain file name"),
    "a number for a name": (entry(path=7), r"no plain file name"),
    "rows of another number": (entry(rows=4), r"another number of clips"),
    "rows that are many": (entry(rows="3"), r"has no number of rows"),
    "a split of its own": (entry(split="secret"), r"has the split 'secret'"),
    "seconds that are infinite": (entry(seconds=float("inf")), r"no number of seconds"),
    "seconds beyond any float": (entry(seconds=10**400), r"no number of seconds"),
    "no hash": (entry(sha256=None), r"has no sha256"),
    "another hash": (entry(sha256="0" * 64), r"sha256 differs"),
    "a file twice": (twice, r"lists train-00000-of-00001\.parquet twice"),
    "an index that is nested": (index("[" * 100_000), r"_index\.json is nested too deeply"),
    "an index that is a list": (index("[]"), r"_index\.json holds no object"),
    "an index without files": (index('{"version": "1.2"}'), r"_index\.json lists no files"),
    "an index of another encoding": (index(b"\xff\xfe\0"), r"_index\.json is not JSON"),
    "an index that is huge": (index(b" " * (9 << 20)), r"_index\.json has more than"),
    "an index from the future": (index('{"version": "9.0", "files": []}'), r"update csg405"),
    "an index that is a pipe": (pipe, r"_index\.json is no file"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "shards"


def read_all(folder: Path) -> int:
    return len(list(open_shards(folder).rows()))


def test_the_shard_that_all_of_these_are_made_from_is_read(folder: Path) -> None:
    hostile.write(folder)
    assert read_all(folder) == hostile.CLIPS
    hostile.write_table(folder, hostile.table())
    assert read_all(folder) == hostile.CLIPS


@pytest.mark.parametrize("case", SHARDS)
def test_a_hostile_shard_is_refused_in_a_line(case: str, folder: Path) -> None:
    plant, told = SHARDS[case]
    plant(folder)
    with pytest.raises(UserError, match=told) as caught:
        read_all(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1 and str(caught.value).isprintable()


@pytest.mark.parametrize("case", ["NaN in the features", "a score of 1e6", "sound a frame longer"])
def test_the_clip_is_named(case: str, folder: Path) -> None:
    SHARDS[case][0](folder)
    with pytest.raises(ShardError, match=rf"{NAME}: clip {clip_of(1)}: ".replace("+", r"\+")):
        read_all(folder)


def test_a_flip_anywhere_is_found(folder: Path) -> None:
    """Of 60 places over the file: the hash is compared at the end, whatever Arrow says before."""
    hostile.write(folder)
    whole = (folder / NAME).read_bytes()
    for at in np.random.default_rng(0).integers(0, len(whole), 60):
        (folder / NAME).write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(ShardError):
            read_all(folder)


def test_what_was_read_is_what_is_said(folder: Path) -> None:
    hostile.write(folder)
    shards = open_shards(folder)
    assert len(list(shards.rows(("clip_id",)))) == hostile.CLIPS
    assert shards.read == {}  # not all bytes passed
    list(shards.rows(("local",)))
    assert shards.read == {NAME: shards.index["files"][0]["sha256"]}


def test_an_error_of_the_disk_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile.write(folder)
    reads, real = [0], os.pread

    def failing(handle: int, length: int, start: int) -> bytes:
        reads[0] += 1
        if reads[0] > 2:  # after the footer
            raise OSError(5, "Input/output error")
        return real(handle, length, start)

    monkeypatch.setattr(opened.os, "pread", failing)
    with pytest.raises(OSError, match="Input/output error") as caught:
        read_all(folder)
    assert not isinstance(caught.value, ShardError) and str(caught.value.filename) == str(folder / NAME)


def test_sound_that_ends_before_its_time_is_told() -> None:
    with pytest.raises(ShardError, match=r"does not decode|ends after"):
        decode_audio(hostile.flac()[:60])
    with pytest.raises(ShardError, match=r"does not decode|ends after"):
        decode_audio(hostile.lying_flac(FRAMES * 640 + 640))


@pytest.mark.parametrize("data", [b"\x15", b"\x15\x02", b"\x19\x00", b"\x15" + b"\xff" * 20, b"\x1c" * 40, b"\0"])
def test_a_page_header_of_garbage_is_told(data: bytes) -> None:
    with pytest.raises(BadPage):
        list(pages(memoryview(data)))


def test_pages_without_end_are_not_counted_to_the_end() -> None:
    empty = b"\x15\0" * 3 + b"\x2c" + b"\x15\0" * 3 + b"\0\0"
    assert len(list(pages(memoryview(empty * 10_000)))) == 10_000
    with pytest.raises(BadPage, match="more than 10000 pages"):
        list(pages(memoryview(empty * 10_001)))


def repeated_texts(folder: Path) -> None:
    """A column of one text of 60 kB, 3,000 times: a list a row, which packs to nothing."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, np.int32)), pa.array(["x" * 60_000]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1000, 2000, 3000], pa.int32()), texts)
    stored = hostile.table().append_column("more", lists)
    hostile.write_table(folder, stored, compression="zstd")


def test_a_text_that_a_dictionary_repeats_is_refused_before_it_is_unpacked(folder: Path) -> None:
    repeated_texts(folder)
    with pytest.raises(ShardError, match="column more repeats long values"):
        read_all(folder)


# Memory: each in a process of its own, whose peak the system tells.

CHILD = """
import sys
from pathlib import Path
from pipeline.base.errors import UserError
from pipeline.shards.read import open_shards
try:
    for row in open_shards(Path(sys.argv[1])).rows():
        pass
    print("accepted")
except UserError as error:
    print("refused", error)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


def dictionary_bomb(folder: Path) -> None:
    """16 clips of five minutes, all zeros: a few kB on disk, 500 MB of numbers."""
    frames, count = 7_500, 16

    def column(field: pa.Field) -> pa.Array:
        if field.name in ("keypoints", "local", "scores", "neck", "audio_features"):
            inner = field.type.value_type
            flat = np.zeros(frames * inner.list_size, inner.value_type.to_pandas_dtype())
            one = pa.FixedSizeListArray.from_arrays(pa.array(flat), inner.list_size)
            return pa.ListArray.from_arrays(pa.array([0, frames], pa.int32()), one).cast(field.type)
        value = {"clip_id": f"{hostile.video_of(0)}/0+{frames}", "video_id": hostile.video_of(0), "person": 0}.get(
            field.name
        )
        return pa.array([frames if field.name == "frames" else value], field.type)

    folder.mkdir(parents=True)
    schema = hostile.table().schema
    with pq.ParquetWriter(folder / NAME, schema, compression="zstd") as out:
        for _ in range(count):
            out.write_table(pa.Table.from_arrays([column(field) for field in schema], schema=schema))
    hostile.index(folder, count)


def page_bomb(folder: Path) -> None:
    """A column of 600 MB in one page that packs to half a megabyte."""
    values = pa.array(np.zeros(3 * 200_000_000 // 4, np.float32))
    lists = pa.ListArray.from_arrays(pa.array([0, len(values) // 2, len(values), len(values)], pa.int32()), values)
    stored = hostile.table().append_column("more", lists)
    hostile.write_table(folder, stored, compression="zstd", use_dictionary=False, data_page_size=1 << 30)


def string_bomb(folder: Path) -> None:
    """A licence of 500 MB."""
    text = pa.array(["x" * 500_000_000, None, None], pa.string())
    hostile.write_table(folder, hostile.replaced("licence", lambda _: text), compression="zstd")


def index_bomb(folder: Path) -> None:
    """Eight megabytes of brackets in pairs."""
    folder.mkdir(parents=True)
    (folder / "_index.json").write_text('{"version": "1.2", "files": [' + "[]," * 2_600_000 + "[]]}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak")
@pytest.mark.parametrize("plant", [dictionary_bomb, page_bomb, string_bomb, index_bomb, thin_chunks])
def test_a_small_file_takes_little_memory(plant: Plant, folder: Path) -> None:
    plant(folder)
    limit = max(500 << 20, 4 * max(path.stat().st_size for path in folder.iterdir()))
    found = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=True,
    )
    said, peak = found.stdout.splitlines()
    assert said.startswith("refused"), said
    assert int(peak) << 10 < limit, peak


@pytest.mark.parametrize("clips", [0, 1000])
def test_shards_of_ours_that_are_out_of_the_ordinary_are_read(folder: Path, clips: int) -> None:
    """One without clips, and one of a thousand short and silent ones, whose footer is large beside them."""
    folder.mkdir(parents=True)
    write_shard(folder / NAME, [hostile.row(number, audio=None) for number in range(clips)])
    hostile.index(folder, clips)
    assert read_all(folder) == clips


def test_a_shard_whose_footer_is_a_quarter_of_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent clips of five seconds whose points stand still pack to next to nothing, and row groups of single rows tell most."""
    monkeypatch.setattr(write, "ROWS_A_GROUP", 1)
    frames, count = 125, 100
    still = np.zeros((frames, 133, 2), np.float32)
    same = {"frames": frames, "keypoints": still, "neck": still[:, 0], "scores": np.ones((frames, 133)), "audio": None}
    same |= {"audio_features": None, "audio_features_of": None}
    ids = [{"clip_id": f"{hostile.video_of(n)}/0+{frames}"} for n in range(count)]
    folder.mkdir(parents=True)
    write_shard(folder / NAME, [hostile.row(n, **same, **own) for n, own in enumerate(ids)])
    hostile.index(folder, count, seconds=count * frames / 25)
    data = (folder / NAME).read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    assert length > max(512 << 10, len(data) / 4)
    assert read_all(folder) == count
