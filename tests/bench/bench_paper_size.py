"""A run of the paper's size, made up: what a changed threshold costs, and the shards that it changes.

python -m tests.bench.bench_paper_size [--scale N] [--code FOLDER ...]

Processor seconds, user and system, of processes of their own; `--code` measures the code of another checkout on the same tables.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.ndimage import gaussian_filter1d

from pipeline.engine.plan import plan
from pipeline.engine.profile import load
from pipeline.engine.runner import Options, run_stage
from pipeline.engine.stage import Context, Stage
from pipeline.registry.models import Registry
from pipeline.shards.read import open_shards
from pipeline.tables.arrow import HASH, pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import OK, Outcome
from pipeline.tables.store import Store
from tests.bench.bench_machine import peak_bytes, plant

CLIPS, PEOPLE, VIDEOS = 147_550, 300_000, 20_000
IMPORTED_LATER = ("pipeline.engine.executors.local", "stages.shards.components")
_RNG = np.random.default_rng(405)


def prints(stage: Stage, run: Path) -> tuple[Sequence[str], np.ndarray]:
    """Units of a stage and their fingerprints."""
    work = plan(stage, Store(run))
    return work.units, work.fingerprints


def planted(run: Path, stage: Stage, keys: list[str], units: list[str], **columns: object) -> None:
    """Rows of a stage as if it had just made them: nothing of them is pending."""
    known = dict(zip(*prints(stage, run), strict=True))
    order = sorted(range(len(units)), key=lambda at: (units[at], keys[at]))
    moved = {name: [value[at] for at in order] if isinstance(value, list) else value for name, value in columns.items()}
    own = [units[at] for at in order]
    fingerprints = np.array([known[unit] for unit in own], np.uint64)
    plant(run, stage.writes, [keys[at] for at in order], 1, own, fingerprints, **moved)


def plant_run(run: Path, clips: int = CLIPS, people: int = PEOPLE, videos: int = VIDEOS) -> None:
    """Everything up to the verdicts, without the heavy columns but for their hashes."""
    profile = load("folder")
    of_clip = (np.arange(clips) * videos // clips).tolist()
    names = [f"file:{number:016x}" for number in range(videos)]
    clip_names = [f"{names[video]}/{250 * at}+250" for at, video in enumerate(of_clip)]
    about = {
        "path": [f"/videos/{n}.mp4" for n in range(videos)],
        "width": 1280,
        "height": 720,
        "duration_seconds": 300.0,
    }
    words = {
        "title": [f"A talk about matter {n}" for n in range(videos)],
        "channel": [f"Channel {n % 900}" for n in range(videos)],
    }
    plant(run, "videos", names, 1, None, None, **about, **words, audio_codec="aac", grid_frames=7500, licence="CC BY")
    own = [names[video] for video in of_clip]
    spans = {"first_frame": [250 * at for at in range(clips)], "frames": 250, "start_seconds": 1.0, "end_seconds": 11.0}
    planted(run, profile.stage("split"), clip_names, own, video_id=own, **spans)
    at_clip = (np.arange(people) * clips // people).tolist()
    rank = (np.arange(people) - np.searchsorted(at_clip, at_clip)).tolist()
    ids = {
        "clip_id": [clip_names[at] for at in at_clip], "video_id": [own[at] for at in at_clip],
        "person_id": [f"{clip_names[at]}#{r}" for at, r in zip(at_clip, rank, strict=True)],
    }  # fmt: skip
    rest = {name: ids[name] for name in ("clip_id", "video_id")}
    hashes = {name + HASH: np.arange(people, dtype=np.uint64).tolist() for name in KINDS["persons"].heavy}
    person = {"person": rank, "frames": 250, "width": 1280, "height": 720}
    planted(run, profile.stage("annotate"), ids["person_id"], ids["clip_id"], **rest, **person, **hashes)
    pose = {**measures("pose_measures", people), "crop_box" + HASH: np.arange(people, dtype=np.uint64).tolist()}
    planted(run, profile.stage("measure_pose"), ids["person_id"], ids["clip_id"], **rest, **pose)
    sound = {**measures("sound_measures", clips), "has_audio": True}
    planted(run, profile.stage("measure_sound"), clip_names, clip_names, video_id=own, **sound)
    planted(run, profile.stage("overlap"), clip_names, own, video_id=own, **measures("overlaps", clips))
    planted(run, profile.stage("lip_sync"), ids["person_id"], ids["clip_id"], **rest, **measures("lip_syncs", people))


def measures(kind: str, count: int) -> dict[str, list[Any]]:
    """A value for each measure: most on the good side of its threshold."""
    from stages.judge import CHECKS

    limits = {check.measure: (check.side, check.default) for check in CHECKS}
    found: dict[str, list[Any]] = {}
    for field in KINDS[kind].columns:
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            continue
        side, limit = limits.get(field.name, ("min", None))
        middle = 0.5 if limit is None else float(limit)
        values = middle + (_RNG.gamma(2, 0.4, count) - 0.08) * (abs(middle) + 0.1) * (1 if side == "min" else -1)
        found[field.name] = (np.round(values) if pa.types.is_integer(field.type) else values).tolist()
    return found


def plant_samples(run: Path) -> int:
    """Samples of those who are kept, what was made of them, and one shard a bucket. Returns: how many."""
    profile = load("folder")
    kept = Store(run).live("verdicts", ["person_id", "clip_id", "video_id"], where="keep").to_pydict()
    ids = {name: kept[name] for name in ("person_id", "clip_id", "video_id")}
    rest, count = {name: ids[name] for name in ("clip_id", "video_id")}, len(ids["person_id"])
    numbers = np.arange(count, dtype=np.uint64).tolist()
    hashes = {name + HASH: numbers for name in KINDS["samples"].heavy}
    videos = [f"clips/{n}.mp4" for n in range(count)]
    files = {"video": videos, "video_sha256": "0" * 64, "frames": 250}
    (run / "clips").mkdir(exist_ok=True)
    for path in videos:
        (run / path).touch()
    planted(run, profile.stage("export"), ids["person_id"], ids["person_id"], **rest, **files, **hashes)
    sound = {"audio_features_of": "logmel768", "audio_features" + HASH: numbers}
    planted(run, profile.stage("audio_features"), ids["person_id"], ids["video_id"], **rest, **sound)
    return count


def plant_shards(run: Path, videos: int, a_video: int) -> int:
    """Kept people with skeletons, sound and features as large as real ones, no two alike: zstd would find the other one."""
    profile, count = load("folder"), videos * a_video
    names = [f"file:{number:016x}" for number in range(videos)]
    own = [names[at // a_video] for at in range(count)]
    clips = [f"{name}/{250 * (at % a_video)}+250" for at, name in enumerate(own)]
    people, rest = [f"{clip}#0" for clip in clips], {"clip_id": clips, "video_id": own}
    plant(run, "videos", names, 1, path="/v.mp4", width=1280, height=720)
    planted(run, profile.stage("split"), clips, own, video_id=own, frames=250, start_seconds=1.0)
    planted(run, profile.stage("annotate"), people, clips, **rest, person=0)
    planted(run, profile.stage("measure_pose"), people, clips, **rest, **measures("pose_measures", count))
    plant(run, "verdicts", people, 1, ["all"] * count, None, **rest, keep=True)
    (run / "clips").mkdir()
    (run / "clips/a.mp4").touch()
    store, drawn = Store(run), [drawn_sample() for _ in range(32)]
    for first in range(0, count, 64):
        mine = range(first, min(count, first + 64))
        ids = [{"person_id": people[at], "clip_id": clips[at], "video_id": own[at]} for at in mine]
        made = [another(*drawn[at % 32]) for at in mine]
        for number, kind in enumerate(("samples", "audio_features")):
            rows = [{**one, **two[number]} for one, two in zip(ids, made, strict=True)]
            outcomes = [Outcome(row["person_id"], kind, 0, OK, rows=1) for row in rows]
            packed = [pack_rows(KINDS[kind], row["person_id"], [row]) for row in rows]
            store.table(kind).append(packed, outcomes)
    return count


def drawn_sample(frames: int = 250) -> tuple[dict[str, Any], dict[str, Any]]:
    """A sample and its features: smooth noise, and sound that does not compress."""
    points = gaussian_filter1d(_RNG.normal(0, 20, (frames, 133, 2)), 4, axis=0) + _RNG.uniform(0, 512, (1, 133, 2))
    flat = points.reshape(frames, -1).astype(np.float32)
    sample = {
        "frames": frames, "crop_box": [0, 0, 512, 512], "keypoints": flat, "local": flat, "neck": flat[:, :2],
        "scores": _RNG.uniform(0.3, 1, (frames, 133)).astype(np.float32), "audio": _RNG.bytes(190_000),
        "video": "clips/a.mp4", "video_sha256": "0" * 64,
    }  # fmt: skip
    features = gaussian_filter1d(_RNG.normal(0, 1, (frames, 768)), 1, axis=0).astype(np.float16)
    return sample, {"audio_features": features, "audio_features_of": "wav2vec2-base-960h/12"}


def another(sample: dict[str, Any], features: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """As large as what was drawn, and not alike: each point elsewhere, other sound, features in another order."""
    flat = sample["keypoints"] + _RNG.uniform(-50, 50, sample["keypoints"].shape[1]).astype(np.float32)
    scores, order = _RNG.permuted(sample["scores"], axis=1), _RNG.permutation(features["audio_features"].shape[1])
    moved = {"keypoints": flat, "local": flat, "neck": flat[:, :2], "scores": scores, "audio": _RNG.bytes(190_000)}
    return {**sample, **moved}, {**features, "audio_features": features["audio_features"][:, order]}


def made_shards(run: Path) -> dict[str, float]:
    """Peak memory and processor seconds of the stage, all in one bucket, and the size of its file."""
    stage = load("folder", ["shards.buckets=1", "shards.test_share=0", "shards.validation_share=0"]).stage("shards")
    began = spent()
    summary = run_stage(stage, run, Registry(), Options(workers=0))
    assert summary.counts == {OK: 1}, Store(run).outcomes("shards")["detail"].to_pylist()
    took = {"seconds": spent() - began, "peak MB": peak_bytes() / 1e6}
    return {**took, "MB": sum(path.stat().st_size for path in run.glob("shards/*.parquet")) / 1e6}


def read_shards(run: Path) -> dict[str, float]:
    """Samples a processor second that come back, of the columns that training reads: in their order, and in any other."""
    found, columns = open_shards(run / "shards"), ("local", "scores", "neck", "audio_features")
    next(found.rows(columns))  # imports
    began = spent()
    count = sum(1 for _ in found.rows(columns))
    walked = spent() - began
    found.row(0, columns)  # hashes the file once
    chosen, began = np.random.default_rng(405).permutation(count)[:200].tolist(), spent()
    for number in chosen:
        found.row(number, columns)
    return {"in order": count / walked, "in any other": len(chosen) / (spent() - began)}


def dropped(run: Path, people: list[int]) -> None:
    """New verdicts: these people, by their number, are not kept any more."""
    rows = Store(run).read("verdicts").to_pylist()
    for number in people:
        rows[number]["keep"] = False
    outcome = Outcome("all", "judge", 1, OK, attempt=2, rows=len(rows))
    Store(run).table("verdicts").append([pack_rows(KINDS["verdicts"], "all", rows)], [outcome])


def shards(folder: Path, code: list[Path], videos: int) -> None:
    """Shards of two sizes made at first, and after one in a hundred samples went: anywhere, or whole videos.

    What a process costs by itself is the same for both, and the difference is what samples cost.
    """
    found: dict[str, dict[int, float]] = {}
    for size in (videos // 4, videos):
        for what, count, took in of_shards(folder, code, size):
            told = f"{took['seconds']:.2f} s; peak {took['peak MB']:.0f} MB; file {took['MB']:.1f} MB"
            print(f"{count:,} samples: {what}: {told}", flush=True)
            found.setdefault(what, {})[count] = took["seconds"]
        shutil.rmtree(folder)
    for what, seconds in found.items():
        (few, less), (many, more) = sorted(seconds.items())
        each = (more - less) / (many - few)
        print(
            f"{what}: {less - each * few:.2f} s a process, {1e3 * each:.2f} ms a sample, {each * CLIPS:.0f} s of {CLIPS:,}"
        )


def of_shards(
    folder: Path, code: list[Path], videos: int, a_video: int = 7
) -> Iterator[tuple[str, int, dict[str, float]]]:
    """What was done by the code of each checkout, of how many samples, and what that took."""
    count = plant_shards(folder, videos, a_video)
    some = _RNG.permutation(count)[: max(1, count // 100)].tolist()
    few = _RNG.permutation(videos)[: max(1, videos // 100)]
    whole = [at for video in few for at in range(video * a_video, (video + 1) * a_video)]
    for one in code:
        first = linked(folder, folder.with_name("first"))
        yield f"{one.name}: at first", count, ask("shards", first, one)
        speed = ", ".join(f"{what} {number:.0f}" for what, number in ask("read", first, one).items())
        print(f"{count:,} samples: {one.name}: read: samples a processor second {speed}", flush=True)
        for what, people in (("1 % anywhere", some), ("1 % by whole videos", whole)):
            again = linked(first, folder.with_name("again"))
            dropped(again, people)
            yield f"{one.name}: {what}", count, ask("shards", again, one)
            shutil.rmtree(again)
        shutil.rmtree(first)


def linked(run: Path, copy: Path) -> Path:
    """A copy whose Parquet files are the same ones: they are replaced, and never written into, as ledgers are."""
    shutil.rmtree(copy, ignore_errors=True)

    def link(source: str, target: str) -> None:
        (os.link if source.endswith(".parquet") else shutil.copy2)(source, target)

    return Path(shutil.copytree(run, copy, copy_function=link))


def spent() -> float:
    """Processor seconds of this process and those that it waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def changed_threshold(run: Path) -> dict[str, float]:
    """What `make filter` costs beside the media work, once a threshold changed: looked at in the order of its stages."""
    profile = load("folder", ["judge.min_hand_seen_share=0.52"])
    store, models, options = Store(run), Registry(), Options(workers=0)
    took = {"judge": 0.0, "plans": 0.0, "report": 0.0}

    def timed(what: str, call: Callable[[], object]) -> None:
        began = spent()
        call()
        took[what] += spent() - began

    for name in IMPORTED_LATER:  # imports are in none of the figures
        import_module(name)
    for name in took.keys() & profile.targets["filter"]:
        profile.stage(name).worker(Context(run))
    for name in profile.targets["filter"]:
        stage = profile.stage(name)
        if name in ("judge", "report"):
            timed(name, lambda stage=stage: run_stage(stage, run, models, options, store))  # type: ignore[misc]
        else:
            timed("plans", lambda stage=stage: plan(stage, store))  # type: ignore[misc]
    return took


