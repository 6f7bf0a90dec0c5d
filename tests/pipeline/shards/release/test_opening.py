"""Others' programs open a release, and a scan finds what may not be in one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.shards import release
from pipeline.shards.format import ShardError
from pipeline.shards.release import citation
from pipeline.shards.release.scan import check_publishable, problems
from pipeline.sources.manifest import read_manifest
from tests.pipeline.shards.release.published import SPEAKERS, points_of, publish, url_of

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("published") / "release", licence="CC BY-NC 4.0", contact="out@example.org")


def test_datasets_loads_every_table_and_split(published: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(published), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 3, "validation": 1, "test": 1}
    assert loaded["train"][2]["crop_box"] == [10, -20, 650, 620]
    skeletons = datasets.load_dataset(str(published), "skeletons", split="test", cache_dir=str(tmp_path))
    np.testing.assert_array_equal(np.array(skeletons[0]["keypoints"], np.float32), points_of(4))
    for table, layout in release.schemas().items():
        loaded = datasets.load_dataset(str(published), table, split="train", cache_dir=str(tmp_path))
        assert loaded.features == datasets.Features.from_arrow_schema(layout)


def test_polars_duckdb_and_pandas_read_the_folders(published: Path) -> None:
    polars, duckdb, pandas = map(pytest.importorskip, ("polars", "duckdb", "pandas"))
    assert polars.read_parquet(published / "links").height == len(SPEAKERS)
    joined = f"select split, yaw_degrees from '{published}/links/*.parquet' join '{published}/measures/*.parquet' using (person_id)"
    assert sorted(duckdb.sql(joined).fetchall())[0] == ("test", 4.0)
    assert np.stack(pandas.read_parquet(published / "skeletons")["keypoints"][0]).shape == (6, 266)


def test_mlcroissant_validates_and_reads(published: Path) -> None:
    croissant = pytest.importorskip("mlcroissant")
    described = croissant.Dataset(jsonld=str(published / "croissant.json"))
    issues = described.metadata.ctx.issues
    assert not issues.errors and not issues.warnings
    rows = list(described.records("links"))
    assert {row["links/person"] for row in rows} == {speaker[2] for speaker in SPEAKERS}
    [row] = [row for row in described.records("skeletons") if row["skeletons/video_id"].startswith(b"file:")]
    np.testing.assert_array_equal(np.array(row["skeletons/keypoints"], np.float32), points_of(4))


def test_the_head_of_the_card_is_what_the_hub_asks_for(published: Path) -> None:
    _, head, card = (published / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(head)
    assert (about["license"], about["size_categories"], about["language"]) == ("cc-by-nc-4.0", ["n<1K"], ["en"])
    assert about["pretty_name"] == "Planted <b>" and "# Planted \\<b\\>" in card
    assert [config["config_name"] for config in about["configs"]] == list(release.TABLES)
    for layout in release.schemas().values():
        for field in layout:
            assert field.metadata[b"text"], field.name
            assert f"| `{field.name}` |" in card
    assert "write to out@example.org" in card and "1 of the 5 speakers have no link" in card


def test_it_cites_what_the_project_cites() -> None:
    known = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = known["preferred-citation"]
    assert paper["title"] in citation.PAPER and str(paper["year"]) in citation.PAPER
    assert paper["conference"]["name"] in citation.PAPER and paper["authors"][0]["family-names"] in citation.PAPER
    assert known["title"] in citation.SOFTWARE and known["version"] in citation.SOFTWARE


def test_rebuild_reads_its_links(published: Path) -> None:
    found = read_manifest(published / "links.jsonl")
    assert (
        len(found.rows) == len(SPEAKERS)
        and not found.bad
        and {row.url for row in found.rows} == {url_of(0), url_of(1), None}
    )
    assert release.skeletons_of(published) == tuple(sorted((published / "skeletons").iterdir()))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("links/train.wav", b"RIFF"),
        ("skeletons/face.jpg", b"\xff\xd8\xff"),
        ("notes.txt", b"who it is"),
        ("clips/a.mp4", b"ftyp"),
        ("README.md", b"\xff\xd8\xff\xe0"),
        ("links.jsonl", b"x" * 20_000),
        ("measures/test.parquet", b"OggS"),
    ],
)
def test_the_scan_finds_foreign_files(published: Path, tmp_path: Path, name: str, content: bytes) -> None:
    folder = Path(shutil.copytree(published, tmp_path / "release"))
    check_publishable(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    with pytest.raises(ShardError, match="may not be published"):
        check_publishable(folder)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"fLaC"] * 5),
        pa.array([[0.5] * 512] * 5, pa.list_(pa.float32(), 512)),
        pa.array(["a" * 20_000] * 5),
    ],
)
def test_the_scan_finds_sound_pictures_and_embeddings_in_tables(
    published: Path, tmp_path: Path, column: pa.Array
) -> None:
    folder = Path(shutil.copytree(published, tmp_path / "release"))
    links = pq.read_table(folder / "links")
    for name in ("licence", "more"):
        table = links.drop_columns(["licence"]).append_column(name, column)
        pq.write_table(table, folder / "links" / "train.parquet")
        assert any(name in problem for problem in problems(folder)), name


def test_the_index_adds_up(published: Path) -> None:
    index = json.loads((published / "index.json").read_text())
    assert (index["speakers"], index["clips"], index["videos"], index["without_link"]) == (5, 4, 3, 1)
    assert index["splits"] == {"train": 3, "validation": 1, "test": 1}
