"""What stages decode once for all of them: where it lies, when it goes, and that an opt-out and gc find it."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.engine import decoded
from pipeline.engine.check import damages
from pipeline.engine.decoded_pictures import pictures
from pipeline.engine.lookup import settings_class
from pipeline.engine.profile import Profile, load
from pipeline.engine.stage import Context, Stage
from pipeline.engine.upkeep import collect, waste
from pipeline.media.columns import PICTURE_COLUMNS
from pipeline.media.moments import FACES, STILL, STRIP
from pipeline.media.patches import Patch, Patches
from pipeline.media.video import write_video
from pipeline.registry.models import Registry
from pipeline.shards.removal import remove_from_run
from pipeline.storage.where import Where, write
from pipeline.tables.lock import driving
from pipeline.tables.store import Store
from pipeline.views.overview import bytes_on_disk
from stages.annotate import Annotate
from stages.export import Export
from stages.measure_sound import MeasureSound
from stages.same_face import SameFace
from tests.run_joins import ROOT, modules

BUCKET = Where("s3://bucket/prefix", "0123456789abcdef" * 2)


def video(run: Path, number: int) -> dict[str, Any]:
    path = run / f"{number}.mp4"
    wave = np.random.default_rng(number).normal(0, 0.1, 16_000).astype(np.float32)
    write_video(path, (np.zeros((32, 32, 3), np.uint8) for _ in range(25)), wave, size=(32, 32))
    return {"video_id": f"file:{number:016x}", "path": path.name, "sha256": f"{number:064x}"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in which the sound of two videos was wanted."""
    folder = tmp_path / "run"
    folder.mkdir()
    for number in (1, 2):
        assert decoded.sound_tracks(Context(folder)).piece(video(folder, number), 0, 25) is not None
    return folder


def held(run: Path) -> list[str]:
    return sorted(
        path.name for path in (run / decoded.FOLDER).rglob("*") if path.is_file() and "locks" not in path.parts
    )


def tracks(run: Path) -> list[str]:
    return [name for name in held(run) if name.endswith(".wave")]


def old(run: Path) -> None:
    past = time.time() - 7200
    for path in (run / decoded.FOLDER).rglob("*"):
        os.utime(path, (past, past))


def test_an_opt_out_takes_the_sound_with_it(run: Path) -> None:
    assert len(tracks(run)) == 2
    remove_from_run(run, ["file:0000000000000001"])
    assert not [name for name in held(run) if name.startswith("file_0000000000000001")]
    assert len(tracks(run)) == 1 and not [
        path for path in run.rglob("*") if path.is_file() and b"file_0000000000000001" in path.read_bytes()
    ]


def test_gc_takes_all_of_it_after_an_hour(run: Path) -> None:
    store = Store(run)
    assert [item for item in waste(store) if "decoded" in item.why] == []
    assert bytes_on_disk(run)["cache"] > 2 * 64_000
    old(run)
    (item,) = [item for item in waste(store) if "decoded" in item.why]
    assert item.bytes > 2 * 64_000
    collect(store)
    assert held(run) == [] and [item for item in waste(store) if "decoded" in item.why] == []
    row = {"video_id": f"file:{1:016x}", "path": "1.mp4", "sha256": f"{1:064x}"}
    assert decoded.sound_tracks(Context(run)).whole(row) is not None and len(tracks(run)) == 1


def test_check_takes_it_for_no_cache_of_a_training(run: Path) -> None:
    assert damages(Store(run), deep=True) == []


def drop(run: Path, stages: list[Stage], *done: str) -> None:
    decoded.drop_unneeded(run, stages, lambda stage: stage.name not in done)


def test_it_stays_while_a_stage_is_to_come_that_reads_it(run: Path) -> None:
    stages = [MeasureSound(), Export()]
    drop(run, stages, "measure_sound", "judge")
    assert len(tracks(run)) == 2
    drop(run, stages, "measure_sound", "judge", "export")
    assert tracks(run) == []
    drop(run / "another", stages, "measure_sound", "export")
    assert not (run / "another").exists()


@pytest.mark.parametrize("kind", ["persons", "sound_measures", "samples"])
def test_it_stays_while_somebody_is_at_work_who_decodes_for_others(run: Path, kind: str) -> None:
    """Such as `annotate --follow` in another process: it keeps pictures of clips that this command has not seen yet."""
    stages = [MeasureSound(), Annotate(), SameFace(), Export()]
    with driving(run, "verdicts"), driving(run, kind):
        drop(run, stages, "measure_sound", "same_face", "export")
        assert len(tracks(run)) == 2
    with driving(run, "verdicts"):
        drop(run, stages, "measure_sound", "same_face", "export")
    assert tracks(run) == []


def using(name: str) -> set[str]:
    """The stages whose code holds this."""
    found = ((path, path.relative_to(ROOT).parts) for path, _ in modules())
    return {parts[1] for path, parts in found if parts[0] == "stages" and name in path.read_text(encoding="utf-8")}


def stages(*names: str) -> list[type[Stage]]:
    found = [settings_class(name) for name in names]
    return [cls for cls in found if issubclass(cls, Stage)]


def test_every_stage_that_reads_it_says_so() -> None:
    named = using("engine.decoded import sound_tracks")
    assert named == {"measure_sound", "fingerprint_sound", "overlap", "lip_sync", "export", "previews"}
    for cls in stages(*named):
        assert cls.reads_decoded
        assert any({"sha256", "clock", "sound_track"} <= set(read.columns) for read in cls.reads), cls.__name__


