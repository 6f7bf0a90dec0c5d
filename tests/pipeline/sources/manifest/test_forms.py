"""Manifests of every form, whole and damaged: each good row read, each bad one named with its line."""

import csv
import io
import json
import random
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.manifest import Manifest, ManifestError, entries, form_of, read_manifest
from pipeline.sources.manifest.rows import clock
from tests.stages.stage_assets import asset

IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=11, max_size=11)
MILLIS = st.integers(0, 3_700_000)


@dataclass
class Work:
    """What reading a list of objects costs: where an entry's end was looked for, and the lengths of what was decoded."""

    starts: list[int] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    spent = Work()
    decode, end_of_entry = entries.DECODER.decode, entries.end_of_entry

    def counted_decode(piece: str) -> Any:
        spent.decoded.append(len(piece))
        return decode(piece)

    def counted_end(text: str, at: int, limit: int) -> int | None:
        spent.starts.append(at)
        return end_of_entry(text, at, limit)

    monkeypatch.setattr(entries.DECODER, "decode", counted_decode)
    monkeypatch.setattr(entries, "end_of_entry", counted_end)
    return spent


def read(folder: Path, text: str | bytes, name: str = "manifest") -> Manifest:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_manifest(path)


def entry(vid: str = "YqnhRPq2Hq0", **more: object) -> dict[str, object]:
    times = {"start_time": "00:05:51.920", "end_time": "00:06:04.717"}
    return {"vid": vid, "part": 0, **times, "crop_box": [300, 0, 1020, 720], **more}


def test_the_two_names_of_the_facts(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717\n\r\n# twice the same form\ngHlQOxsYoKw_1_00_32_58_031_00_33_06_992.mp4\r\n",
    )
    first, second = found.rows
    assert (found.form, found.bad) == ("csg405_names", {})
    assert (first.line, first.video_id, first.name) == (1, "yt:YqnhRPq2Hq0", "YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717")
    assert (first.start_seconds, first.end_seconds, first.crop_box) == (351.92, 364.717, None)
    assert (first.first_frame, first.frames) == (8798, 320)
    assert (second.line, second.name) == (4, "gHlQOxsYoKw_1_00:32:58.031_00:33:06.992")
    assert second.start_seconds == pytest.approx(3600 + 32 * 60 + 58.031)
    assert second.first_frame == round(25 * second.start_seconds)


@given(IDS, st.integers(0, 30), MILLIS, st.integers(200, 100_000), st.booleans(), st.booleans())
def test_names_come_back(vid: str, part: int, start: int, length: int, underscores: bool, suffix: bool) -> None:
    from pipeline.sources.manifest.forms import _named

    start = min(start, 3_600_000)
    a, b = clock(start * 1000), clock((start + length) * 1000)
    name = f"{vid}_{part}_{a}_{b}"
    written = f"{vid}_{part}_{a}_{b}".replace(":", "_").replace(".", "_") if underscores else name
    row = _named(1, written + (".mp4" if suffix else ""))
    assert (row.name, row.video_id) == (name, f"yt:{vid}")
    assert round(row.start_seconds * 1000) == part * 3_600_000 + start
    assert round((row.end_seconds - row.start_seconds) * 1000) == length


@given(st.integers(0, 10**7), st.integers(200, 10**5))
def test_frames_are_the_nearest_and_halves_go_up(start: int, length: int) -> None:
    from pipeline.sources.manifest.rows import frames_of

    first, frames = frames_of(start * 1000, (start + length) * 1000)
    assert 40 * first - 20 <= start < 40 * first + 20  # 40 ms a frame: picture n stands for n/25 +- 1/50
    assert 40 * frames - 20 <= length < 40 * frames + 20


def test_entries_of_json_are_numbered_by_their_line(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps([entry(), entry("gHlQOxsYoKw", crop_box=[])], indent=4))
    assert (found.form, found.numbered_by) == ("csg405_json", "line")
    assert [(row.line, row.crop_box) for row in found.rows] == [(2, (300.0, 0.0, 1020.0, 720.0)), (14, None)]


def test_entries_that_share_a_line_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps([entry(), entry("short"), entry("gHlQOxsYoKw")]))
    assert found.numbered_by == "entry"
    assert [row.line for row in found.rows] == [1, 3]
    assert found.bad == {2: "not a YouTube id of 11 characters: 'short'"}


