"""What a run knows of the files of its input: looked at again when it must be, read once, and nobody's after an opt-out."""

import hashlib
import os
from pathlib import Path

import pytest

from pipeline.base.reasons import Failure, Reason
from pipeline.sources.local import known as known_files
from pipeline.sources.local import state as states
from pipeline.sources.local.check import CrawledFiles
from pipeline.sources.local.content import begins_as, content_of
from pipeline.sources.local.known import KnownFiles
from pipeline.sources.local.state import EDGE_BYTES, FileState, edges_of, state_or_none
from pipeline.tables.person_files import forget
from pipeline.tables.store import Store


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(5 * EDGE_BYTES))
    return path


@pytest.mark.parametrize("at", [0, EDGE_BYTES - 1, 5 * EDGE_BYTES // 2, 5 * EDGE_BYTES - 1])
def test_edges_see_the_begin_the_middle_and_the_end(at: int, film: Path) -> None:
    before, data = edges_of(film), bytearray(film.read_bytes())
    data[at] ^= 1
    film.write_bytes(data)
    assert edges_of(film) != before


@pytest.mark.parametrize("size", [0, 1, EDGE_BYTES, EDGE_BYTES + 1])
def test_small_files_have_edges_too(size: int, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(bytes(size))
    other.write_bytes(bytes(size))
    assert edges_of(one) == edges_of(other)


@pytest.mark.parametrize("size", [0, 1, EDGE_BYTES + 1, 5 * EDGE_BYTES, (1 << 20) - 7, (1 << 20) + 7, 5_000_001])
def test_one_pass_gives_both_hashes(size: int, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(os.urandom(size))
    content = content_of(tmp_path / "film.mp4")
    assert content.edges == edges_of(tmp_path / "film.mp4")
    assert content.sha256 == hashlib.sha256((tmp_path / "film.mp4").read_bytes()).hexdigest()


def test_every_part_of_a_state_says_to_look_again(film: Path) -> None:
    state = FileState.of(film)
    for changed in ("size", "modified_ns", "changed_ns"):
        fields = {name: getattr(state, name) for name in FileState.__slots__}
        assert not state.same(FileState(**{**fields, changed: fields[changed] + 1}))
    assert state.same(FileState(state.size, state.modified_ns, state.changed_ns, state.inode + 1))


def test_what_is_no_file_has_no_state(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("pipe.mp4", "absent.mp4", "."):
        assert state_or_none(tmp_path / name) is None


def test_the_old_date_put_back_is_noticed(film: Path, tmp_path: Path) -> None:
    known, before = KnownFiles(tmp_path), film.stat()
    known.add(film, content_of(film))
    film.write_bytes(bytes(before.st_size))
    os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known.at(film, FileState.of(film)) is None


def test_a_young_file_is_compared_by_pieces(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, content = KnownFiles(tmp_path), content_of(film)
    known.add(film, content)
    assert not content.settled and known.sure_at(film, content.state) == content
    film.write_bytes(bytes(content.state.size))
    fresh = KnownFiles(tmp_path)
    assert fresh.at(film, content.state) == content, "in the same tick of the clock times tell nothing"
    assert fresh.sure_at(film, content.state) is None


def test_a_settled_file_on_a_local_disk_is_not_opened(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "SETTLED_SECONDS", -1e9)
    monkeypatch.setattr(known_files, "ctime_means_something", lambda path: True)
    KnownFiles(tmp_path).add(film, content_of(film))
    film.chmod(0)
    monkeypatch.setattr(known_files, "edges_of", lambda path: pytest.fail("it was opened"))
    known = KnownFiles(tmp_path)
    (content,) = known._contents.values()
    assert known.sure_at(film, content.state) is content


def test_only_known_kinds_of_disk_are_trusted(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = f"{os.major(film.stat().st_dev)}:{os.minor(film.stat().st_dev)}"
    for kind, trusted in {"ext4": True, "xfs": True, "exfat": False, "nfs4": False, "fuse.sshfs": False}.items():
        states._kind_of.cache_clear()
        monkeypatch.setattr(states, "_mounted", lambda kind=kind: {device: kind})
        assert states.ctime_means_something(film) is trusted
    states._kind_of.cache_clear()
    monkeypatch.setattr(states, "_mounted", dict)
    assert not states.ctime_means_something(film)
    states._kind_of.cache_clear()


def test_a_folder_that_moved_within_a_disk_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "SETTLED_SECONDS", -1e9)
    monkeypatch.setattr(known_files, "ctime_means_something", lambda path: True)
    (tmp_path / "old").mkdir()
    film = tmp_path / "old" / "film.mp4"
    film.write_bytes(b"film")
    known, content = KnownFiles(tmp_path), content_of(film)
    known.add(film, content)
    moved = (tmp_path / "old").rename(tmp_path / "new") / "film.mp4"
    assert known.carried_to(moved, FileState.of(moved)) == content
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(b"film")
    assert known.carried_to(copy, FileState.of(copy)) is None


def test_what_one_process_reads_the_others_hear_of(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = CrawledFiles(tmp_path), CrawledFiles(tmp_path)
    row = {"path": str(film), "video_id": content_of(film).video_id}
    for files in (one, other):
        with files.checked([{"path": "raw/ab/none.mp4", "video_id": row["video_id"]}]):  # each has read what is known
            pass
    with one.checked([row]):
        pass
    monkeypatch.setattr("pipeline.sources.local.check.content_of", lambda path: pytest.fail("it was hashed again"))
    with other.checked([row]), one.checked([row]):
        pass


def test_other_content_is_refused_and_an_absent_file_is_left_to_its_reader(film: Path, tmp_path: Path) -> None:
    row = {"path": str(film), "video_id": "file:0123456789abcdef"}
    with pytest.raises(Failure, match="csg405 run crawl") as caught, CrawledFiles(tmp_path).checked([row]):
        pytest.fail("it was decoded")
    assert caught.value.reason is Reason.SOURCE_CHANGED
    film.unlink()
    for passed in (row, {"path": None, "video_id": "file:0123456789abcdef"}, {"video_id": "yt:0123456789a"}):
        with CrawledFiles(tmp_path).checked([passed]):
            pass


def test_a_part_is_known_as_the_beginning(film: Path) -> None:
    whole = content_of(film)
    with film.open("ab") as file:
        file.write(b"more")
    assert begins_as(film, whole.state.size, whole.sha256) and not begins_as(film, whole.state.size + 1, whole.sha256)


def test_a_folder_that_cannot_be_written_costs_only_time(film: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    known, content = KnownFiles(tmp_path / "run"), content_of(film)
    known.add(film, content)
    assert known.at(film, content.state) == content


def test_an_opt_out_takes_the_lines_and_no_new_ones_come(film: Path, tmp_path: Path) -> None:
    run, content = tmp_path / "run", content_of(film)
    KnownFiles(run).add(film, content, "film.mp4")
    KnownFiles(run).add(tmp_path / "other.mp4", content_of(Path(__file__)))
    forget(Store(run), frozenset([content.video_id]))
    assert content.video_id[5:] not in (run / "input" / "files.jsonl").read_text()
    known = KnownFiles(run, [content.video_id])
    known.add(film, content, "film.mp4")
    assert known.at(film, content.state) == content
    assert (
        content.video_id[5:] not in (run / "input" / "files.jsonl").read_text() and len(KnownFiles(run)._contents) == 1
    )
