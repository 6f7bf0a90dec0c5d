"""Tar files in the WebDataset convention: samples stand together, arrays come back as they were, the same bytes each time."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli.main import main
from pipeline.shards import open_shards
from pipeline.shards.format import ShardError
from pipeline.shards.webdataset import write_webdataset
from pipeline.tables.opt_out import OptOut
from pipeline.tables.person_files import forget
from pipeline.tables.store import Store
from tests.pipeline.shards.test_items import COUNTS, ROOT, run  # noqa: F401 - a fixture


def samples(path: Path) -> list[dict[str, bytes]]:
    """As readers of WebDatasets group them: neighbours with one name up to the first dot."""
    found: list[dict[str, Any]] = []
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, kind = member.name.partition(".")
            assert (member.mtime, member.uid, member.mode) == (0, 0, 0o644) and "/" not in key
            if not found or found[-1]["__key__"] != key:
                found.append({"__key__": key})
            file = tar.extractfile(member)
            assert file is not None and kind not in found[-1]
            found[-1][kind] = file.read()
    return found


def test_every_sample_comes_back(run: Path, tmp_path: Path) -> None:  # noqa: F811
    done = write_webdataset(run / "shards", tmp_path / "out", 500_000)
    sizes = json.loads((tmp_path / "out" / "sizes.json").read_text())
    assert sizes == done.samples and sum(sizes.values()) == sum(COUNTS.values())
    tars = sorted((tmp_path / "out").glob("*.tar"))
    assert {path.name for path in tars} == set(sizes) and len(tars) > 2  # train needs several
    assert done.bytes == sum(path.stat().st_size for path in tars) and max(p.stat().st_size for p in tars) <= 512_000
    assert done.without_clip == 21
    found = [sample for path in tars for sample in samples(path)]
    assert len({sample["__key__"] for sample in found}) == 22
    for item, sample in zip(
        [*open_shards(run / "shards", "test"), *open_shards(run / "shards", "train")], found, strict=True
    ):
        for name in ("keypoints", "scores", "local", "neck"):
            np.testing.assert_array_equal(np.load(io.BytesIO(sample[f"{name}.npy"])), item[name])
        assert sample["flac"] == item["audio"] and json.loads(sample["json"])["yaw_degrees"] == item["yaw_degrees"]
        assert "audio_features.npy" not in sample
    assert found[0]["mp4"] == (run / "clips" / "last.mp4").read_bytes() and "mp4" not in found[1]


def test_the_same_shards_give_the_same_bytes(run: Path, tmp_path: Path) -> None:  # noqa: F811
    for name in ("a", "b"):
        write_webdataset(run / "shards", tmp_path / name, clips=False)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    with pytest.raises(ShardError, match="is there already"):
        write_webdataset(run / "shards", tmp_path / "a")


def test_the_command_says_what_it_wrote_and_leaves_a_note_of_the_people(run: Path, tmp_path: Path) -> None:  # noqa: F811
    call = ["export", "webdataset", "--run", str(run), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    assert "22 samples in 2 tar files" in done.output and "21 samples have no mp4" in done.output
    [note] = (run / "elsewhere").glob("*.json")
    assert json.loads(note.read_text())["path"] == str(tmp_path / "out")


def test_what_a_kill_leaves_half_written_is_named_to_who_opts_out(run: Path, tmp_path: Path) -> None:  # noqa: F811
    here = Path(shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("elsewhere")))
    call = ["export", "webdataset", "--run", str(here), "--out", str(tmp_path / "big" / "out")]
    killed = (
        "import os, sys; from pipeline.cli.main import main; from pipeline.shards import webdataset as w; "
        "of = w._members; w._members = lambda *a: os._exit(9) if a[-1].samples.get('train-000000.tar') == 9 else of(*a); "
        "main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", killed, *call], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    [left] = (tmp_path / "big").iterdir()
    assert list(left.glob("*.tar"))
    [item, *_] = open_shards(here / "shards", "train")
    videos = frozenset({item["video_id"]})
    told = forget(Store(here, OptOut(videos=videos)), videos).told
    assert any(str(left) in line and "outside the run" in line for line in told), told
