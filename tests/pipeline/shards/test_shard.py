"""The shard format: pinned columns, exact inverse, readers that refuse what they do not understand."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.hashes import sha256_of
from pipeline.media.audio import to_flac
from pipeline.shards import format
from pipeline.shards.format import ShardError, file_version, shard_schema
from pipeline.shards.read import decode_audio, open_shards
from pipeline.shards.write import quantise, write_shard
from pipeline.skeleton.local import from_local, to_local

PINNED = """
clip_id string | video_id string | person int32 | url string | speech_type string | start_seconds double s
frames int32 frames | fps float 1/s | source_width int32 px | source_height int32 px | crop_box box px
keypoints points px | scores scores 0..1 | local points px | neck path px | audio binary | audio_features features
audio_features_of string | video string path | video_sha256 string hex | versions string JSON | licence string | channel string
channel_id string | channel_handle string | upload_date string YYYY-MM-DD
persons_in_clip int32 | seen_share double share | upper_body_share double share | worst_joint string
worst_joint_share double share | wrists_share double share | shoulder_width_px double px
shoulder_width_share double share | box_height_px double px | box_height_share double share | yaw_degrees double deg
head_yaw_degrees double deg | body_yaw_degrees double deg | head_cut_share double share
back_share double share | wrist_speed_median double shoulder widths/s | wrist_speed_p95 double shoulder widths/s
arm_range double shoulder widths | own_motion double shoulder widths | picture_motion double grey levels
hand_seen_share double share | both_hands_share double share | hands_on_one_share double share
face_seen_share double share
face_sharpness double grey levels^2 | jitter double shoulder widths | camera_motion double picture widths/s
repeated_frames double share | another_person_share double share | crop_side_px int32 px
crop_black_share double share | border_share double share
manifest_overlap double share | clips_person bool
has_audio bool | speech_share double share | longest_pause_seconds double s | loudness_dbfs double dBFS
peak_dbfs double dBFS | clipped_share double share | silence_share double share
overlap_seconds double s | overlap_share double share | longest_overlap_seconds double s | voices int32
voiced_share double share
face_moments int32 frames | face_agreement double cosine | face_agreement_margin double cosine
lip_offset_frames int32 frames | lip_confidence double | lip_distance double | lip_frames int32 frames
best_lips bool | sound_shift_frames int32 frames | lip_offset_left_frames double frames
gender string | gender_agreement double share | age_years double years | age_spread_years double years
ethnicity string | ethnicity_agreement double share | emotion string | emotion_agreement double share
attribute_frames int32 frames | identity_agreement double cosine
speaker string
"""
TYPES = {
    "box": "fixed_size_list<element: int32>[4]",
    "points": "list<element: fixed_size_list<element: float>[266]>",
    "scores": "list<element: fixed_size_list<element: float>[133]>",
    "path": "list<element: fixed_size_list<element: float>[2]>",
    "features": "list<element: fixed_size_list<element: halffloat>[768]>",
}


def row(number: int = 0, frames: int = 20, **more) -> dict:
    points = np.random.default_rng(number).uniform(-20, 540, (frames, 133, 2)).astype(np.float32)
    _, neck = to_local(points)
    scores = np.random.default_rng(number).uniform(0, 1, (frames, 133))
    names = {"clip_id": f"file:{number:016x}/0+{frames}", "video_id": f"file:{number:016x}", "person": 0}
    arrays = {"keypoints": points, "neck": neck, "scores": scores, "audio": to_flac(np.zeros(frames * 640))}
    return {**names, **arrays, "frames": frames, "crop_box": [-3, 0, 717, 720], **more}


def test_names_types_and_units_are_pinned() -> None:
    expected = [
        tuple(entry.strip().split(maxsplit=2)) for line in PINNED.strip().splitlines() for entry in line.split("|")
    ]
    found = [(f.name, str(f.type).replace("item:", "element:"), f.metadata[b"unit"].decode()) for f in shard_schema()]
    assert found == [(name, TYPES.get(kind, kind), unit[0] if unit else "") for name, kind, *unit in expected]
    assert all(b"text" in field.metadata for field in shard_schema())


def test_metadata_survives_in_the_file(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.parquet", [row()])
    stored = pq.read_schema(tmp_path / "a.parquet")
    for field in shard_schema():
        assert stored.field(field.name).type == field.type
        assert field.metadata.items() <= stored.field(field.name).metadata.items()
    assert file_version(tmp_path / "a.parquet") == "1.2"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.5), st.floats(0.1, 4))
def test_local_and_neck_invert_to_keypoints_exactly(seed: int, missing: float, spread: float) -> None:
    rng = np.random.default_rng(seed)
    points = (256 + rng.normal(0, 100 * spread, (12, 133, 2))).astype(np.float32)
    points[rng.uniform(size=(12, 133)) < missing] = np.nan
    raw_local, neck = to_local(points)
    keypoints, local, path = quantise(points, neck)
    np.testing.assert_array_equal(from_local(local, path), keypoints)
    assert np.nanmax(np.abs(keypoints - points)) <= 1 / 128 + 1e-4
    assert np.nanmax(np.abs(local - raw_local), initial=0) <= 1 / 64 + 1e-3
    np.testing.assert_array_equal(np.isnan(keypoints), np.isnan(points))


def test_the_inverse_holds_after_a_round_trip(tmp_path: Path) -> None:
    write_folder(tmp_path, [row(n) for n in range(3)])
    for stored in open_shards(tmp_path).rows(["keypoints", "local", "neck"]):
        np.testing.assert_array_equal(from_local(stored["local"], stored["neck"]), stored["keypoints"])


def test_scores_move_by_less_than_a_thousandth(tmp_path: Path) -> None:
    write_folder(tmp_path, [row()])
    stored = next(open_shards(tmp_path).rows())
    assert np.abs(stored["scores"] - row()["scores"]).max() <= 1 / 2048


def test_same_rows_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path / f"{name}.parquet", [row(n) for n in range(20)])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_features_are_stored_as_they_are(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(20, 768)).astype(np.float16)
    write_folder(tmp_path, [row(audio_features=features), row(1)])
    first, second = open_shards(tmp_path).rows()
    np.testing.assert_array_equal(first["audio_features"], features)
    assert first["audio_features"].dtype == np.float16
    assert second["audio_features"] is None


def write_folder(folder: Path, rows: list[dict], version: str = "1.0") -> Path:
    path = folder / "train-00000-of-00001.parquet"
    write_shard(path, rows)
    entry = {"path": path.name, "split": "train", "rows": len(rows), "seconds": 1.0}
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (folder / "_index.json").write_text(json.dumps({"version": version, "files": [entry]}))
    return path


@pytest.mark.parametrize(("version", "advice"), [("2.0", "update csg405"), ("0.9", "write the shards again")])
def test_another_major_version_is_refused(tmp_path: Path, version: str, advice: str) -> None:
    write_folder(tmp_path, [row()], version)
    with pytest.raises(ShardError, match=advice):
        open_shards(tmp_path)


def test_a_newer_file_under_an_old_index_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(format, "VERSION", (2, 0))
        write_folder(tmp_path, [row()])
    with pytest.raises(ShardError, match=r"has format 2\.0"):
        list(open_shards(tmp_path).rows())


def test_a_newer_minor_version_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path, [row()], "1.7")
    assert len(open_shards(tmp_path)) == 1


def test_what_is_no_folder_of_shards_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="has not finished"):
        open_shards(tmp_path)
    write_folder(tmp_path, [row()]).unlink()
    with pytest.raises(ShardError, match="not the file"):
        open_shards(tmp_path)
    with pytest.raises(ShardError, match="no split"):
        open_shards(tmp_path, "dev")


def test_pandas_reads_them(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(write_folder(tmp_path, [row(n) for n in range(3)]))
    assert np.stack(table["keypoints"][0]).shape == (20, 266)
    assert table["audio"][0] == row()["audio"]


def test_duckdb_reads_them(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = write_folder(tmp_path, [row(n) for n in range(3)])
    query = f"select clip_id, len(keypoints), len(keypoints[1]), crop_box[1] from '{path}' where frames > 5"
    assert duckdb.sql(query).fetchall()[0] == ("file:0000000000000000/0+20", 20, 266, -3)


def test_duckdb_and_polars_read_every_column(tmp_path: Path) -> None:
    """Among them halves, which the former reads in no other encoding than plain."""
    duckdb, polars = map(pytest.importorskip, ("duckdb", "polars"))
    features = np.random.default_rng(0).normal(size=(20, 768)).astype(np.float16)
    path = write_folder(tmp_path, [row(n, audio_features=features) for n in range(6)])
    found = duckdb.sql(f"select * from '{path}'").fetchnumpy()
    assert len(found) == len(shard_schema())
    np.testing.assert_array_equal(np.array(found["audio_features"][5].tolist()), features)
    np.testing.assert_array_equal(np.array(polars.read_parquet(path)["audio_features"][5].to_list()), features)


def test_statistics_are_of_what_somebody_filters_by(tmp_path: Path) -> None:
    group = pq.read_metadata(write_folder(tmp_path, [row(n, yaw_degrees=float(n)) for n in range(3)])).row_group(0)
    counted = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    assert (counted["yaw_degrees"].statistics.min, counted["yaw_degrees"].statistics.max) == (0.0, 2.0)
    heavy = ("keypoints", "scores", "local", "neck", "audio", "audio_features", "crop_box")
    without = {name.partition(".")[0] for name, column in counted.items() if column.statistics is None}
    assert without == set(heavy)


def test_datasets_reads_them(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = write_folder(tmp_path, [row(n) for n in range(3)])
    loaded = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert np.array(loaded[0]["keypoints"]).shape == (20, 266)


def test_sound_is_decoded(tmp_path: Path) -> None:
    import io

    import soundfile

    wave = np.sin(np.arange(6400) / 20).astype(np.float32) / 2
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, 16_000, format="FLAC", subtype="PCM_16")
    assert np.abs(decode_audio(buffer.getvalue()) - wave).max() < 1e-4