def test_every_stage_that_keeps_or_reads_pictures_knows_the_bytes_of_them() -> None:
    named = using("engine.decoded_pictures import pictures")
    assert named == {"annotate", "same_face", "lip_sync", "attributes", "previews"}
    reading = {cls for cls in stages(*named) if cls().wants_pictures()}
    kept = {kind for cls in stages(*named) for kind in cls.keeps_pictures}
    assert {kind for cls in reading for kind in cls().wants_pictures()} == kept == {FACES, STRIP, STILL}
    assert {cls.__name__ for cls in reading} == {"SameFace", "LipSync", "Previews"}
    for cls in (*reading, Annotate):
        assert any({"sha256", *PICTURE_COLUMNS} <= set(read.columns) for read in cls.reads), cls.__name__
    for cls in stages("attributes", "previews"):
        assert any("video_sha256" in read.columns for read in cls.reads), cls.__name__


def registry(tmp_path: Path, *nets: str) -> Registry:
    """One that may fetch nothing, and holds files of these names."""
    tmp_path.mkdir(exist_ok=True)
    found = Registry(tmp_path, tmp_path / "cache", download=False)
    for net in nets:
        (tmp_path / found.entry(net).file).write_bytes(b"")
    return found


def test_pictures_are_kept_for_stages_that_can_come(tmp_path: Path) -> None:
    profile, bare, whole = load("folder"), registry(tmp_path / "bare"), registry(tmp_path / "whole", "syncnet")

    def wanted(name: str, models: Registry, profile: Profile) -> set[str]:
        return {*decoded.wanted_pictures(profile, profile.stage(name), models)}

    assert wanted("annotate", bare, profile) == {STRIP} and wanted("annotate", whole, profile) == {FACES, STRIP}
    assert wanted("annotate", Registry(tmp_path / "x", tmp_path / "y"), profile) == {FACES, STRIP}, (
        "they can be fetched"
    )
    assert wanted("annotate", whole, profile.without("previews")) == {FACES}
    assert wanted("attributes", bare, profile) == {STILL} and wanted("lip_sync", whole, profile) == set()
    assert wanted("attributes", bare, profile.without("previews", "attributes")) == set()


@pytest.mark.parametrize(
    ("stage", "settings", "kept_by", "left"),
    [
        ("previews", {"strip_frames": 3}, "annotate", {FACES}),
        ("previews", {"loop_frames": 2}, "attributes", set()),
        ("previews", {"loop_frames": 2}, "annotate", {FACES, STRIP}),
        ("lip_sync", {"backend": "syncnet-pipeline"}, "annotate", {STRIP}),
        ("lip_sync", {"backend": "syncnet"}, "annotate", {FACES, STRIP}),
    ],
)
def test_pictures_that_would_not_serve_a_stage_as_it_is_set_are_not_kept_for_it(
    tmp_path: Path, stage: str, settings: dict[str, Any], kept_by: str, left: set[str]
) -> None:
    profile, models = load("folder"), registry(tmp_path, "syncnet", "s3fd")
    told = profile.model_copy(update={"stages": {**profile.stages, stage: settings}})
    assert {*decoded.wanted_pictures(told, told.stage(kept_by), models)} == left


def test_pictures_stay_while_a_stage_is_to_come_that_reads_them_and_go_with_an_opt_out(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    worker = pictures(Context(run, wanted_pictures=frozenset((FACES,))))
    whole = Patches(1, (20, 20), (Patch.of(0, np.zeros((20, 20, 3), np.uint8)),))
    videos = [{"video_id": f"file:{number:016x}", "sha256": f"{number:064x}"} for number in (1, 2)]
    for row in videos:
        assert worker.wants(FACES, row)
        worker.put(FACES, row, 0, 1, whole)
    drop(run, [SameFace(), Export()], "export")
    remove_from_run(run, ["file:0000000000000001"])
    assert [worker.get(FACES, row, 0, 1) for row in videos] == [None, whole]
    assert not [name for name in held(run) if name.startswith("file_0000000000000001")]
    old(run)
    assert [item.path for item in waste(Store(run)) if "decoded" in item.why] == [run / decoded.FOLDER]
    drop(run, [SameFace(), Export()], "same_face", "export")
    assert worker.get(FACES, videos[1], 0, 1) is None


def test_a_machine_that_does_not_see_the_run_shares_in_the_cache_of_its_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "copies"))
    monkeypatch.setenv("CSG405_CACHE_GB", "3")
    away = decoded.cache_of(Context(tmp_path / "nowhere", where=BUCKET))
    assert away is not None and away.folder == BUCKET.cache_folder and away.limit_bytes == 3 << 30
    (tmp_path / "same_name").mkdir()  # of another run, by chance at the same path
    other = decoded.cache_of(Context(tmp_path / "same_name", where=BUCKET))
    assert other is not None and other.folder == BUCKET.cache_folder
    write(tmp_path / "same_name", BUCKET)
    here = decoded.cache_of(Context(tmp_path / "same_name", where=replace(BUCKET, proven=True), cache_gb=1))
    assert here is not None and here.folder == tmp_path / "same_name" / decoded.FOLDER


def test_a_folder_of_another_disk_without_the_run_shares_nothing(tmp_path: Path) -> None:
    """Nobody would ever look there after an opt-out."""
    assert decoded.cache_of(Context(tmp_path / "nowhere", where=Where(f"file://{tmp_path}/x", "0" * 32))) is None
    assert decoded.cache_of(Context(tmp_path / "nowhere")) is None


def test_the_limit_is_that_of_the_settings(tmp_path: Path) -> None:
    cache = decoded.cache_of(Context(tmp_path, cache_gb=2.5))
    assert cache is not None and cache.limit_bytes == round(2.5 * (1 << 30))