BROKEN = {
    "id": (entry("a" * 12), "not a YouTube id"),
    "id that climbs": (entry("../../../ab"), "not a YouTube id"),
    "id of other letters": (entry("\N{CYRILLIC SMALL LETTER A}" * 11), "not a YouTube id"),
    "no id": ({k: v for k, v in entry().items() if k != "vid"}, "has no vid"),
    "part below zero": (entry(part=-1), "part is no whole number"),
    "part that is no number": (entry(part=True), "part is no whole number"),
    "huge part": (entry(part=10**9), "part is no whole number"),
    "time without a form": (entry(start_time="5 minutes"), "start_time is no time"),
    "time that is a number": (entry(end_time=5.0), "end_time is no time"),
    "minute 61": (entry(end_time="00:61:00.000"), "end_time is no time"),
    "other digits": (entry(end_time="\u0660\u0660:06:04.717"), "end_time is no time"),
    "backwards": (entry(end_time="00:05:51.000"), "before it starts"),
    "empty": (entry(end_time="00:05:51.920"), "ends where it starts"),
    "too short": (entry(end_time="00:05:52.000"), "lasts 0.08 s"),
    "too long": (entry(end_time="00:59:00.000"), "lasts 3188.08 s"),
    "past its part": (
        entry(part=2, start_time="01:30:00.000", end_time="01:30:08.000"),
        "of part 2, and a part lasts 3600 s",
    ),
    "box of three": (entry(crop_box=[1, 2, 3]), "neither [] nor four numbers"),
    "box of words": (entry(crop_box=["1", "2", "3", "4"]), "crop_box is no number"),
    "box turned": (entry(crop_box=[600, 0, 300, 300]), "holds no pixel"),
    "box NaN": (entry(crop_box=[0, float("nan"), 300, 300]), "crop_box is no number: nan"),
    "box infinite": (entry(crop_box=[0, 0, float("inf"), 300]), "crop_box is no number: inf"),
    "box of many digits": (entry(crop_box=[0, 0, 10**400, 300]), "crop_box is no number: inf"),
    "box by far": (entry(crop_box=[0, 0, 9999, 300]), "leaves its picture"),
    "box outside": (entry(crop_box=[1300, 0, 1500, 300]), "outside its picture"),
    "nested": (entry(vid={"a": {"b": 1}}), "not a YouTube id"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_bad_row_is_named_and_the_others_read(tmp_path: Path, fault: str) -> None:
    row, text = BROKEN[fault]
    lines = ["[", *(json.dumps(e) + "," for e in (entry(), row)), json.dumps(entry("gHlQOxsYoKw")), "]"]
    found = read(tmp_path, "\n".join(lines))
    assert [r.line for r in found.rows] == [2, 4]
    assert list(found.bad) == [3] and text in found.bad[3] and "\n" not in found.bad[3] and len(found.bad[3]) < 250


TORN = {
    "a brace missing": (json.dumps(entry())[:-1] + ",", "not a whole object"),
    "a quote missing": (json.dumps(entry()).replace('"part"', '"part', 1) + ",", "not"),
    "a comma too many": (json.dumps(entry())[:-1] + ",},", "not JSON"),
    "deeply nested": (json.dumps(entry())[:-1] + ', "x": ' + "[" * 10**5 + "]" * 10**5 + "},", "an entry of"),
    "nested objects": ('{"a":' * 10**4 + "1" + "}" * 10**4 + ",", "not a whole object"),
    "a million digits": (json.dumps(entry())[:-1] + ', "part": ' + "1" * 10**6 + "},", "an entry of"),
    "a few thousand digits": (json.dumps(entry())[:-1] + ', "part": ' + "1" * 5000 + "},", "part is no whole number"),
    "null": ("null,", "not an object: None"),
    "a number": ("17,", "not an object: 17"),
    "a text": ('"clip",', "not an object: 'clip'"),
    "a list": ("[1, [2]],", "not an object"),
    "words": ("clip one,", "not a whole object: 'clip one"),
}


@pytest.mark.parametrize("fault", TORN)
def test_what_is_no_object_costs_itself_alone(tmp_path: Path, work: Work, fault: str) -> None:
    torn, text = TORN[fault]
    before, after = json.dumps(entry()) + ",", json.dumps(entry("gHlQOxsYoKw"))
    found = read(tmp_path, "\n".join(["[", before, torn, after, "]"]))
    assert len(work.starts) <= 4, "it is looked at once, not again from each of its characters"
    assert len(work.decoded) <= 4 and max(work.decoded) <= entries.MAX_ENTRY_CHARS, "what is huge is not decoded"
    assert [r.video_id for r in found.rows] == ["yt:YqnhRPq2Hq0", "yt:gHlQOxsYoKw"]
    assert text in next(iter(found.bad.values()))


def test_a_list_that_ends_early_says_so(tmp_path: Path) -> None:
    text = json.dumps([entry(), entry("gHlQOxsYoKw")], indent=1)
    found = read(tmp_path, text[: text.rindex("crop_box")])
    assert len(found.rows) == 1 and "not a whole object" in found.bad[14]
    found = read(tmp_path, text.rstrip("]\n"))
    assert len(found.rows) == 2 and "ends without ]" in list(found.bad.values())[-1]
    found = read(tmp_path, text + "\nmore")
    assert len(found.rows) == 2 and "after the end" in list(found.bad.values())[-1]


def test_rows_named_twice_are_reported(tmp_path: Path) -> None:
    other = entry(start_time="00:05:51.925", crop_box=[0, 0, 200, 200])  # the same frames, somebody else's crop
    same = entry(start_time="00:05:51.925")
    lines = ["[", *(json.dumps(e) + "," for e in (entry(), entry(), other, same)), json.dumps(entry(crop_box=[])), "]"]
    found = read(tmp_path, "\n".join(lines))
    assert [row.line for row in found.rows] == [2, 4]
    assert found.bad[3].startswith("names the clip of line 2 again")
    assert found.bad[5].startswith("names the clip of line 4 again") and found.bad[6].startswith(
        "names the clip of line 2"
    )
    found = read(tmp_path, "YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717\nYqnhRPq2Hq0_0_00:05:51.921_00:06:04.717\n")
    assert found.bad == {2: "the same pictures as line 1: 'YqnhRPq2Hq0_0_00:05:51.921_00:06:04.717'"}


def test_text_that_is_not_utf8_costs_its_row_alone(tmp_path: Path) -> None:
    good = b"YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717"
    found = read(tmp_path, b"\xef\xbb\xbf" + good + b"\nYqnh\xe9\xff2Hq0_0_00:05:51.920_00:06:04.717\n\x0b\x1c\nx\n")
    assert [row.line for row in found.rows] == [1] and sorted(found.bad) == [2, 4]


def test_emtds_list_parses_whole() -> None:
    found = read_manifest(asset("facts/emtd_links.csv"))
    assert (found.form, len(found.rows), found.bad) == ("emtd_csv", 110, {})
    assert len(found.by_video()) == 39  # under 40 spellings of their links: one has &t=355s
    assert sum(row.frames for row in found.rows) / 25 / 60 == pytest.approx(22.1, abs=0.05)
    assert found.rows[0].name == "NBMTc71yrpk_0_00:00:54.596_00:01:01.561"


def test_a_table_of_links(tmp_path: Path) -> None:
    rows = [
        "url,start,end",
        "https://youtu.be/YqnhRPq2Hq0?t=3,00:00:01.000,00:00:08.500",
        "https://vimeo.com/123,00:00:01.000,00:00:08.500",
        '"https://youtu.be/YqnhRPq2Hq0,00:00:01.000,00:00:08.500',
        "javascript:alert(1),00:00:01.000,00:00:08.500",
        "https://youtu.be/YqnhRPq2Hq0,00:00:11.000",
    ]
    found = read(tmp_path, "\r\n".join(rows))
    assert [(r.line, r.url) for r in found.rows] == [(2, "https://www.youtube.com/watch?v=YqnhRPq2Hq0")]
    texts = ["not a link to a YouTube video", "not a row of CSV", "scheme", "end_time is no time"]
    assert list(found.bad) == [3, 4, 5, 6]
    assert all(text in found.bad[3 + i] for i, text in enumerate(texts))


def released(**more: object) -> dict[str, object]:
    clip = {"video_id": "yt:YqnhRPq2Hq0", "url": "https://www.youtube.com/watch?v=YqnhRPq2Hq0", "first_frame": 100}
    times = {"frames": 250, "start_seconds": 4.0, "end_seconds": 14.0, "width": 1920, "height": 1080}
    return {**clip, **times, "crop_box": [450, 0, 1530, 1080], "person": 0, "name": "yt:YqnhRPq2Hq0/100+250#0", **more}


def test_our_own_links(tmp_path: Path) -> None:
    second = released(person=1, name="yt:YqnhRPq2Hq0/100+250#1", crop_box=[0, 0, 450, 1080])
    bad = [
        released(name="c", first_frame=-1),
        released(name="d", frames=300),
        released(name="e", start_seconds=float("nan")),
        released(name="f", video_id="yt:../../../ab"),
        released(name="g", url="file:///etc/passwd"),
        released(name="h", width=0),
        released(name="i\n"),
        released(name="j", start_seconds=1e300, end_seconds=1e300),
    ]
    text = "\n".join([*(json.dumps(e) for e in (released(), second, *bad)), "{", "[" * 10**5, ""])
    found = read(tmp_path, text)
    assert found.form == "release"
    assert [(r.line, r.person, r.crop_box) for r in found.rows] == [
        (1, 0, (300.0, 0.0, 1020.0, 720.0)),
        (2, 1, (0.0, 0.0, 300.0, 720.0)),
    ]
    assert sorted(found.bad) == list(range(3, 13))


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"https://www.youtube.com/watch?v=YqnhRPq2Hq0\n", b"\0\0[", b"<html>", b"url\nx\n"]
)
def test_what_is_no_manifest_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "links.txt"
    path.write_bytes(content)
    assert form_of(path) is None
    with pytest.raises(ManifestError, match="no manifest: expected all_with_crop"):
        read_manifest(path)


