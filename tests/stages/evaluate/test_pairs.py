"""Pairs: derangements over speakers, lists from outside with their mistakes, and file names that cannot collide."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.generation.inputs import BadInput
from stages.evaluate.pairs import Pair, Pairs, file_name, film_given, listed, paired, plain, safe, unpaired
from tests.stages.evaluate.studio import subject


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 2**32))
def test_nobody_meets_themselves_and_each_voice_is_heard_once(sizes: list[int], seed: int) -> None:
    speakers = {f"{who}/{clip}": str(who) for who, size in enumerate(sizes) for clip in range(size)}
    met = unpaired(speakers, seed)
    assert all(speakers[pair.reference] != speakers[pair.voice] for pair in met)
    for names in ([pair.reference for pair in met], [pair.voice for pair in met]):
        assert max(Counter(names).values(), default=0) <= 1
    most, rest = max(sizes), sum(sizes) - max(sizes)
    assert len(met) == (sum(sizes) if most <= rest else 2 * rest), "as many as can be"
    assert met == unpaired(dict(reversed(speakers.items())), seed), "the order in which they come is nothing"


SPLITS = st.lists(st.integers(1, 30), min_size=2, max_size=40).filter(lambda sizes: sum(sizes) > 20)


@given(SPLITS, st.integers(0, 2**32), st.data())
def test_a_clip_that_goes_or_comes_leaves_nearly_all_other_pairs(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    """An opt-out must not make every video of the evaluation stale. How many pairs follow it grows as the logarithm of all."""
    speakers = {f"{who}/{clip}": str(who) for who, size in enumerate(sizes) for clip in range(size)}
    gone = data.draw(st.sampled_from(sorted(speakers)))
    before, after = (set(unpaired(who, seed)) for who in (speakers, _without(speakers, gone)))
    pairs = {pair for pair in before if gone not in (pair.reference, pair.voice)}
    most = 4 + 2 * len(speakers).bit_length()
    assert len(after - before) <= most and len(pairs - after) <= most


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [([118, 119, 120, 117], 0.95), ([1] * 110 + [2] * 10 + [3], 0.9), ([50] + [1] * 50, 0.85)],
    ids=["PATS", "CSG-405", "one speaker has half"],
)
def test_what_is_kept_when_any_one_clip_goes(sizes: list[int], kept: float) -> None:
    speakers = {f"{who}/{clip}": str(who) for who, size in enumerate(sizes) for clip in range(size)}
    before = set(unpaired(speakers, 405))
    shares = [
        len(before & set(unpaired(_without(speakers, gone), 405))) / len(before) for gone in sorted(speakers)[::7]
    ]
    assert min(shares) > kept


def _without(speakers: dict[str, str], gone: str) -> dict[str, str]:
    return {name: who for name, who in speakers.items() if name != gone}


def test_a_list_stays_what_it_is() -> None:
    """Other systems film it: another version of the project may not draw another one."""
    speakers = {f"clip {n}": f"who {n // 2}" for n in range(6)}
    assert [int(pair.voice[-1]) for pair in unpaired(speakers, 405)] == [3, 2, 4, 5, 0, 1]


def test_another_seed_draws_another_list() -> None:
    speakers = {f"clip {n}": f"who {n // 3}" for n in range(30)}
    assert unpaired(speakers, 1) == unpaired(speakers, 1) != unpaired(speakers, 2)


def test_one_clip_and_none() -> None:
    assert unpaired({"alone": "her"}, 0) == [] == unpaired({}, 0)
    assert paired(["alone"]) == [Pair("paired", "alone", "alone")]


NAMES = ["yt:YqnhRPq2Hq0/100+200#0", "yt:gHlQOxsYoKw/7+150#1"]
RELEASED = {
    "YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717": NAMES[0],
    "gHlQOxsYoKw_0_00:32:58.031_00:33:06.992": NAMES[1],
    "notInTheSet_0_00:00:00.000_00:00:09.000": "yt:notInTheSet/0+225#0",
}


def list_of(folder: Path, text: str, names: list[str] = NAMES) -> list[Pair]:
    path = folder / "pairs.txt"
    path.write_bytes(text.encode())
    return listed(path, names, RELEASED)


def test_the_releases_own_list(tmp_path: Path) -> None:
    """Two names a line, the voice's first; one word is both; `:` and `.` as they are or as `_`, with or without a suffix."""
    found = list_of(
        tmp_path,
        "\ufeff# voice reference\r\n"
        "YqnhRPq2Hq0_0_00_05_51_920_00_06_04_717.mp4 gHlQOxsYoKw_0_00:32:58.031_00:33:06.992\r\n\r\n"
        "  gHlQOxsYoKw_0_00:32:58.031_00:33:06.992.mp4  \r\n"
        f"{NAMES[0]} {NAMES[1]}\n{NAMES[1]}\t{NAMES[1]}\n",
    )
    assert found == [Pair("unpaired", NAMES[1], NAMES[0]), Pair("paired", NAMES[1], NAMES[1])], "each once"


