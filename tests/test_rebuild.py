"""A data set rebuilt from the links of its release: every good row a clip at the right frame, crop and sample."""

import csv
import hashlib
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.engine.profile import Profile, load
from pipeline.engine.runner import Options, run_stage
from pipeline.media.audio import from_flac
from pipeline.media.video import GridReader, probe
from pipeline.registry.models import Registry
from pipeline.skeleton import layout
from pipeline.skeleton.crop import crop_box, square
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from stages.crawl import record
from tests import rebuild_rows
from tests.pipeline.media.footage import constant_times
from tests.rebuild_films import Film, number_in, write_film

ROWS, FILMS = 20 * (len(rebuild_rows.FAULTS) + 2), 40  # each fault once, in one row of twenty
SIZES = ((1280, 720), (1920, 1080), (854, 480))
RATES = (25, Fraction(24000, 1001), 30, 50, 24)
LEAST_RATES = (25, 24)  # of large pictures, which take long to draw
SEED_STEP = 53


def make_film(folder: Path, index: int) -> Film:
    video_id = f"yt:{['-_', 'A_', 'z-', '__'][index % 4]}{index:07d}{'_-'[index % 2]}x"
    large = index % 10 == 1
    size = SIZES[1] if large else SIZES[0] if index % 2 else SIZES[2]
    rate = (LEAST_RATES if large else RATES)[index % (2 if large else 5)]
    base = index * SEED_STEP
    if index == 0:  # over an hour, a picture a second in the first: the rows of its second part count from there
        times = [Fraction(k) for k in range(3600)] + [3600 + t for t in constant_times(25, 75)]
        return write_film(folder / "long.mkv", video_id, SIZES[2], times, base, sound=None)
    count = int(Fraction(rate) * 3)
    lossy = index % 5 == 4
    path = folder / (f"{index}.mp4" if lossy else f"{index}.mov")  # Matroska would round times to milliseconds
    return write_film(path, video_id, size, constant_times(rate, count), base, sound="aac" if lossy else "pcm_s16le")


def _make(what: tuple[Path, int]) -> Film:
    return make_film(*what)


def plant_videos(store: Store, films: list[Film]) -> None:
    """Rows as `crawl` would leave them."""
    tables, outcomes = [], []
    for film in films:
        source = f"https://www.youtube.com/watch?v={film.video_id[3:]}"
        sha256 = hashlib.sha256(film.path.read_bytes()).hexdigest()
        row = record.row(film.video_id, source, film.path.absolute(), sha256, probe(film.path))
        tables.append(pack_rows(KINDS["videos"], source, [{**row, "url": source}]))
        outcomes.append(Outcome(source, "crawl", 0, "ok", rows=1))
    store.table("videos").append(tables, outcomes)


