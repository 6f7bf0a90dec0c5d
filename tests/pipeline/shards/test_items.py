"""Reading shards as items: the same arrays by iterating and by index, pictures and drawings, a film, and a torch Dataset."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.hashes import sha256_of
from pipeline.media.audio import to_flac
from pipeline.media.video import GridReader, write_clip
from pipeline.shards import Item, Shards, open_shards
from pipeline.shards.format import ShardError, shard_schema
from pipeline.shards.index import write_index
from pipeline.shards.write import write_shard
from tests.pipeline.shards.test_shard import row

ROOT = Path(__file__).parents[3]
FRAMES = 20
COUNTS = {"train-00000-of-00002.parquet": 18, "train-00001-of-00002.parquet": 3, "test-00000-of-00002.parquet": 1}


def planted(number: int, **more: Any) -> dict[str, Any]:
    return row(number, FRAMES, speech_type="Lecture <b>", yaw_degrees=float(number), gender="female", **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of train, the first of two row groups, one of test; the clip of the last item is here."""
    run = tmp_path_factory.mktemp("items") / "run"
    (run / "shards").mkdir(parents=True)
    (run / "clips").mkdir()
    clip = run / "clips" / "last.mp4"
    write_clip(clip, [np.full((512, 512, 3), 10 * n, np.uint8) for n in range(FRAMES)], None, size=(512, 512))
    entries, number = [], 0
    for name, count in COUNTS.items():
        rows = [planted(number + n) for n in range(count)]
        number += count
        if name.startswith("test"):
            wave = np.sin(np.arange(FRAMES * 640) / 20) / 2
            rows = [planted(99, video="clips/last.mp4", video_sha256=sha256_of(clip), audio=to_flac(wave))]
        path = run / "shards" / name
        write_shard(path, rows)
        about = {"bytes": path.stat().st_size, "sha256": sha256_of(path), "seconds": 1.0}
        entries.append({"path": name, "split": name.partition("-")[0], "rows": count, **about})
    (run / "shards" / "_index.json").write_text(json.dumps({"version": "1.2", "files": entries}))
    return run


@pytest.fixture
def shards(run: Path) -> Shards:
    return open_shards(run / "shards", "train")


def test_an_index_gives_what_iterating_gives(shards: Shards) -> None:
    found = list(shards)
    assert len(found) == len(shards) == 21
    for number in (20, 0, 17, 16, 15, 18, 3):
        item, other = shards[number], found[number]
        assert item.person_id == other.person_id and item["yaw_degrees"] == number
        for name in ("keypoints", "scores", "local", "neck"):
            np.testing.assert_array_equal(getattr(item, name), getattr(other, name))
    assert shards[-1].person_id == found[-1].person_id
    for beyond in (21, -22):
        with pytest.raises(IndexError, match=f"item {beyond} of 21"):
            shards[beyond]


def test_an_item_gives_arrays_sound_and_words(run: Path) -> None:
    [item] = open_shards(str(run / "shards"), split="test")
    assert isinstance(item, Item) and len(item) == FRAMES
    assert item.keypoints.shape == item.local.shape == (FRAMES, 133, 2) and item.scores.shape == (FRAMES, 133)
    assert item.keypoints.dtype == item.neck.dtype == np.float32 and item.neck.shape == (FRAMES, 2)
    assert item.sound is not None and item.sound.shape == (FRAMES * 640,)
    assert np.abs(item.sound - np.sin(np.arange(FRAMES * 640) / 20) / 2).max() < 1e-3
    assert item.audio_features is None
    assert item.measures["yaw_degrees"] == 99 and "gender" not in item.measures
    assert item.attributes["gender"] == "female" and item.attributes["age_years"] is None
    assert item.about["speech_type"] == "Lecture <b>" and "keypoints" not in item.about


def test_pictures_come_from_the_clip(run: Path) -> None:
    [item] = open_shards(run / "shards", split="test")
    assert abs(float(item.picture(7).mean()) - 70) < 2 and abs(float(item.picture(-1).mean()) - 190) < 2
    assert len(list(item.pictures())) == FRAMES
    assert item.draw(7).mean() > 60 > item.draw(7, over_picture=False).mean() > 0
    with pytest.raises(IndexError, match="frame 20 of 20"):
        item.picture(20)


def test_a_film_has_the_frames_and_the_sound(run: Path, tmp_path: Path) -> None:
    [item] = open_shards(run / "shards", split="test")
    film = item.play(tmp_path / "film.mp4")
    with GridReader(tmp_path / "film.mp4") as reader:
        assert len([picture.pixels.shape for picture in reader]) == FRAMES
    assert b"mp4a" in Path(film).read_bytes() and "<video" in film._repr_html_()


def test_a_notebook_shows_an_item_and_no_markup_of_others(run: Path) -> None:
    [item] = open_shards(run / "shards", split="test")
    shown = item._repr_html_()
    assert "data:image/png;base64," in shown and "Lecture &lt;b&gt;" in shown and "<b>" not in shown