def main() -> None:
    """Plant a run, and ask in processes of their own, by the code of each checkout in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scale", type=int, default=10, help="a run of this fraction of the paper's size, scaled up; 0: without it"
    )
    parser.add_argument(
        "--videos", type=int, default=400, help="of seven samples each, in the part on shards; 0: without it"
    )
    parser.add_argument("--code", type=Path, action="append", help="a checkout to measure beside this one")
    parser.add_argument("--ask", nargs=2, metavar=("WHAT", "RUN"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(ASKED[given.ask[0]](Path(given.ask[1]))))
        return
    code = [*(given.code or ()), Path.cwd()]
    with tempfile.TemporaryDirectory() as folder:
        if given.scale:
            threshold(Path(folder), code, given.scale)
        if given.videos:
            shards(Path(folder) / "shards", code, given.videos)


def threshold(folder: Path, code: list[Path], scale: int) -> None:
    """Plant a run of this fraction of the paper's size, and change a threshold by the code of each checkout."""
    run = folder / "run"
    plant_run(run, *(size // scale for size in (CLIPS, PEOPLE, VIDEOS)))
    run_stage(load("folder").stage("judge"), run, Registry(), Options(workers=0))
    count = plant_samples(run)
    run_stage(load("folder").stage("report"), run, Registry(), Options(workers=0))
    print(f"{PEOPLE // scale:,} people, {count:,} samples; processor seconds times {scale}")
    for one in code:
        shutil.copytree(run, again := folder / "again")
        took = ask("threshold", again, one)
        shutil.rmtree(again)
        parts = ", ".join(f"{name} {seconds * scale:.1f}" for name, seconds in took.items())
        print(f"{one.name}: {parts}, together {sum(took.values()) * scale:.1f}", flush=True)
    shutil.rmtree(run)


ASKED: dict[str, Callable[[Path], dict[str, float]]] = {
    "threshold": changed_threshold,
    "shards": made_shards,
    "read": read_shards,
}


def ask(what: str, run: Path, code: Path) -> dict[str, float]:
    """The answer of a process of its own, by the code of a checkout; start and imports are in none of its figures."""
    command = [sys.executable, str(Path(__file__)), "--ask", what, str(run)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=code, env={**os.environ, "PYTHONPATH": str(code)}
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