def test_bad_lines_are_told_with_their_numbers(tmp_path: Path) -> None:
    lines = [NAMES[0], "nobody", "a b c", f"{NAMES[0]} ../../etc/passwd", "notInTheSet_0_00:00:00.000_00:00:09.000"]
    with pytest.raises(BadInput) as caught:
        list_of(tmp_path, "\n".join(lines))
    said = str(caught.value)
    assert "line 2: nobody" in said and "line 3: 3 names" in said and "line 4: ../../etc/passwd" in said
    assert "line 5: notInTheSet" in said and "line 1" not in said
    with pytest.raises(BadInput, match="and 20 more"):
        list_of(tmp_path, "nobody\n" * 30)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_list_is_no_list(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="names no pair"):
        list_of(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00\x80 \xc3\n")
    with pytest.raises(BadInput, match="line 1"):
        listed(tmp_path / "pairs.txt", NAMES, {})


def test_names_of_files_with_spaces_and_names_that_two_could_have(tmp_path: Path) -> None:
    names = ["seth meyers/über uns.mp4", "a.b.mp4", "a_b.mkv", "jon#1.mp4", "x_y.mp4", "x.y.mp4"]
    found = list_of(tmp_path, "seth meyers/über uns.mp4\njon#1\tseth meyers/über uns\na.b.mp4 jon#1.mp4\n", names)
    assert found[0] == Pair("paired", names[0], names[0])
    assert found[1] == Pair("unpaired", names[0], "jon#1.mp4")
    assert found[2] == Pair("unpaired", "jon#1.mp4", "a.b.mp4"), "a name in full is nobody else's"
    with pytest.raises(BadInput, match=r"x_y could be x\.y\.mp4 or x_y\.mp4"):
        list_of(tmp_path, "x_y", names)


HOSTILE = [
    *("a.mp4", "a.mkv", "A.MP4", "a b.mp4", "a_b.mp4", "a__b.mp4", "_a.mp4", "a_.mp4", "a/b.mp4", "b.mp4", "-rf.mp4"),
    *(
        "...mp4",
        "..mp4",
        "../x.mp4",
        "x.mp4",
        ".mp4",
        "über.mp4",
        "uber.mp4",
        "日本.mp4",
        "日木.mp4",
        "a#1.mp4",
        "a#1.mkv",
    ),
    *("c/a.mp4", "c_a.mp4", "x" * 240 + ".mp4", "x" * 241 + ".mp4", subject(1), subject(2), "con\n.mp4", "con\t.mp4"),
]


def test_file_names_are_plain_and_one_a_pair() -> None:
    names = {name: plain(name) for name in HOSTILE}
    assert len(set(names.values())) == len(names)
    for name in names.values():
        assert name and name[0] not in "-." and not set(name) - set(_PLAIN) and len(name) < 120
    pairs = [Pair("unpaired", one, other) for one in HOSTILE for other in HOSTILE]
    files = {file_name(pair) for pair in pairs}
    assert len(files) == len(pairs) and max(map(len, files)) < 250


_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


def test_plain_names_stay() -> None:
    assert plain("talk-7.mp4") == "talk-7" and plain("v1.2.mp4") == "v1.2" and safe("my method") != safe("my-method")
    assert file_name(Pair("paired", "talk-7.mp4", "talk-7.mp4")) == "talk-7"
    assert file_name(Pair("unpaired", "face.mp4", "voice.mp4")) == "face__voice", "the reference comes first"


def test_a_given_video_may_be_a_link_and_of_any_suffix(tmp_path: Path) -> None:
    pair = Pair("paired", "a.mp4", "a.mp4")
    assert film_given(tmp_path, pair) is None
    (tmp_path / "paired").mkdir()
    (tmp_path / "paired/a.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert film_given(tmp_path, pair) is None, "it leads nowhere"
    (tmp_path / "elsewhere.webm").write_bytes(b"x")
    (tmp_path / "paired/a.webm").symlink_to(tmp_path / "elsewhere.webm")
    assert film_given(tmp_path, pair) == tmp_path / "paired/a.webm"


def test_rows_say_what_a_result_depends_on(tmp_path: Path) -> None:
    (tmp_path / "paired").mkdir()
    given = tmp_path / "paired/a.mp4"
    stage = Pairs(wanted=(Pair("paired", "a.mp4", "a.mp4"),), contents={"a.mp4": "1"}, folder=str(tmp_path))
    before = stage.depends(None)  # type: ignore[arg-type]
    given.write_bytes(b"one")
    after = stage.depends(None)  # type: ignore[arg-type]
    assert before != after
    given.write_bytes(b"other")
    assert stage.depends(None) != after  # type: ignore[arg-type]
