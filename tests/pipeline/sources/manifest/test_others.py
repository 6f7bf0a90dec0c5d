"""Lists of other data sets: their times and boxes are read, and what is not read is told."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sources.manifest import Manifest, ManifestError, form_of, place, read_manifest
from pipeline.sources.web.lists import InputError, read_list

ONE, TWO, THREE = "YqnhRPq2Hq0", "gHlQOxsYoKw", "ADyMEMSMmMk"


def link(vid: str) -> str:
    return f"https://www.youtube.com/watch?v={vid}"


def read(folder: Path, text: str, name: str = "list.json") -> Manifest:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_manifest(path)


def talkvid(vid: str, start: object = 0.1, end: object = 5.141666666666667, **more: object) -> dict[str, Any]:
    frames = {"start-frame": 0, "end-frame": 121, "durations": "5.042s", "fps": 24.0}
    info = {"Person ID": "7", "Language": "English", "Video Link": link(vid)}
    size = {"height": 1080, "width": 1920}
    return {"id": f"video{vid}-scene1", **size, "start-time": start, "end-time": end, **frames, "info": info, **more}


@pytest.mark.parametrize("indent", [None, 4])
def test_talkvids_list(tmp_path: Path, indent: int | None) -> None:
    rows = [
        talkvid(ONE, description="A man, seated."),
        talkvid(ONE, 70.5, 82.5, crop_box=[480, 0, 1440, 1080]),
        talkvid(TWO, "12", "00:00:20.000"),
        talkvid(TWO, None),
        talkvid("short"),
        talkvid(TWO, 9, 2),
    ]
    found = read(tmp_path, json.dumps(rows, indent=indent))
    assert found.form == "objects" and found.numbered_by == ("line" if indent else "entry")
    first, second = found.rows
    assert (first.video_id, first.url, first.start_seconds) == (f"yt:{ONE}", link(ONE), 0.1)
    assert (first.end_seconds, first.first_frame, first.frames, first.crop_box) == (5.141667, 3, 126, None)
    assert second.crop_box == (320, 0, 960, 720)
    texts = list(found.bad.values())
    assert texts[0] == "start_time is no time such as 00:05:51.920: '12'", "one in seconds, one by the clock"
    assert texts[1] == "start_time is no time: it is not given"
    assert "not a YouTube id" in texts[2] and "7 s before it starts" in texts[3]
    left_out = found.left_out()
    assert left_out.startswith("4 bad rows, beside 2 clips that are read; not read: ")
    assert {"id", "durations", "info", "description"} == set(found.unread)
    assert found.unusual() == ""


def test_the_sample_of_talkvids_downloader(tmp_path: Path) -> None:
    rows = [{"info": {"Video Link": f"https://youtu.be/{ONE}"}, "start-time": 10.5, "end-time": 25.3}]
    torn = json.dumps(rows * 2).replace("}, {", ', "x": [}, {', 1)  # the first is torn, the second is whole
    assert len(read(tmp_path, torn).rows) == 1 and len(read(tmp_path, torn).bad) == 1
    found = read(tmp_path, json.dumps(rows))
    assert [(r.start_seconds, r.frames) for r in found.rows] == [(10.5, 370)]


def celebrity(vid: str, box: dict[str, float], times: dict[str, float], **more: object) -> dict[str, object]:
    return {"ytb_id": vid, "duration": times, "bbox": box, "version": "v0.1", **more}


def test_celebv_texts_boxes_are_in_pixels_of_a_size_that_is_not_stated(tmp_path: Path) -> None:
    box, times = {"top": 0, "bottom": 937, "left": 849, "right": 1872}, {"start_sec": 0.0, "end_sec": 9.64}
    clips = {
        "a": celebrity(ONE, box, times),
        "b": celebrity(TWO, box, times, width=1920, height=1080),
        "c": celebrity(THREE, {"top": 0.1, "bottom": 0.9, "left": 0.25, "right": 0.75}, times),
        "d": celebrity(THREE, box, {"start_frame": 415.29, "end_frame": 420.88}),
    }
    found = read(tmp_path, json.dumps({"clips": clips}, indent=1))
    assert found.form == "celebv_json"
    assert [row.crop_box for row in found.rows] == [
        None,
        pytest.approx((849 * 2 / 3, 0, 1872 * 2 / 3, 937 * 2 / 3)),
        pytest.approx((320, 72, 960, 648)),
    ]
    assert list(found.bad.values()) == ["its duration is start_frame and end_frame, and their rate is not stated"]
    assert found.left_out() == (
        "1 bad rows, beside 3 clips that are read; 1 boxes (in pixels of a picture whose size is not stated)"
    )


def test_a_box_lies_on_the_same_pixels_whatever_was_fetched(tmp_path: Path) -> None:
    pixels = {"url": link(ONE), "start": 1, "end": 8, "width": 3840, "height": 2160}
    rows = [
        {**pixels, "crop_box": [960, 540, 1920, 2160]},
        {**pixels, "start": 11, "end": 18, "bbox": {"x": 960, "y": 540, "w": 960, "h": 1620}},
        {"url": link(ONE), "start": 21, "end": 28, "bbox": {"left": 0.25, "top": 0.25, "right": 0.5, "bottom": 1.0}},
    ]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), "list.jsonl")
    for row in found.rows:
        clip = place(row, {"grid_frames": 2000, "width": 640, "height": 480})
        assert isinstance(clip, dict) and clip["manifest_crop_box"] == pytest.approx([160, 120, 320, 480])


UNCLEAR = {
    "pixels without a size": ({"crop_box": [10, 20, 300, 400]}, "in pixels of a picture whose size is not stated"),
    "corners or sides": (
        {"bbox": [10, 20, 300, 400], "width": 640, "height": 480},
        "four numbers of which it is not stated whether they are corners or a corner and sides",
    ),
    "one a frame": ({"bbox": [[1, 2, 3, 4]] * 5, "width": 640, "height": 480}, "not one box of four numbers"),
    "a text": ({"bbox": "left"}, "not one box of four numbers"),
}


@pytest.mark.parametrize("fault", UNCLEAR)
def test_a_box_that_is_not_clear_is_left_out_and_told(tmp_path: Path, fault: str) -> None:
    box, why = UNCLEAR[fault]
    found = read(tmp_path, json.dumps([{"url": link(ONE), "start": 1, "end": 8, **box}]))
    assert [row.crop_box for row in found.rows] == [None] and found.boxless == {why: 1}
    assert found.left_out() == f"1 boxes ({why})"


def test_a_box_that_cannot_be_costs_its_row(tmp_path: Path) -> None:
    size = {"width": 640, "height": 480}
    rows = [
        {"url": link(ONE), "start": 1, "end": 8, **size, "crop_box": [300, 20, 200, 400]},
        {"url": link(ONE), "start": 11, "end": 18, **size, "bbox": {"left": 3, "top": 4, "right": "x", "bottom": 400}},
    ]
    found = read(tmp_path, json.dumps(rows, indent=1))
    assert found.rows == [] and [text.split(":")[0] for text in found.bad.values()] == [
        "crop_box holds no pixel",
        "right is no number",
    ]


def table(columns: list[str], *rows: list[object], tabs: bool = False) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if tabs else ",")
    writer.writerows([columns, *rows])
    return text.getvalue()


@pytest.mark.parametrize("tabs", [False, True])
def test_panda_70ms_list_and_the_like(tmp_path: Path, tabs: bool) -> None:
    columns = ["videoID", "url", "timestamp", "caption", "matching_score"]
    clock = "[['0:00:12.400', '0:00:20'], ['1:00:00.000', '1:00:09.000']]"
    rows = [
        [ONE, link(ONE), clock, "['he said \"no\"', 'b']", "[0.4, 0.5]"],
        [TWO, link(TWO), "[[12.4, 20], [30, 39.5]]", "['a']", "[0.4]"],
        [THREE, link(THREE), "[['0:00:12.400', '20'], [30, 39.5]]", "['a']", "[0.4]"],
    ]
    found = read(tmp_path, table(columns, *rows, tabs=tabs), "list.tsv" if tabs else "list.csv")
    assert found.form == "panda_csv"
    assert [(r.line, r.start_seconds, r.end_seconds, r.frames) for r in found.rows] == [
        (2, 12.4, 20.0, 190),
        (2, 3600.0, 3609.0, 225),
        (3, 12.4, 20.0, 190),
        (3, 30.0, 39.5, 238),
    ]
    assert list(found.bad) == [4] and "timestamp is no time such as" in found.bad[4]
    assert found.left_out() == "1 bad rows, beside 4 clips that are read; not read: caption, matching_score"


def test_ids_without_links_and_frames_at_a_stated_rate(tmp_path: Path) -> None:
    columns = ["youtube_id", "start_frame", "end_frame", "fps", "bbox", "width", "height"]
    box = '{"x1": 0, "y1": 0, "x2": 540, "y2": 1080}'
    rows = [
        [ONE, 300, 450, 29.97, box, 1920, 1080],
        [TWO, 0, 240, "", "", "", ""],
        [TWO, 1.5, 240, 30, "", "", ""],
        [TWO, 1, 240, 0, "", "", ""],
    ]
    found = read(tmp_path, table(columns, *rows), "list.csv")
    [row] = found.rows
    assert (row.start_seconds, row.end_seconds) == (10.01001, 15.015015)
    assert (row.first_frame, row.frames, row.crop_box) == (250, 125, (0, 0, 360, 720))
    assert list(found.bad.values()) == [
        "its times are frames, and their rate (fps) is not stated",
        "start_frame is no number of a frame: 1.5",
        "fps is no rate of a video: 0",
    ]


def test_the_papers_parts_are_not_taken_for_times_of_the_video(tmp_path: Path) -> None:
    columns = ["vid", "part", "start_time", "end_time"]
    rows = [[ONE, 0, "00:00:12.000", "00:00:20.000"], [ONE, 1, "00:00:12.000", "00:00:20.000"]]
    found = read(tmp_path, table(columns, *rows), "list.csv")
    assert [row.start_seconds for row in found.rows] == [12.0]
    assert found.bad == {3: "its times are of part 1 of the video: such lists are read as all_with_crop.json alone"}


def test_a_video_with_very_many_clips(tmp_path: Path) -> None:
    spans = [[n * 10.0, n * 10 + 6.5] for n in range(1000)]
    found = read(tmp_path, json.dumps({"url": link(ONE), "caption": "a", "clips": spans}))
    assert len(found.rows) == 1000 and not found.bad
    again = read(tmp_path, json.dumps({"url": link(ONE), "clips": [*spans, [0.5, 7.0]]}))
    assert again.rows == [] and "no list of up to 1000 starts and ends" in again.bad[1]


def test_clips_that_are_short_or_long_are_told(tmp_path: Path) -> None:
    rows = [[link(ONE), 0, 5], [link(ONE), 10, 14.99], [link(ONE), 20, 35], [link(ONE), 40, 55.1], [link(ONE), 60, 63]]
    found = read(tmp_path, table(["url", "start", "end"], *rows), "list.csv")
    assert len(found.rows) == 5 and found.left_out() == ""
    assert found.unusual() == (
        "of 5 clips 2 are shorter than 5 s and 1 are longer than 15 s: they are kept as the list gives them"
    )


def parquet(path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_video2datasets_parquet_and_json(tmp_path: Path) -> None:
    clips = [[["00:00:01.000", "00:00:08.000"], ["00:00:11.000", "00:00:17.500"]], [["00:00:02.000", "00:00:09.000"]]]
    columns: dict[str, list[object]] = {"url": [link(ONE), link(TWO)], "caption": ["a", "b"], "clips": [*clips]}
    by_parquet = read_manifest(parquet(tmp_path / "list.parquet", **columns))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    by_json = read(tmp_path, "\n".join(map(json.dumps, rows)), "list.jsonl")
    assert (by_parquet.form, by_parquet.numbered_by, by_json.form) == ("parquet", "row", "objects")
    assert by_parquet.rows == by_json.rows and len(by_json.rows) == 3 and not by_json.bad
    assert by_parquet.left_out() == by_json.left_out() == "not read: caption"
    spans = parquet(tmp_path / "spans.parquet", url=[link(ONE), None], start=[1.5, 2.0], end=[9.0, 9.0])
    found = read_manifest(spans)
    assert [(r.line, r.start_seconds) for r in found.rows] == [(1, 1.5)]
    assert found.bad == {2: "not a YouTube id of 11 characters: None"}


def test_lists_without_times_are_links(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {"url": [link(ONE), "https://a.org/v.mp4", 5], "caption": ["a", "b", "c"]}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for text in (json.dumps(rows), json.dumps(rows, indent=2), "\n".join(map(json.dumps, rows))):
        path = tmp_path / "list.json"
        path.write_text(text)
        found = read_list(path)
        assert form_of(path) is None and found.links == [link(ONE), "https://a.org/v.mp4"]
        assert list(found.bad.values()) == [
            next(iter(found.bad)).split(":")[0] + ": names no link and no id of a video"
        ]
        assert found.left_out == "not read: caption"
    columns["url"][2] = None
    found = read_list(parquet(tmp_path / "list.parquet", **columns))
    assert found.links == [link(ONE), "https://a.org/v.mp4"] and len(found.bad) == 1
    assert found.left_out == "not read: caption"
    (tmp_path / "list.csv").write_text(table(["url", "caption"], [link(ONE), "a"]))
    assert read_list(tmp_path / "list.csv").left_out == "not read: caption"


def test_the_time_of_an_upload_is_no_time_of_a_clip(tmp_path: Path) -> None:
    rows = [{"url": link(vid), "timestamp": 1_700_000_000, "title": "a talk"} for vid in (ONE, TWO)]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "list.csv").write_text(table([*rows[0]], *([*row.values()] for row in rows)))
    parquet(tmp_path / "list.parquet", **{name: [row[name] for row in rows] for name in rows[0]})
    for name in ("list.jsonl", "list.csv", "list.parquet"):
        found = read_list(tmp_path / name)
        assert form_of(tmp_path / name) is None and found.links == [link(ONE), link(TWO)] and not found.bad
        assert found.left_out == "not read: timestamp, title"
    timed = [{**row, "start": 3, "end": 9} for row in rows]
    assert [row.start_seconds for row in read(tmp_path, json.dumps(timed)).rows] == [3.0, 3.0]


@pytest.mark.parametrize(
    "listed",
    [{"0": [f"{ONE}_1_0_2.json"]}, [f"{ONE}_1_0_2.json", f"{TWO}_1_0_2.json"], {ONE: [f"{ONE}_3_1.mp4"]}],
)
def test_speakervid_5ms_lists_are_refused_by_name(tmp_path: Path, listed: object) -> None:
    with pytest.raises(ManifestError, match=r"SpeakerVid-5M's list names clips and gives no times: make a list"):
        read(tmp_path, json.dumps(listed, indent=1))
    with pytest.raises(ManifestError, match="SpeakerVid-5M"):
        read_list(tmp_path / "list.json")


def test_what_the_refusal_of_speakervid_5m_asks_for_is_read(tmp_path: Path) -> None:
    row = {"youtube_id": ONE, "start": 3.2, "end": 9.2, "width": 1920, "height": 1080, "crop_box": [0, 0, 960, 1080]}
    found = read(tmp_path, json.dumps(row) + "\n" + json.dumps({**row, "youtube_id": TWO}) + "\n")
    assert [(r.video_id, r.crop_box) for r in found.rows] == [
        (f"yt:{ONE}", (0, 0, 640, 720)),
        (f"yt:{TWO}", (0, 0, 640, 720)),
    ]
    assert found.left_out() == ""


def test_damaged_and_packed_files_are_told_in_a_line(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "list.parquet", url=[link(ONE)], start=[1.0], end=[9.0]).read_bytes()
    for cut in (whole[:-9], whole[:20], b"PAR1"):
        (tmp_path / "torn.parquet").write_bytes(cut)
        with pytest.raises(ManifestError, match="not a Parquet file that can be read"):
            read_manifest(tmp_path / "torn.parquet")
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(b"url\n" + link(ONE).encode()))
    with pytest.raises(InputError, match="packed with gzip: unpack it first"):
        read_list(tmp_path / "list.csv.gz")


def test_a_parquet_file_that_unpacks_to_more_than_a_list_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: dict[str, list[object]] = {"start": [1.0] * 5000, "end": [9.0] * 5000}
    one = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), ["x" * 500_000])
    huge = tmp_path / "text.parquet"  # 2.5 GB where each row holds its own text
    pq.write_table(pa.table({"url": one, **timed}), huge, store_schema=False)
    assert huge.stat().st_size < 2**20
    lists = parquet(tmp_path / "lists.parquet", url=[link(ONE)], clips=[[[1.0, 9.0]] * 20_000])
    for path in (huge, lists):
        with pytest.raises(ManifestError, match="a text or a list after row 0 is longer than any of a list"):
            read_manifest(path)
    monkeypatch.setattr("pipeline.sources.manifest.parquet_rows._MAX_VALUES", 10_000)
    with pytest.raises(ManifestError, match="15,000 values, which is more than a list holds"):
        read_manifest(huge)
