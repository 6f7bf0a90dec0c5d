"""Opt-out over a finished run with evaluation, fine-tuning data, training and generation: the people are in no file of it."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.hashes import sha256_of
from pipeline.base.ids import disk_name
from pipeline.base.log import log_to
from pipeline.engine.runner import Options
from pipeline.engine.session import Session
from pipeline.engine.upkeep import collect
from pipeline.media.audio import to_flac
from pipeline.media.video import write_clip
from pipeline.shards.format import SPLITS
from pipeline.shards.read import open_shards
from pipeline.shards.removal import remove_from_run
from pipeline.skeleton.local import to_local
from pipeline.tables import people, run_folder
from pipeline.tables.compaction import compact
from pipeline.tables.opt_out import of_run
from pipeline.tables.store import SPEAK_OF_CHANNELS, Store
from pipeline.theatre import planted
from stages.crawl import notes
from stages.evaluate import Evaluate
from stages.finetune import Finetune
from stages.generate import Generate
from stages.release import Release
from stages.report import Report
from stages.shards import Shards
from stages.train import Train
from tests.stages import fake_run

torch = pytest.importorskip("torch", reason="needs csg405[train]")
pytestmark = pytest.mark.slow

VIDEOS, FRAMES = 12, 26
QUICK: dict[str, Any] = {"size": "tiny", "window_frames": 20, "batch": 2, "steps": 1, "sample_every": 1}
QUICK |= {"checkpoint_every": 1, "micro_batch": 2, "validation_windows": 2, "warmup_steps": 1}


def identity(number: int) -> str:
    """An id whose digits mean nothing else in any file."""
    return f"file:{hashlib.sha256(f'somebody {number}'.encode()).hexdigest()[:16]}"


def film(run: Path, number: int) -> str:
    path = run / "clips" / "ab" / f"{disk_name(fake_run.person_id(number, 0, FRAMES))}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = (np.full((512, 512, 3), (20 * number, 90 + n, 60), np.uint8) for n in range(FRAMES))
    write_clip(path, pictures, None, size=(512, 512), preset="ultrafast", threads=1)
    return path.relative_to(run).as_posix()


def somebody(store: Store, number: int) -> None:
    """A video of one kept speaker, a planted skeleton with sound, through all tables."""
    pair = planted.pair(planted.speaker(number), FRAMES / 25, [number])
    local, neck = to_local(pair.keypoints.astype(np.float32))
    video = film(store.run, number)
    about = {"channel": f"The Talks of {number}", "channel_id": f"UCtalks{number}", "channel_handle": f"@talks{number}"}
    raw = f"raw/ab/{disk_name(identity(number))}.mp4"
    fake_run.add_video(store, number, path=raw, title=f"Title of The Talks of {number}", **about)
    fake_run.add_person(store, number, frames=FRAMES)
    body = {"keypoints": pair.keypoints.reshape(FRAMES, -1), "local": local.reshape(FRAMES, -1), "neck": neck}
    body["scores"] = np.where(np.isfinite(pair.keypoints).all(-1), 0.95, 0).astype(np.float32)
    more = {"video": video, "video_sha256": sha256_of(store.run / video), "audio": to_flac(pair.wave)}
    fake_run.add_sample(store, number, 0, FRAMES, **body, **more)
    ids = fake_run.ids(number, 0, FRAMES)
    features = np.random.default_rng(number).normal(size=(FRAMES, 768)).astype(np.float16)
    row = {**ids, "audio_features": features, "audio_features_of": "logmel768"}
    fake_run.add(store, "audio_features", [row])
    fake_run.add(
        store, "previews", [{"preview_id": ids["person_id"], "video_id": ids["video_id"], "path": strip(number)}]
    )
    for name in (raw, strip(number)):
        (store.run / name).parent.mkdir(parents=True, exist_ok=True)
        (store.run / name).write_bytes(b"of somebody")
    notes.write(store.run, f"link {number}", "", {"video_id": identity(number), **about}, {})


def strip(number: int) -> str:
    return f"previews/cd/{disk_name(fake_run.person_id(number, 0, FRAMES))}.webp"


def session(run: Path) -> Session:
    return Session("demo", str(run), "", "", "", "", ["machine.device=cpu"], ["evaluate"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run in which every maker of files about people has been at work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_run, "video_id", identity)
        patch.setattr("stages.evaluate.run.options_of", lambda *_: Options(workers=0))
        patch.setattr("stages.evaluate.scores.worker.ssim", lambda made, true: 0.5)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        run = tmp_path_factory.mktemp("finished") / "run"
        store = Store(run)
        with fake_run.together(store):
            for number in range(VIDEOS):
                somebody(store, number)
        fake_run.run(Shards(buckets=1, test_share=0.3, validation_share=0.2), run)
        for stage in (Release(), Report()):
            fake_run.run(stage, run)
        Train(**QUICK).run(session(run))
        them = by_split(run)
        Finetune(splits=("train", "test")).run(session(run))
        for split in ("train", "test"):
            one, other = (f"{identity(n)}/0+{FRAMES}" for n in (them[split][0], them[split][-1]))
            asked = {"sampler": "ddim", "sampler_steps": 2, "overlap_frames": 4}
            Generate(reference_clip=one, voice_clip=other, **asked).run(session(run))
        Generate(reference_clip=other, voice_clip=other, out=str(run.parent / "mine.mp4"), transfer=True).run(
            session(run)
        )
        Evaluate(method="transfer", inception=(), i3d=(), fit=False).run(session(run))
        for path in run.rglob("logs"):  # as a stage would name units
            log = path / "more.jsonl"
            log.write_text(
                "".join(json.dumps({"unit": fake_run.person_id(n, 0, FRAMES)}) + "\n" for n in range(VIDEOS))
            )
        log_to(run, "probe").close()
        yield run
        torch.set_num_threads(threads)


def by_split(run: Path) -> dict[str, list[int]]:
    """Split -> numbers of its people, in the order of the shards."""
    numbers = {identity(number): number for number in range(VIDEOS)}
    rows = {split: open_shards(run / "shards", split).rows(["video_id"]) for split in SPLITS}
    return {split: [numbers[row["video_id"]] for row in found] for split, found in rows.items()}


def decoded(path: Path) -> Iterator[str]:
    """Every text that a file holds, as it reads when opened; its bytes as they are, and its name."""
    yield path.name
    yield path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet":
        table = pq.read_table(path, partitioning=None)
        yield str(table.schema.metadata)
        for column in table.columns:
            if pa.types.is_string(column.type) or (pa.types.is_nested(column.type) and "string" in str(column.type)):
                yield str(column.to_pylist())
    elif path.suffix in (".npz", ".npy"):
        with np.load(path, allow_pickle=False) as arrays:
            yield from (str(arrays[name].tolist()) for name in arrays.files if arrays[name].dtype.kind in "US")
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "np") as tensors:
            yield str(tensors.metadata())
            yield str(list(tensors.keys()))


def naming(run: Path, numbers: list[int]) -> set[str]:
    """Files of a run that name these people: by id, by name on disk, by channel."""
    words = [word for n in numbers for word in (identity(n)[5:], f'The Talks of {n}"', f'UCtalks{n}"', f'@talks{n}"')]
    files = [path for path in run.rglob("*") if path.is_file()]
    texts = {path: [text.replace("'", '"') for text in decoded(path)] for path in files}
    return {
        path.relative_to(run).as_posix()
        for path, found in texts.items()
        if any(word in text for text in found for word in words)
    }


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fake_run, "video_id", identity)
    return Path(shutil.copytree(finished, tmp_path / "run"))


def chosen(run: Path) -> list[int]:
    """One of each split, and those that other files were made of."""
    them = by_split(run)
    return [them["train"][0], them["validation"][0], them["test"][0]]


def test_everywhere_is_somebody_before(run: Path) -> None:
    """What the search below would not find, it could not miss."""
    gone = chosen(run)
    places = {run_folder.place_of(name) for name in naming(run, gone)}
    held = {place.name for place in places if place is not None}
    assert held >= {
        *("raw", "tables", "clips", "shards", "previews", "fetched", "report", "release", "cache", "generated", "logs"),
        *("finetuning", "evaluation/*/tables", "evaluation/*/*/tables", "evaluation/*/inputs", "evaluation/*/*/logs"),
    }
    assert not list(run_folder.unknown(run))


def test_nobody_of_them_is_in_any_file_after(run: Path, finished: Path) -> None:
    gone = chosen(run)
    them = by_split(run)
    entries = [identity(gone[0]), f"@talks{gone[1]}", f"UCtalks{gone[2]}"]
    films = sorted((run / "evaluation").rglob("videos/*/*.mp4"))
    removed = remove_from_run(run, entries)
    store = Store(run, of_run(run, ""))
    for kind in store.kinds:
        compact(store, kind)
    collect(store)

    left = naming(run, gone)
    known = {f"tables/{kind}" for kind in SPEAK_OF_CHANNELS}  # who published a video: an opt-out by channel needs it
    assert {name for name in left if name.rpartition("/")[0].rpartition("/")[0] not in known} == {
        "opt_out.txt"  # the list itself
    }
    assert "rows" in {Path(name).parent.name for name in left if name.startswith("tables/videos")}

    told = "\n".join(removed.told)
    assert "training/model/checkpoints was made with them" in told
    assert "finetuning/stableanimator/trained" not in told, "nobody has fine-tuned on it yet"
    assert "the release of this run held them" in told
    assert "not on the list" not in told and "do not say" not in told

    # What is made from pixels and sounds names nobody: it is gone by its note.
    assert not list((run / "cache").glob("train-*")) and not list((run / "training").rglob("samples/*.mp4"))
    assert not (run / "finetuning/stableanimator/validation").exists()
    rec = sorted(path.name for path in (run / "finetuning/stableanimator/rec").glob("0*"))
    assert len(rec) == len(them["train"]) + len(them["test"]) - 2
    assert not [path for path in (run / "generated").iterdir() if not path.name.startswith(".")]
    after = sorted((run / "evaluation").rglob("videos/*/*.mp4"))
    assert len(films) - len(after) == 4 and after, (
        "the true video, a paired one, and one each as reference and as voice"
    )
    assert not list((run / "evaluation").rglob("table2.*")) and not list((run / "evaluation").rglob("summary.json"))
    stays = [n for n in range(VIDEOS) if n not in gone]
    assert all(name in naming(run, stays) for name in ("logs/more.jsonl", "tables/videos/rows/" + rows_of(run)))


def rows_of(run: Path) -> str:
    return next((run / "tables/videos/rows").glob("*.parquet")).name


def test_the_same_again_changes_nothing_and_tells_the_same_of_what_stays(run: Path) -> None:
    gone = [identity(number) for number in chosen(run)]
    first = remove_from_run(run, gone)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "locks" not in path.parts}
    again = remove_from_run(run, gone)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "locks" not in path.parts}
    assert before == after and (again.clips, again.files) == (0, 0)
    stays = [line for line in first.told if " named them and is deleted" not in line]
    assert list(again.told) == stays


def test_what_lies_outside_the_run_is_named(run: Path, finished: Path) -> None:
    """`--out` of a generation, here beside the run."""
    mine = finished.parent / "mine.mp4"
    last = by_split(run)["test"][-1]
    assert any(str(mine) in line for line in remove_from_run(run, [identity(last)]).told)
    assert mine.is_file()


def test_an_evaluation_goes_on_without_them(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.evaluate.run.options_of", lambda *_: Options(workers=0))
    monkeypatch.setattr("stages.evaluate.scores.worker.ssim", lambda made, true: 0.5)
    them = by_split(run)["test"]
    remove_from_run(run, [identity(them[0])])
    Evaluate(method="transfer", inception=(), i3d=(), fit=False).run(session(run))
    table = (run / "evaluation/csg405/table2.md").read_text()
    assert f"| transfer (skeleton) | {len(them) - 1} + {len(them) - 1} |" in table
    assert not {name for name in naming(run, them[:1]) if name.startswith("evaluation")}


def test_fine_tuned_weights_are_named_for_ever(run: Path) -> None:
    weights = run / "finetuning/stableanimator/trained/unet.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    one, two = by_split(run)["train"][:2]
    for _ in range(2):
        assert any(
            "finetuning/stableanimator/trained was made with" in t for t in remove_from_run(run, [identity(one)]).told
        )
    assert (
        weights.is_file() and people.mark(identity(two)) in weights.parent.with_name(".trained.people.json").read_text()
    )
