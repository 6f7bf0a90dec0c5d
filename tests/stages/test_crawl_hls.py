"""A stream in pieces (HLS) in which the clock begins anew: fetched once, whole, both talks in order."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pipeline.media.audio import read_wave
from pipeline.media.reading import Reading
from pipeline.media.video import GridReader
from tests.pipeline.media.footage import constant_times, ffmpeg, read_counter, speckle, write_footage
from tests.pipeline.media.test_audio import shift_between
from tests.stages.test_crawl import crawl_links

PICTURES = 60


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, "Counter[str]"]]:
    """Yields the address of a folder, and how often each file was asked for."""
    asked: Counter[str] = Counter()

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = {".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t"}

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            asked[self.path] += 1
            super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def in_pieces(folder: Path, name: str, seed: int) -> list[str]:
    """A talk whose pictures count from 0 as segments of a second; returns its lines of a playlist."""
    talk = write_footage(
        folder / f"{name}.mp4",
        constant_times(25, PICTURES),
        sound=speckle(PICTURES / 25, 48000, seed),
        sound_rate=48000,
        gop=25,
    )
    named = ["-hls_segment_filename", folder / f"{name}-%d.ts", folder / f"{name}.m3u8"]
    ffmpeg("-i", talk, "-c", "copy", "-f", "hls", "-hls_time", 1, "-hls_list_size", 0, *named)
    lines = (folder / f"{name}.m3u8").read_text().splitlines()
    return [line for line in lines if line.startswith("#EXTINF") or line.endswith(".ts")]


def test_a_stream_with_discontinuities(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    talks = [in_pieces(site, name, seed) for seed, name in enumerate("ab", start=1)]
    head = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2"]
    stream = [*head, *talks[0], "#EXT-X-DISCONTINUITY", *talks[1], "#EXT-X-ENDLIST"]
    (site / "talks.m3u8").write_text("\n".join(stream) + "\n")
    with serving(site) as (address, asked):
        [row] = crawl_links(tmp_path, f"{address}/talks.m3u8")
    assert isinstance(row, dict), row
    pieces = {path: times for path, times in asked.items() if path.endswith(".ts")}
    assert len(pieces) == sum(line.endswith(".ts") for talk in talks for line in talk)
    assert set(pieces.values()) == {1}, "each piece is fetched once"
    assert not row["truncated"] and row["clock"]

    path, reading = tmp_path / row["path"], Reading.of(row)
    with GridReader(path, reading=reading) as reader:
        numbers = [read_counter(frame.pixels) for frame in reader]
    late = numbers.count(0) - 2  # pictures begin a little later than their sound
    assert numbers[late:] == [*range(PICTURES)] * 2
    assert row["grid_frames"] == len(numbers)
    wave = read_wave(path, reading=reading)
    assert wave is not None
    for number, talk in enumerate(talks):
        segments = [site / line for line in talk if line.endswith(".ts")]
        (tmp_path / "alone.ts").write_bytes(b"".join(segment.read_bytes() for segment in segments))
        alone = read_wave(tmp_path / "alone.ts")
        assert alone is not None
        begin = number * PICTURES * 640
        assert abs(shift_between(alone, wave[begin : begin + len(alone)])) <= 1, f"sound of talk {number}"