@pytest.mark.parametrize(
    ("video", "problem"),
    [
        (None, "names no clip"),
        ("../outside.mp4", "outside of"),
        ("/etc/passwd", "outside of"),
        ("shards/_index.json", "outside of"),
        ("clips/../shards/_index.json", "outside of"),
        ("clips/link.mp4", "outside of"),
        (".", "outside of"),
        ("clips/gone.mp4", "published shards come without them"),
        ("clips/other.mp4", "is not the clip that the shards were made with"),
    ],
)
def test_a_clip_that_is_not_here_says_so(run: Path, video: str | None, problem: str) -> None:
    (run / "clips" / "other.mp4").write_bytes(b"another film")
    if not (run / "clips" / "link.mp4").is_symlink():
        (run / "clips" / "link.mp4").symlink_to(run / "shards" / "_index.json")
    [item] = open_shards(run / "shards", split="test")
    item = Item({**item.row, "video": video}, run / "shards")
    with pytest.raises(ShardError, match=problem):
        item.picture()
    assert item.draw().shape == (512, 512, 3)  # on black, then


def test_clips_may_lie_on_another_disk(run: Path, tmp_path: Path) -> None:
    here = tmp_path / "run"
    shutil.copytree(run / "shards", here / "shards")
    shutil.copytree(run / "clips", tmp_path / "big" / "clips", symlinks=True)
    (here / "clips").symlink_to(tmp_path / "big" / "clips")
    [item] = open_shards(here / "shards", split="test")
    assert item.clip == tmp_path / "big" / "clips" / "last.mp4" and abs(float(item.picture(7).mean()) - 70) < 2
    for outside in ("clips/../clips/last.mp4", "clips/link.mp4", str(tmp_path / "big" / "clips" / "last.mp4")):
        with pytest.raises(ShardError, match="outside of"):
            Item({**item.row, "video": outside}, here / "shards").picture()


def test_a_damaged_file_is_refused_by_index_too(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run / "shards", tmp_path / "shards"))
    path = folder / "train-00000-of-00002.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match="sha256 differs"):
        open_shards(folder, "train")[0]


def test_a_dataset_of_torch(shards: Shards) -> None:
    torch = pytest.importorskip("torch")
    from pipeline.shards.torch_dataset import padded

    data = shards.torch(("keypoints", "sound", "yaw_degrees"))
    assert len(data) == 21 and data[20]["yaw_degrees"] == 20 and list(data[0])[:3] == ["clip_id", "person", "frames"]
    data[0]["keypoints"].zero_()  # tensors are their own
    assert data[0]["keypoints"].nansum() > 0
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[3]["sound"], data[3]["sound"]) and not pickle.loads(pickle.dumps(data)).shards._held
    batch = padded([data[0], {**data[1], "keypoints": data[1]["keypoints"][:5], "frames": 5}])
    assert batch["keypoints"].shape == (2, FRAMES, 133, 2) and batch["frames"].tolist() == [FRAMES, 5]
    assert not batch["keypoints"][1, 5:].any()
    with pytest.raises(ValueError, match="no column 'audio'"):
        shards.torch(("audio",))


@pytest.mark.slow
def test_workers_of_a_loader_read_them(shards: Shards) -> None:
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(
        shards.torch(("scores",)), batch_size=4, num_workers=2, multiprocessing_context="spawn"
    )
    found = [name for batch in loader for name in batch["clip_id"]]
    assert found == [item.row["clip_id"] for item in shards]


def test_the_example_of_the_readme_works_from_a_plain_python(run: Path, tmp_path: Path) -> None:
    readme = (ROOT / "pipeline" / "shards" / "README.md").read_text(encoding="utf-8")
    example = next(code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "open_shards" in code)
    assert len([line for line in example.splitlines() if line and not line.startswith("from ")]) == 5
    shutil.copytree(run, tmp_path / "runs" / "demo")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"({FRAMES}, 133, 2) 0.0 ({FRAMES * 640},)\n"
    assert b"mp4a" in (tmp_path / "first.mp4").read_bytes()


def test_other_readers_take_the_folder(run: Path) -> None:
    polars, duckdb, pandas = map(pytest.importorskip, ("polars", "duckdb", "pandas"))
    folder, count = run / "shards", sum(COUNTS.values())
    assert polars.read_parquet(f"{folder}/*.parquet").height == count
    assert polars.scan_parquet(folder, hidden_file_prefix=["_", "."]).collect().height == count
    assert duckdb.sql(f"select count(*) from '{folder}/*.parquet'").fetchall() == [(count,)]
    assert len(pandas.read_parquet(folder)) == count


def test_datasets_takes_the_folder_with_its_splits_and_sound(run: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = Path(shutil.copytree(run / "shards", tmp_path / "shards"))
    index = json.loads((folder / "_index.json").read_text())
    write_index(folder, {**index, "columns": [{"name": name} for name in shard_schema().names]})
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 21, "test": 1}
    features = loaded["test"].features
    assert features["audio"] == datasets.Audio(sampling_rate=16_000)
    as_typed = datasets.Features.from_arrow_schema(shard_schema())
    assert {name: features[name] for name in features if name != "audio"} == {
        name: as_typed[name] for name in as_typed if name != "audio"
    }
    undecoded = loaded["test"].cast_column("audio", datasets.Audio(sampling_rate=16_000, decode=False))
    [item] = open_shards(folder, "test")
    assert undecoded[0]["audio"]["bytes"] == item["audio"]
    write_index(folder, {**index, "files": []})
    assert not (folder / ".huggingface.yaml").exists()