def scaled(box: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels of 1280x720 as whole pixels of a picture of this size."""
    x1, y1, x2, y2 = (
        round(Fraction(value * side, whole)) for value, side, whole in zip(box, size * 2, (1280, 720) * 2, strict=True)
    )
    return x1, y1, x2, y2


def person(clip: dict[str, Any], rank: int, size: tuple[int, int], box: tuple[float, ...], seed: int) -> dict[str, Any]:
    """A row of `persons` whose body fills a box."""
    frames = clip["frames"]
    rng = np.random.default_rng(seed)
    x1, y1, x2, y2 = box
    points = np.tile([x1, y1] + rng.uniform(0.05, 0.95, (1, layout.K, 2)) * [x2 - x1, y2 - y1], (frames, 1, 1))
    points += rng.normal(0, 0.2, points.shape)
    return {
        "person_id": f"{clip['clip_id']}#{rank}",
        "clip_id": clip["clip_id"],
        "video_id": clip["video_id"],
        "person": rank,
        "frames": frames,
        "frames_seen": frames,
        "width": size[0],
        "height": size[1],
        "keypoints": points.reshape(frames, -1).astype(np.float32),
        "scores": np.full((frames, layout.K), 0.9, np.float32),
        "boxes": np.tile(np.array(box, np.float32), (frames, 1)),
        "face_sharpness": np.full(frames, 50, np.float32),
    }


def plant_persons(store: Store, sizes: dict[str, tuple[int, int]]) -> dict[str, dict[str, Any]]:
    """Two persons a clip, in either order; returns by clip the one that the manifest means."""
    meant, tables, outcomes = {}, [], []
    names = ["clip_id", "video_id", "frames", "manifest_crop_box"]
    for number, clip in enumerate(store.read("clips", names).to_pylist()):
        width, height = size = sizes[clip["video_id"]]
        x1, y1, x2, y2 = clip["manifest_crop_box"] or (0.2 * width, 0.1 * height, 0.7 * width, height)
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
        dx, dy = 0.1 * (x2 - x1), 0.05 * (y2 - y1)
        mine = (x1 + dx, y1 + dy, x2 - dx, y2 - dy)
        # Someone else, often larger, mostly outside the crop; smaller where there is no crop to tell them apart.
        left = (x1 + x2) / 2 > width / 2
        other = (0, 0, x1 + 2 * dx, height) if left else (x2 - 2 * dx, 0, width, height)
        if clip["manifest_crop_box"] is None:
            other = (0, 0, 0.1 * width, 0.5 * height)
        rank = number % 2
        pair = [person(clip, rank, size, mine, number), person(clip, 1 - rank, size, other, number + 10_000)]
        meant[clip["clip_id"]] = pair[0]
        tables.append(pack_rows(KINDS["persons"], clip["clip_id"], sorted(pair, key=lambda p: p["person"])))
        outcomes.append(Outcome(clip["clip_id"], "annotate", 0, "ok", rows=2))
    store.table("persons").append(tables, outcomes)
    return meant


def run_stages(profile: Profile, names: list[str], run: Path) -> None:
    for name in names:
        summary = run_stage(profile.stage(name), run, Registry(cache=run / "nets"), Options(workers=2, threads=2))
        assert not summary.counts.get("failed"), (name, summary)


@dataclass(frozen=True)
class Expected:
    """What a row must have become."""

    line: int
    film: Film
    first: int
    frames: int
    box: tuple[int, int, int, int]
    video: Path
    audio: bytes | None


def faults_of(row: Expected) -> list[str]:
    """Everything that is wrong with a row's sample."""
    wrong = []
    with GridReader(row.video) as reader:
        pictures = [frame.pixels.copy() for frame in reader]
    if len(pictures) != row.frames:
        return [f"line {row.line}: {len(pictures)} pictures, not {row.frames}"]
    for n, picture in enumerate(pictures):
        k = row.film.frame_at(row.first + n)
        number = number_in(picture, row.box, row.film.size)
        if number != row.film.base + k:
            wrong.append(f"line {row.line}: picture {n} shows {number}, not {row.film.base + k}")
    wrong += [f"line {row.line}: {text}" for text in _crop_faults(row, pictures[0])]
    wrong += [f"line {row.line}: {text}" for text in _sound_faults(row)]
    return wrong


def _crop_faults(row: Expected, picture: np.ndarray) -> list[str]:
    """The first picture against the drawn one, cut here by hand: no other cut, one pixel off, may fit as well."""
    drawn = row.film.picture(row.film.frame_at(row.first))[..., 0].astype(np.float32)  # grey: one channel says all
    picture = picture.astype(np.float32).mean(2)
    fits = {}
    for dx, dy, grow in [(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]:
        x1, y1, x2, y2 = row.box
        fits[dx, dy, grow] = _difference(
            drawn, (x1 + dx - grow, y1 + dy - grow, x2 + dx + grow, y2 + dy + grow), picture
        )
    best = min(fits, key=lambda key: fits[key])
    wrong: list[str] = [] if best == (0, 0, 0) else [f"the crop fits better when moved or grown by {best}: {fits}"]
    if fits[0, 0, 0] > 12:
        wrong.append(f"the crop differs by {fits[0, 0, 0]:.1f} grey levels")
    return wrong


def _difference(drawn: np.ndarray, box: tuple[int, int, int, int], picture: np.ndarray) -> float:
    """Mean grey levels between a picture and a letterboxed cut of the drawing."""
    height, width = drawn.shape
    x1, y1, x2, y2 = box
    side = max(x2 - x1, y2 - y1)
    canvas = np.zeros((side, side), np.float32)
    left, top = (side - (x2 - x1)) // 2, (side - (y2 - y1)) // 2
    a, b, c, d = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    canvas[top + b - y1 : top + d - y1, left + a - x1 : left + c - x1] = drawn[b:d, a:c]
    how = cv2.INTER_AREA if side > len(picture) else cv2.INTER_CUBIC
    return float(np.abs(cv2.resize(canvas, picture.shape, interpolation=how) - picture).mean())


def _sound_faults(row: Expected) -> list[str]:
    if row.film.wave is None:
        return [] if row.audio is None else ["sound where the film has none"]
    if row.audio is None:
        return ["no sound"]
    found = np.rint(from_flac(row.audio) * 32768).astype(np.int16)
    begin = row.first * 640
    true = row.film.wave[begin : begin + row.frames * 640]
    true = np.pad(true, (0, row.frames * 640 - len(true)))
    if row.film.lossless:
        return [] if np.array_equal(found, true) else ["samples differ from those of the film"]
    scores = [np.dot(np.roll(true, lag)[100:-100].astype(float), found[100:-100]) for lag in range(-40, 41)]
    return [] if int(np.argmax(scores)) == 40 else [f"sound is shifted by {int(np.argmax(scores)) - 40} samples"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_rows_of_the_releases_form(tmp_path: Path) -> None:
    planted = rebuild(tmp_path, ROWS, FILMS)
    assert len(planted.good) == ROWS * 95 // 100 and len(set(planted.faults.values())) == len(rebuild_rows.FAULTS) + 2


def rebuild(folder: Path, rows: int, count: int) -> rebuild_rows.Planted:
    """Plant films and a manifest, rebuild, and look at everything that came of it."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        films = list(pool.map(_make, [(folder, index) for index in range(count)]))
        run, manifest = folder / "run", folder / "all_with_crop.json"
        planted = rebuild_rows.write(manifest, films, rows)
        store = Store(run)
        plant_videos(store, films)
        sets = [f'manifest_clips.manifest="{manifest}"', "export.preset=ultrafast", "shards.buckets=2"]
        profile = load("rebuild", sets)

        run_stages(profile, ["manifest_clips"], run)
        meant = plant_persons(store, {film.video_id: film.size for film in films})
        run_stages(profile, ["measure_pose", "judge", "export", "shards", "report"], run)

        expected = _expected(run, planted, meant)
        wrong = [text for texts in pool.map(faults_of, expected, chunksize=8) for text in texts]
    assert not wrong, "\n".join(wrong[:20])
    _check_others(store, meant)
    _check_ledger(profile, run, planted)
    return planted


def _expected(run: Path, planted: rebuild_rows.Planted, meant: dict[str, dict[str, Any]]) -> list[Expected]:
    """Every good row with its sample, found by its line; asserts that there are no others."""
    store = Store(run)
    clips = {row["manifest_line"]: row for row in store.read("clips").to_pylist()}
    samples = {row["clip_id"]: row for row in store.read("samples").to_pylist()}
    assert sorted(clips) == sorted(planted.good) and len(samples) == len(clips)
    found = []
    for line, (film, first, frames, box) in planted.good.items():
        clip = clips[line]
        assert (clip["video_id"], clip["first_frame"], clip["frames"]) == (film.video_id, first, frames), line
        sample, who = samples[clip["clip_id"]], meant[clip["clip_id"]]
        assert sample["person_id"] == who["person_id"], line
        if box is None:
            points = who["keypoints"].reshape(frames, -1, 2)
            true = crop_box(points, who["scores"], *film.size)
        else:
            true = scaled(box, film.size)
        assert tuple(sample["crop_box"]) == true, line
        found.append(Expected(line, film, first, frames, true, run / sample["video"], sample["audio"]))
    return found


def _check_others(store: Store, meant: dict[str, dict[str, Any]]) -> None:
    """Of each clip's two persons one is kept, and the other dropped for not being the clip's."""
    verdicts = store.read("verdicts").to_pylist()
    assert len(verdicts) == 2 * len(meant)
    for verdict in verdicts:
        kept = verdict["person_id"] == meant[verdict["clip_id"]]["person_id"]
        assert (verdict["keep"], verdict["reasons"]) == (kept, [] if kept else ["not_the_clips_person"])


def _check_ledger(profile: Profile, run: Path, planted: rebuild_rows.Planted) -> None:
    """`manifest_rows.csv` has every row once: the bad ones with their line and why."""
    from pipeline.sources.manifest import ledger, read_manifest

    states = ledger(read_manifest(profile.stage("manifest_clips").manifest), Store(run))  # type: ignore[attr-defined]
    assert [s.line for s in states] == sorted([*planted.good, *planted.faults])
    for state in states:
        if state.line in planted.good:
            assert (state.status, state.reason, state.sample) == ("live", "", True), state
        else:
            reason = "out_of_video" if state.line in planted.beyond else "bad_row"
            assert (state.status, state.reason, state.sample) == ("bad", reason, False), state
            assert state.detail, state
    with (run / "manifest_rows.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert Counter(row["status"] for row in written) == {"live": len(planted.good), "bad": len(planted.faults)}
    assert {int(row["line"]) for row in written if row["status"] == "bad"} == set(planted.faults)
    assert square((0, 0, 4, 2)) == (0, -1, 4, 3)  # black bars of one row above and below
