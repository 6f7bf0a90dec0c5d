"""Splits by source: nothing that hangs together is torn apart, shares hold, and what was published stays."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from pipeline.cli.main import main
from pipeline.shards.format import SPLITS, ShardError
from pipeline.shards.read import open_shards
from pipeline.shards.release.proof import shared_across
from pipeline.tables.store import Store
from stages.release import Release
from stages.shards import Shards
from stages.shards.components import components
from stages.shards.sources import Sizes, split_by_source
from stages.shards.splits import by_source
from tests.stages import fake_run

TRAIN, VALIDATION, TEST = SPLITS
Tables = dict[str, pa.Table]


def graph(seed: int) -> Tables:
    """A run of random links: some channels, faces and twins, many videos by themselves, now and then a channel of a third."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(150, 300))
    videos = [f"file:{number:016x}" for number in rng.permutation(10_000)[:count]]

    def some(share: float, of: int) -> list[str | None]:
        return [f"{rng.integers(of)}" if rng.uniform() < share else None for _ in videos]

    channels = some(0.3, 40)
    if rng.uniform() < 0.3:
        channels = ["large" if rng.uniform() < 0.35 else one for one in channels]
    people = [(f"{video}#{n}", video) for video in videos for n in range(int(rng.integers(1, 4)))]
    persons = pa.table({"person_id": [p for p, _ in people], "video_id": [v for _, v in people]})
    speakers = [f"s{rng.integers(60)}" if rng.uniform() < 0.1 else f"only {p}" for p, _ in people]
    return {
        "videos": pa.table(
            {
                "video_id": videos,
                "channel": pa.array(channels, pa.string()),
                "channel_id": pa.array(some(0.1, 40), pa.string()),
            }
        ),
        "persons": persons,
        "samples": persons,
        "speakers": pa.table({"person_id": persons["person_id"], "speaker": speakers}),
        "twins": pa.table({"video_id": videos, "near_cluster_id": pa.array(some(0.05, 20), pa.string())}),
    }


def shared(tables: Tables) -> Iterator[tuple[str, str]]:
    """What each video has that others may have too, by plain loops."""
    for row in tables["videos"].to_pylist():
        for name in ("channel", "channel_id"):
            if row[name]:
                yield f"{name} {row[name]}", row["video_id"]
    who = {row["person_id"]: row["speaker"] for row in tables["speakers"].to_pylist()}
    for row in tables["samples"].to_pylist():
        yield f"speaker {who[row['person_id']]}", row["video_id"]
    for row in tables["twins"].to_pylist():
        if row["near_cluster_id"]:
            yield f"twins {row['near_cluster_id']}", row["video_id"]


def torn(tables: Tables, split_of: dict[str, str]) -> list[str]:
    """What lies in two splits."""
    seen: dict[str, set[str]] = {}
    for what, video in shared(tables):
        seen.setdefault(what, set()).add(split_of[video])
    return [what for what, splits in seen.items() if len(splits) > 1]


