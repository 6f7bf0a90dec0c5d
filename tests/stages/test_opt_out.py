"""Opt-out lists: what an entry names, and a run that forgets these people."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.engine.plan import plan
from pipeline.engine.upkeep import waste
from pipeline.tables.arrow import pack_rows
from pipeline.tables.compaction import compact
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut, OptOutError, of_run, parse, read
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from pipeline.views.overview import story
from stages.judge import Judge
from stages.report import Report, gather
from stages.shards import Shards
from tests.stages import fake_run


@pytest.mark.parametrize(
    ("entry", "videos", "channels"),
    [
        ("yt:a_b-c_d-e_f", {"yt:a_b-c_d-e_f"}, set()),
        ("file:0123456789abcdef", {"file:0123456789abcdef"}, set()),
        ("https://youtu.be/a_b-c_d-e_f?t=5", {"yt:a_b-c_d-e_f"}, set()),
        ("https://www.youtube.com/watch?v=a_b-c_d-e_f", {"yt:a_b-c_d-e_f"}, set()),
        ("UCabcdefghijklmnopqrstuv", set(), {"ucabcdefghijklmnopqrstuv"}),
        ("@SomeBody", set(), {"@somebody"}),
        ("Talks  of the\tDay", set(), {"talks of the day"}),
        ("https://www.youtube.com/@SomeBody/videos", set(), {"@somebody"}),
        ("https://youtube.com/channel/UCabc", set(), {"ucabc"}),
        ("https://m.youtube.com/c/%C3%89cole", set(), {"école"}),
        ("HelloWorld1", {"yt:HelloWorld1"}, {"helloworld1"}),
        ("", set(), set()),
    ],
)
def test_what_an_entry_names(entry: str, videos: set[str], channels: set[str]) -> None:
    assert parse(entry) == OptOut(frozenset(videos), frozenset(channels))


@pytest.mark.parametrize(
    "entry", ["yt:short", "file:xyz", "https://example.org/x", "https://youtube.com/playlist?list=1"]
)
def test_an_entry_that_names_nobody_is_an_error_and_not_silence(entry: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"# people\n\n{entry}\n")
    with pytest.raises(OptOutError, match=r"list\.txt, line 3: .*names no video and no channel"):
        read([tmp_path / "list.txt"])


def test_lists_are_read_with_comments_and_marks(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeff# head\nyt:a_b-c_d-e_f # asked on 3 May\nC# Talks\r\n".encode())
    (tmp_path / "opt_out.txt").write_text("@b\n")
    found = of_run(tmp_path, str(tmp_path / "a.txt"))
    assert found == OptOut(frozenset({"yt:a_b-c_d-e_f"}), frozenset({"c# talks", "@b"}))
    assert found.names(None, None, "C#  Talks")
    assert found.names("yt:x", "other", None, "@B")
    assert not found.names("yt:x", "other", None)
    assert not read(["", tmp_path / "none.txt"])


def test_a_profiles_list_that_is_lost_lets_nobody_in(tmp_path: Path) -> None:
    with pytest.raises(OptOutError, match="no such file"):
        of_run(tmp_path, str(tmp_path / "gone.txt"))
    (tmp_path / "opt_out.txt").write_bytes(b"\xff\xfeab")
    with pytest.raises(OptOutError, match="not a UTF-8 text"):
        of_run(tmp_path, "")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Six videos of three channels with two samples each, and a preview of every one."""
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in range(6):
            channel = {"channel": f"Channel {video // 2}", "channel_id": f"UC{video // 2}"}
            channel["channel_handle"] = f"@Handle{video // 2}"
            fake_run.kept(store, video, 0, 200, **channel, source=f"https://example.org/{video}")
            person = fake_run.person_id(video)
            row = {"preview_id": person, "video_id": fake_run.video_id(video), "path": f"previews/{video}.webp"}
            fake_run.add(store, "previews", [row])
    return tmp_path


LISTS = {
    "a video": (OptOut(frozenset({fake_run.video_id(2)})), {2}),
    "a channel by name": (OptOut(channels=frozenset({"channel 1"})), {2, 3}),
    "a channel by id": (OptOut(channels=frozenset({"uc0"})), {0, 1}),
    "a channel by handle": (OptOut(channels=frozenset({"@handle2"})), {4, 5}),
    "both": (OptOut(frozenset({fake_run.video_id(5)}), frozenset({"uc0"})), {0, 1, 5}),
    "strangers": (OptOut(frozenset({"yt:aaaaaaaaaaa"}), frozenset({"nobody"})), set()),
}


@pytest.mark.parametrize("name", LISTS)
def test_no_table_shows_what_opted_out(run: Path, name: str) -> None:
    opt_out, gone = LISTS[name]
    store, everything = Store(run, opt_out), Store(run)
    left = {fake_run.video_id(video) for video in set(range(6)) - gone}
    for kind in store.kinds:
        assert set(store.read(kind)["video_id"].to_pylist()) == left, kind
        assert len(everything.read(kind)) * len(left) == len(store.read(kind)) * 6
        assert set(store.live(kind, [])[KINDS[kind].key].to_pylist()) == set(store.keys(kind).to_pylist())