def test_a_file_that_is_not_there_or_too_large_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "none")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate((512 << 20) + 1)
    with pytest.raises(ManifestError, match="larger than 512 MiB"):
        read_manifest(tmp_path / "huge")


def test_a_first_line_that_is_bad_hides_no_form(tmp_path: Path) -> None:
    found = read(tmp_path, "what is this\nYqnhRPq2Hq0_0_00:05:51.920_00:06:04.717\n")
    assert (len(found.rows), list(found.bad)) == (1, [1])


@pytest.mark.slow
def test_as_many_rows_as_the_release_has(tmp_path: Path, work: Work) -> None:
    rng = random.Random(405)
    alphabet = string.ascii_letters + string.digits + "_-"
    ids = ["".join(rng.choices(alphabet, k=11)) for _ in range(17_787)]
    rows = [
        entry(
            ids[k % len(ids)],
            part=k % 3,
            start_time=clock((k // len(ids)) * 20_000_000 + k),
            end_time=clock((k // len(ids)) * 20_000_000 + 9_880_000 + k),
        )
        for k in range(147_550)
    ]
    path = tmp_path / "all_with_crop.json"
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    found = read_manifest(path)
    assert (len(found.rows), found.bad, len(found.by_video())) == (147_550, {}, 17_787)
    assert len(work.starts) == len(work.decoded) == len(rows), "each entry is looked at once"
    assert sum(work.decoded) < path.stat().st_size


def test_a_nul_costs_its_row_alone(tmp_path: Path) -> None:
    good = "YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717"
    found = read(tmp_path, f"{good}\nYqnhRPq2H\0q0_0_00:05:51.920_00:06:04.717\n")
    assert ([row.line for row in found.rows], list(found.bad)) == ([1], [2])
    lines = [
        "[",
        json.dumps(entry()) + ",",
        json.dumps(entry("x")).replace("x", "a\0b") + ",",
        json.dumps(entry("gHlQOxsYoKw")),
        "]",
    ]
    found = read(tmp_path, "\n".join(lines))
    assert ([row.line for row in found.rows], list(found.bad)) == ([2, 4], [3])
    assert form_of(tmp_path / "manifest") == "csg405_json"
    found = read(tmp_path, "\n".join([json.dumps(released()), '{"video_id": "\0"}', '{"video_id": \0}']))
    assert ([row.line for row in found.rows], list(found.bad)) == ([1], [2, 3])


def test_a_quoted_cell_over_two_lines(tmp_path: Path) -> None:
    rows = [
        "title,url,start,end",
        '"a talk\nin ""two"" lines",https://youtu.be/YqnhRPq2Hq0,00:00:01.000,00:00:08.500',
        '"never closed,https://youtu.be/YqnhRPq2Hq0,00:00:11.000,00:00:18.500',
        "plain,https://youtu.be/YqnhRPq2Hq0,00:00:21.000,00:00:28.500",
        '"closed at once",https://youtu.be/YqnhRPq2Hq0,00:00:31.000,00:00:38.500',
        '5" disk,https://youtu.be/YqnhRPq2Hq0,00:00:41.000,00:00:48.500',
        'the end",https://youtu.be/YqnhRPq2Hq0,00:00:51.000,00:00:58.500',
    ]
    found = read(tmp_path, "\n".join(rows))
    assert [(row.line, row.start_seconds) for row in found.rows] == [
        (2, 1.0),
        (5, 21.0),
        (6, 31.0),
        (7, 41.0),
        (8, 51.0),
    ]
    assert list(found.bad) == [4]


def test_a_row_of_panda_70m_is_its_clips(tmp_path: Path) -> None:
    def row(vid: str, second: str = "['0:01:00.5', '0:01:05.5']") -> list[str]:
        stamps = f"[['0:00:04.004', '0:00:09.009'], {second}]"
        captions = """['He said, "no".\nThen he left.', 'b']"""
        return [vid, f"https://www.youtube.com/watch?v={vid}", stamps, captions, "[0.4, 0.5]"]

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["videoID", "url", "timestamp", "caption", "matching_score"])
    writer.writerow(row("YqnhRPq2Hq0"))
    writer.writerow(row("gHlQOxsYoKw", "['0:01:00.5, '0:01:05.5']"))  # torn: nothing of it is believed
    writer.writerow(row("ADyMEMSMmMk", "['0:01:00.5', '0:01:00.6']"))  # too short a clip costs itself
    found = read(tmp_path, text.getvalue())
    assert found.form == "panda_csv"
    first, second, third = found.rows
    assert (first.line, first.first_frame, first.frames) == (2, 100, 125)
    assert (second.line, second.first_frame, second.name) == (2, 1513, "YqnhRPq2Hq0_0_00:01:00.500_00:01:05.500")
    assert third.video_id == "yt:ADyMEMSMmMk"
    assert ["timestamp is no list" in said or "lasts 0.1 s" in said for said in found.bad.values()] == [True, True]


@pytest.mark.parametrize("indent", [None, 2])
def test_celebv_hqs_json(tmp_path: Path, indent: int | None) -> None:
    clip = {
        "ytb_id": "YqnhRPq2Hq0",
        "duration": {"start_sec": 81.62, "end_sec": 86.17},
        "bbox": {"top": 0.0, "bottom": 0.8815, "left": 0.1964, "right": 0.6922},
        "attributes": {"appearance": [0, 0, 1], "action": [1], "emotion": {"sep_flag": False, "labels": "neutral"}},
        "version": "v0.1",
    }
    clips = {
        "YqnhRPq2Hq0_0": clip,
        "bad": {**clip, "bbox": {}},
        "torn": {**clip, "duration": {"start_sec": 3}},
        "other": {**clip, "ytb_id": "gHlQOxsYoKw"},
    }
    found = read(tmp_path, json.dumps({"meta_info": {"appearance_mapping": ["Blurry"]}, "clips": clips}, indent=indent))
    assert found.form == "celebv_json" and found.numbered_by == ("line" if indent else "entry")
    first, last = found.rows
    assert (first.video_id, first.start_seconds, first.end_seconds) == ("yt:YqnhRPq2Hq0", 81.62, 86.17)
    assert first.crop_box == pytest.approx((0.1964 * 1280, 0.0, 0.6922 * 1280, 0.8815 * 720))
    assert last.video_id == "yt:gHlQOxsYoKw"
    texts = list(found.bad.values())
    assert "left is no number" in texts[0] and "end_sec is no number" in texts[1] and len(texts) == 2


def test_links_of_a_release_over_several_lines(tmp_path: Path) -> None:
    second = released(person=1, name="b", crop_box=[0, 0, 450, 1080])
    found = read(tmp_path, json.dumps(released(), indent=2) + "\n" + json.dumps(second, indent=2) + "\n")
    assert (found.form, found.bad) == ("release", {}) and [row.line for row in found.rows] == [1, 19]
    found = read(tmp_path, json.dumps({"some": "thing", "other": [1, 2]}, indent=2))
    assert found.rows == [] and len(found.bad) == 1 and "not a YouTube id" in found.bad[1]


@pytest.mark.parametrize(
    "text",
    [
        "[" + '{"vid":' * 10**4,
        "[" + '{"x":' * 10**4,
        "[" + "[" * 10**5,
        '["' + '"{"' * 10**4,
        '{"clips":{"ytb_id"' + '"a":' * 10**4,
    ],
)
def test_what_is_nested_is_looked_at_once(text: str, tmp_path: Path, work: Work) -> None:
    found = read(tmp_path, text)
    assert found.rows == [] and found.bad
    assert len(work.starts) <= 10**4 + 2 and sum(work.decoded) <= len(text)


def test_complaints_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.manifest.forms.MAX_BAD_ROWS", 5)
    with pytest.raises(ManifestError, match="more than 5 bad rows"):
        read(tmp_path, "[" + "1," * 100 + "]")