@pytest.mark.parametrize("hundred", range(20))
def test_no_component_is_in_two_splits_and_shares_hold_in_2000_graphs(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        tables = graph(seed)
        settings = Shards(split_by="source", split_seed=seed, test_share=0.1, test_max_samples=10_000)
        split_of = dict(by_source(settings, tables).of_video)
        assert set(split_of) == set(tables["videos"]["video_id"].to_pylist())
        assert torn(tables, split_of) == [], seed
        size = Counter(split_of[video] for video in tables["persons"]["video_id"].to_pylist())
        total = size.total()
        assert size[TEST] / total == pytest.approx(0.1, abs=0.02), seed
        assert size[VALIDATION] / (total - size[TEST]) == pytest.approx(0.1, abs=0.02), seed


@pytest.mark.parametrize("ten", range(20))
def test_what_was_published_stays_and_what_is_new_joins_one_split_or_train(ten: int) -> None:
    for seed in range(10 * ten, 10 * ten + 10):
        rng = np.random.default_rng(seed)
        tables = graph(seed)
        settings = Shards(split_by="source", test_share=0.1)
        videos = tables["videos"]["video_id"].to_pylist()
        group_of = components(videos, tables)
        sizes = Sizes(Counter(group_of.values()), Counter(group_of.values()))
        order = sorted(set(group_of.values()))
        before = split_by_source(settings, group_of, order, sizes).of_video
        published = {video: before[video] for video in videos if rng.uniform() < 0.5}
        # newcomers that join what lay apart
        joined = dict(group_of)
        pairs = rng.choice(order, (5, 2))
        for a, b in pairs:
            joined = {video: joined[a] if group == joined[b] else group for video, group in joined.items()}
        sizes = Sizes(Counter(joined.values()), Counter(joined.values()))
        after = split_by_source(settings, joined, sorted(set(joined.values())), sizes, published)
        assert {video: after.of_video[video] for video in published} == published
        for group in set(joined.values()):
            members = [video for video in videos if joined[video] == group]
            said = {published[video] for video in members if video in published}
            new = {after.of_video[video] for video in members if video not in published}
            if said:
                assert new <= (said if len(said) == 1 else {TRAIN})
            else:
                assert len(new) == 1
            assert (len(said) > 1) == any(f"with {group} by" in line and "published" in line for line in after.told)


def test_a_component_that_is_too_large_is_for_training_and_told() -> None:
    group_of = {f"v{n}": "large" if n < 30 else f"v{n}" for n in range(100)}
    sizes = Sizes(Counter(group_of.values()), Counter(group_of.values()))
    found = split_by_source(Shards(split_by="source", test_share=0.4), group_of, ["large", *group_of], sizes)
    assert found.of_video["v0"] == TRAIN
    assert any("30% of all people hang together with large" in line for line in found.told)
    loose = Shards(split_by="source", test_share=0.4, max_component_share=1)
    assert split_by_source(loose, group_of, ["large", *group_of], sizes).of_video["v0"] == TEST


def test_two_videos_are_enough_for_a_test_split() -> None:
    sizes = Sizes({"a": 30, "b": 50}, {"a": 3, "b": 5})
    loose = Shards(split_by="source", max_component_share=0.7)
    assert split_by_source(loose, {"a": "a", "b": "b"}, ["b", "a"], sizes).of_video == {"a": TEST, "b": TRAIN}
    assert split_by_source(loose, {"a": "a"}, ["a"], Sizes({"a": 3}, {"a": 3})).of_video == {"a": TRAIN}


def test_other_splits_know_nothing_of_it() -> None:
    """So that no shards of finished runs are made anew."""
    assert not {"max_component_share", "published"} & set(Shards().result_settings())
    assert "twins" not in {reads.kind for reads in Shards().reads}
    assert "twins" in {reads.kind for reads in Shards(split_by="source").reads}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    store = Store(tmp_path / "run")
    with fake_run.together(store):
        for number in range(24):
            about = {
                "channel": f"channel {number // 2}",
                "url": f"https://www.youtube.com/watch?v=abcdefgh{number:03d}",
            }
            fake_run.kept(store, number, 0, **about)
        ids = [fake_run.video_id(number) for number in range(24)]
        fake_run.add(store, "sound_fingerprints", [{"video_id": one} for one in ids])
        near = {3: "t1", 8: "t1"}
        rows = [{"video_id": one, "kept": True, "near_cluster_id": near.get(at)} for at, one in enumerate(ids)]
        fake_run.add(store, "twins", rows)
    return tmp_path / "run"


def splits_of(run: Path) -> dict[str, str]:
    folder = run / "shards"
    return {row["video_id"]: split for split in SPLITS for row in open_shards(folder, split).rows(["video_id"])}


def test_a_run_is_split_by_source_and_its_release_proves_it(run: Path) -> None:
    fake_run.run(Shards(buckets=2, split_by="source", test_share=0.2), run)
    found = splits_of(run)
    assert set(found.values()) == set(SPLITS)
    assert len({found[fake_run.video_id(number)] for number in (2, 3, 8, 9)}) == 1
    fake_run.run(Release(), run)
    proof = {one.what: (one.groups, one.across) for one in shared_across(Store(run), found)}
    assert proof == {"clusters of twins": (1, []), "speakers": (0, []), "channels": (12, [])}
    torn_apart = found | {fake_run.video_id(3): TEST, fake_run.video_id(2): TRAIN, fake_run.video_id(8): TRAIN}
    proof = {one.what: one.across for one in shared_across(Store(run), torn_apart)}
    assert proof["clusters of twins"] == ["t1"] and "channel 1" in proof["channels"]


@pytest.mark.parametrize("by", ["source", "video"])
def test_the_release_command_prints_the_proof(run: Path, by: str) -> None:
    """By video, of twelve channels with two videos each some are torn apart; the command says so and what helps."""
    fake_run.run(Shards(buckets=2, split_by=by, test_share=0.3), run)
    done = CliRunner().invoke(main, ["release", "--run", str(run)])
    assert done.exit_code == 0, done.output
    [line] = [line for line in done.output.splitlines() if line.startswith("splits: ")]
    whole = "none of 1 clusters of twins are in two splits; speakers were not measured; none of 12 channels are in two splits"
    assert (whole in line) == (by == "source")
    assert ("warning: what is in two splits" in done.output) == (by == "video")


def test_published_videos_stay_where_a_release_has_them(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"buckets": 2, "split_by": "source", "test_share": 0.2}
    fake_run.run(Shards(**settings), run)
    before = splits_of(run)
    fake_run.run(Release(), run)
    (run / "release").rename(run.parent / "published")
    store = Store(run)
    test = next(number for number in range(24) if before[fake_run.video_id(number)] == TEST)
    train = next(number for number in range(24) if before[fake_run.video_id(number)] == TRAIN)
    rows = [{"video_id": fake_run.video_id(one), "kept": True, "near_cluster_id": "t9"} for one in (test, train, 90)]
    fake_run.kept(store, 90, 0, channel="new")
    fake_run.add(store, "sound_fingerprints", [{"video_id": fake_run.video_id(90)}])
    fake_run.add(store, "twins", rows, attempt=2)
    with caplog.at_level(logging.WARNING):
        fake_run.run(Shards(**settings, published=run.parent / "published", split_seed=5), run)
    after = splits_of(run)
    assert {video: after[video] for video in before} == before
    assert after[fake_run.video_id(90)] == TRAIN
    assert "what was published in test and train hangs together" in caplog.text
    with pytest.raises(ShardError, match="no release"):
        Shards(split_by="source", published=run).result_settings()