def test_the_source_counts_as_refused_and_what_hangs_on_it_not_at_all(run: Path) -> None:
    store = Store(run, LISTS["a video"][0])
    refused = [row for row in store.outcomes("videos").to_pylist() if row["status"] == "rejected"]
    assert [(row["unit"], row["reason"]) for row in refused] == [(fake_run.video_id(2), "opted_out")]
    for kind in ("sound_measures", "samples"):
        assert (len(Store(run).outcomes(kind)), len(store.outcomes(kind))) == (12, 10)


def test_a_link_whose_video_opted_out_is_rejected_in_the_outcomes(tmp_path: Path) -> None:
    store = Store(tmp_path, OptOut(frozenset({"yt:aaaaaaaaaaa"})))
    for name in ("a", "b"):
        unit, rows = f"https://youtu.be/{name * 11}", [{"video_id": f"yt:{name * 11}", "title": name}]
        store.table("videos").append([pack_rows(KINDS["videos"], unit, rows)], [Outcome(unit, "crawl", 1, "ok")])
    found = {row["unit"][-1]: (row["status"], row["reason"]) for row in store.outcomes("videos").to_pylist()}
    assert found == {"a": ("rejected", "opted_out"), "b": ("ok", "")}
    (chapter,) = story(store, "yt:aaaaaaaaaaa/0+130#0")
    assert (chapter.outcome["reason"], chapter.outcome["stage"], chapter.rows) == ("opted_out", "crawl", [])
    (unseen,) = story(Store(tmp_path, OptOut(frozenset({"yt:ccccccccccc"}))), "yt:ccccccccccc")
    assert (unseen.outcome["reason"], unseen.outcome["at"]) == ("opted_out", None)


def test_a_channel_that_only_a_search_knows_is_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path, OptOut(channels=frozenset({"uc9"})))
    fake_run.add(store, "types", [{"speech_type": "news"}])
    fake_run.add_video(store, 1)
    row = {"source": "l", "video_id": fake_run.video_id(1), "channel_id": "UC9", "speech_type": "news"}
    assert len(store.keys("videos")) == 1
    fake_run.add(store, "sources", [row])
    assert len(store.keys("videos")) == 0, "keys are not remembered past the search"
    assert len(store.read("sources")) == 0


def test_stages_see_a_run_without_them(run: Path) -> None:
    opt_out, gone = LISTS["a channel by name"]
    before, after = (plan(Judge(), store) for store in (Store(run), Store(run, opt_out)))
    assert before.fingerprints[0] != after.fingerprints[0], "verdicts are made again, without them"
    assert {row["video_id"] for row in after.unit(0).rows("persons")} == {
        fake_run.video_id(video) for video in set(range(6)) - gone
    }
    stage = Shards(buckets=1)
    everybody = plan(stage, Store(run))
    rest = plan(stage, Store(run, opt_out))
    assert sum(len(everybody.unit(n).rows("samples")) for n in range(len(everybody.units))) == 12
    assert sum(len(rest.unit(n).rows("samples")) for n in range(len(rest.units))) == 8
    assert Report().depends(Store(run)) != Report().depends(Store(run, opt_out))
    assert len(gather.gather(Store(run, opt_out)).kept) == 8


def test_gc_may_remove_their_files(run: Path) -> None:
    for number in range(6):
        for name in (f"clips/{number}-0.mp4", f"previews/{number}.webp"):
            (run / name).parent.mkdir(exist_ok=True)
            (run / name).write_bytes(b"x")
    assert list(waste(Store(run), now=2e10)) == []
    found = {item.path.name for item in waste(Store(run, LISTS["a video"][0]), now=2e10)}
    assert found == {"2-0.mp4", "2.webp"}


def test_compact_and_gc_erase_their_skeletons_and_sound(run: Path) -> None:
    opt_out, gone = LISTS["a channel by id"]
    for _ in range(2):  # a table of one part is joined again when somebody opts out
        for kind in Store(run).kinds:
            compact(Store(run), kind)
    store = Store(run, opt_out)
    for kind in store.kinds:
        compact(store, kind)
        assert compact(store, kind)[0] == compact(store, kind)[1], "and then there is nothing to do"
    for item in list(waste(store, now=2e10)):
        item.path.unlink()
    names = {fake_run.video_id(video) for video in gone}
    for kind in store.kinds:
        held = {v for p in (run / f"tables/{kind}/rows").glob("*") for v in pq.read_table(p)["video_id"].to_pylist()}
        assert names <= held if kind == "videos" else not names & held, kind
    assert len(store.read("samples")) == 8
