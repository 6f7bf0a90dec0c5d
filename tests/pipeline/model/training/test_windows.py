"""Windows: every clip once an epoch, the same on any number of processes, and whole at the ends."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.windows import Steps, Windows, loader
from pipeline.skeleton import layout
from tests.pipeline.model.training.small import shard_rows, unseen, write_shards

SECONDS = (5.0, 6.0, 7.0, 8.0, 5.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder = tmp_path_factory.mktemp("windows")
    rows = [shard_rows(1, seconds)[0] for seconds in SECONDS]
    named = [{**row, "clip_id": f"{row['video_id']}/{n}+{row['frames']}"} for n, row in enumerate(rows)]
    return open_cache(write_shards(folder / "shards", {"train": named}), "train", folder / "cache")


def test_every_clip_comes_once_before_one_comes_again(cache: Cache) -> None:
    windows, count = Windows(cache, 40, seed=3), len(cache)
    epochs = [[windows._pick(n)[0] for n in range(e * count, (e + 1) * count)] for e in range(6)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_starts_are_spread_over_the_clip(cache: Cache) -> None:
    windows = Windows(cache, 40)
    starts = [start for n in range(500) for clip, start, _ in [windows._pick(n)] if clip == 3]
    assert min(starts) < 20
    assert max(starts) > cache.frames[3] - 40 - 20
    assert max(starts) <= cache.frames[3] - 40


def test_an_item_is_the_same_however_it_is_asked_for(cache: Cache) -> None:
    windows = Windows(cache, 40, lead=5, seed=1)
    together = windows.__getitems__([11, 12, 13])
    alone = windows[12]
    assert all(torch.equal(together[name][1], alone[name]) for name in together)
    other = Windows(cache, 40, lead=5, seed=2)[12]
    assert not torch.equal(other["skeleton"], alone["skeleton"])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_a_step_without_overlap(world: int) -> None:
    parts = [list(Steps(4, 7, 6, rank, world)) for rank in range(world)]
    assert [sorted(n for part in step for n in part) for step in zip(*parts, strict=True)] == [
        list(range(first, first + 6)) for first in (24, 30, 36)
    ]


def test_a_run_that_goes_on_reads_what_it_would_have_read(cache: Cache) -> None:
    windows = Windows(cache, 40)
    whole = list(loader(windows, Steps(0, 5, 2)))
    rest = list(loader(windows, Steps(3, 5, 2)))
    assert all(torch.equal(a[name], b[name]) for a, b in zip(whole[3:], rest, strict=True) for name in a)


def test_reading_ahead_changes_nothing(cache: Cache) -> None:
    windows = Windows(cache, 40)
    for a, b in zip(loader(windows, Steps(0, 4, 2)), loader(windows, Steps(0, 4, 2), workers=2), strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_window_holds_the_frames_of_its_clip(cache: Cache) -> None:
    windows = Windows(cache, 40, lead=6, seed=5)
    for number in range(12):
        clip, start, reference = windows._pick(number)
        item = windows[number]
        local = cache.local(clip)
        points = item["skeleton"].float().numpy() + item["offset"].numpy()
        expected = local[start : start + 40]
        seen = item["valid"].numpy()
        np.testing.assert_array_equal(seen, layout.seen(expected))
        np.testing.assert_allclose(points[seen], expected[seen], atol=1e-3)
        np.testing.assert_allclose(
            item["reference"][item["reference_valid"]], local[reference][layout.seen(local[reference])]
        )
        lead = local[np.maximum(np.arange(start - 6, start), 0)]
        np.testing.assert_allclose(item["lead"][item["lead_valid"]], lead[layout.seen(lead)])
        first = cache.first[clip]
        np.testing.assert_array_equal(item["audio"], cache.audio[first + start : first + start + 40])


def test_a_short_clip_is_padded_and_says_so(cache: Cache) -> None:
    item = Windows(cache, 150, still=True)[0]
    frames = int(cache.frames[0])
    assert item["present"].sum() == frames
    assert item["present"][:frames].all()
    assert not item["valid"][frames:].any()
    assert not item["audio"][frames:].any()


def test_the_reference_is_a_frame_with_most_of_the_upper_body(tmp_path: Path) -> None:
    row = unseen(shard_rows(1)[0], layout.LEFT_WRIST, slice(0, 100))
    row = unseen(row, layout.NOSE, slice(110, 125))
    found = open_cache(write_shards(tmp_path / "shards", {"train": [row]}), "train", tmp_path / "cache")
    windows = Windows(found, 40)
    drawn = {windows._pick(n)[2] for n in range(300)}
    assert drawn == set(range(100, 110))
    assert Windows(found, 40, still=True)._pick(0) == (0, 0, 100)


def test_no_window_starts_before_the_frames_of_its_lead(cache: Cache) -> None:
    frames = int(cache.frames.min())
    starts = [Windows(cache, 40, lead=25, seed=5)._pick(n)[1] for n in range(60)]
    assert min(starts) >= 25 and max(starts) > frames - 60 and len(set(starts)) > 20
    assert Windows(cache, 40, lead=25, still=True)._pick(0)[1] == 25 and Windows(cache, 40, still=True)._pick(0)[1] == 0
    item = Windows(cache, frames, lead=25)[0]  # which no clip fills from there
    assert item["present"].sum() >= frames - 25 and len(torch.unique(item["lead_neck"], dim=0)) > 1
    late = Windows(cache, 8, lead=10_000)[0]
    assert late["present"].sum() == 1 and late["lead"].shape[0] == 10_000
