"""From stored windows to z-scores: masks, and changes that are the same whether done to the picture or to local coordinates."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.model.diffusion import mean_by_sample, squared_error
from pipeline.model.space import SkeletonSpace, to_picture
from pipeline.model.training.batch import Augmentation, changed, loss_weights, prepare
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.setup import new_model
from pipeline.model.training.windows import Windows
from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local, to_local
from tests.pipeline.model.training.small import recipe, shard_rows, unseen, write_shards


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder = tmp_path_factory.mktemp("batch")
    rows = [unseen(row, layout.LEFT_ELBOW, slice(0, 30)) for row in shard_rows(3)]
    return open_cache(write_shards(folder / "shards", {"train": rows}), "train", folder / "cache")


def _space(cache: Cache) -> SkeletonSpace:
    return new_model(recipe(), cache).space


def test_z_scores_have_mean_nought_and_spread_one(cache: Cache) -> None:
    space, windows = _space(cache), Windows(cache, 125, still=True)
    ready = prepare(windows.__getitems__([0, 1, 2]), space)
    values, counts = ready.clean.flatten(0, 1), ready.counts.flatten(0, 1)
    moved = (counts.sum(0) > 200) & (cache_std(cache) > 0.5)
    means = (values * counts).sum(0) / counts.sum(0).clamp(min=1)
    spreads = ((values - means) ** 2 * counts).sum(0) / counts.sum(0).clamp(min=1)
    assert means[moved].abs().max() < 0.02
    assert (spreads[moved] - 1).abs().max() < 0.05


def cache_std(cache: Cache) -> torch.Tensor:
    return torch.from_numpy(cache.statistics.std).flatten()


def test_what_is_not_sure_is_zero_and_left_out(cache: Cache) -> None:
    ready = prepare(Windows(cache, 150, still=True).__getitems__([0]), _space(cache))
    elbow = slice(2 * layout.LEFT_ELBOW, 2 * layout.LEFT_ELBOW + 2)
    assert not ready.counts[0, :30, elbow].any()
    assert ready.counts[0, 30:125, elbow].all()
    assert not ready.counts[0, 125:].any()
    assert not ready.clean[0, :30, elbow].any()
    assert ready.clean[0, 30:125, elbow].abs().min() > 0


def test_as_in_the_release_unsure_points_keep_their_values_but_do_not_count(cache: Cache) -> None:
    windows, space = Windows(cache, 150, lead=25), _space(cache)  # of clips of 125 frames
    batch = windows.__getitems__([0, 1, 2])
    zeroed, kept = (prepare(batch, space, keep_unsure=keep) for keep in (False, True))
    assert torch.equal(zeroed.counts, kept.counts) and torch.equal(zeroed.reference, kept.reference)
    assert zeroed.lead is not None and kept.lead is not None and torch.equal(zeroed.lead, kept.lead)
    assert torch.equal(zeroed.clean[zeroed.counts], kept.clean[kept.counts])
    true = (batch["skeleton"].float() + batch["offset"][:, None] - space.mean) / space.std
    elbow = slice(2 * layout.LEFT_ELBOW, 2 * layout.LEFT_ELBOW + 2)
    unsure = batch["present"] & ~batch["valid"][..., layout.LEFT_ELBOW]
    assert unsure.sum() == 3 * (30 - 25), "the lead is the clip's first second"
    assert not zeroed.clean[..., elbow][unsure].any()
    assert torch.equal(kept.clean[..., elbow][unsure], true[..., layout.LEFT_ELBOW, :][unsure])
    assert not kept.clean[~batch["present"]].any()


def test_in_the_release_each_sample_weighs_the_same_however_much_of_it_counts() -> None:
    error, counts = torch.zeros(2, 10, 6), torch.zeros(2, 10, 6)
    counts[0, :1], counts[1] = 1, 1
    error[0], error[1] = 3.0, 1.0
    found = squared_error(error, torch.zeros_like(error), mean_by_sample(counts)) / 2
    assert found == pytest.approx((9 + 1) / 2)
    assert not mean_by_sample(torch.zeros(2, 10, 6)).any()


def test_a_face_in_the_picture_is_where_its_nose_is_sure_or_not(tmp_path: Path) -> None:
    """Table 3's variant without local coordinates: an unsure nose is left out, and its face does not move by that."""
    row = shard_rows(1)[0]
    rows = [unseen(row, layout.NOSE, slice(0, 60)), {**row, "clip_id": row["clip_id"] + "0"}]
    cache = open_cache(write_shards(tmp_path / "shards", {"train": rows}), "train", tmp_path / "cache")
    space = new_model(recipe(ablate="local"), cache).space
    ready = prepare(Windows(cache, 125, still=True).__getitems__([0, 1]), space)
    face = slice(2 * layout.FACE.start, 2 * layout.FACE.stop)
    assert ready.counts[0, :, face].all() and not ready.counts[0, :60, :2].any() and not ready.clean[0, :60, :2].any()
    assert (ready.clean[0, :, face] - ready.clean[1, :, face]).abs().max() < 0.05


def test_a_mirror_swaps_left_and_right_as_in_a_mirrored_picture() -> None:
    row = shard_rows(1)[0]
    points = np.nan_to_num(np.asarray(row["keypoints"], np.float32), nan=100.0)
    flipped = points[:, layout.MIRROR].copy()
    flipped[..., 0] = 511 - flipped[..., 0]
    _check_change(points, flipped, torch.diag(torch.tensor([-1.0, 1.0])), mirrored=True)
    assert flipped[0, layout.LEFT_SHOULDER, 0] > flipped[0, layout.RIGHT_SHOULDER, 0]  # still a person who faces us


def test_a_turn_and_a_change_of_size_are_those_of_the_picture() -> None:
    points = np.nan_to_num(np.asarray(shard_rows(1)[0]["keypoints"], np.float32), nan=100.0)
    angle = np.radians(7)
    matrix = 1.1 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = (points - 255.5) @ matrix.T + 255.5
    _check_change(points, turned, torch.tensor(matrix, dtype=torch.float32), mirrored=False)


def _check_change(points: np.ndarray, expected: np.ndarray, matrix: torch.Tensor, *, mirrored: bool) -> None:
    local, neck = (torch.from_numpy(x.astype(np.float32))[None] for x in to_local(points))
    valid = torch.zeros(1, len(points), layout.K, dtype=torch.bool)
    valid[..., layout.LEFT_HAND] = True
    new, counted, path = changed(local, valid, neck, matrix[None], torch.tensor([mirrored]))
    np.testing.assert_allclose(to_picture(new, path)[0], expected, atol=2e-3)
    np.testing.assert_allclose(from_local(new[0].numpy(), path[0].numpy()), expected, atol=2e-3)
    assert counted[0, 0].nonzero().flatten().tolist() == list(range(112, 133) if mirrored else range(91, 112))


def test_clip_reference_and_lead_are_changed_alike(cache: Cache) -> None:
    space = _space(cache)
    batch = Windows(cache, 40, lead=5, still=True).__getitems__([0, 1])
    batch["reference"], batch["reference_valid"] = (
        batch["skeleton"][:, 7].float() + batch["offset"],
        batch["valid"][:, 7],
    )
    batch["lead"] = batch["reference"][:, None].expand(-1, 5, -1, -1).clone()
    batch["lead_valid"] = batch["reference_valid"][:, None].expand(-1, 5, -1).clone()
    seeded = torch.Generator().manual_seed(1)
    ready = prepare(batch, space, Augmentation(0.2, 20, 0.5), torch.rand(len(batch["skeleton"]), 3, generator=seeded))
    assert ready.lead is not None
    torch.testing.assert_close(ready.reference, ready.clean[:, 7])
    torch.testing.assert_close(ready.lead[:, 2], ready.clean[:, 7])
    plain = prepare(batch, space)
    assert (ready.clean - plain.clean).abs().max() > 0.1


def test_augmentation_stays_within_its_bounds() -> None:
    amount = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    matrices, mirrored = Augmentation(0.1, 10, 0.25).changes(amount)
    sizes = torch.linalg.det(matrices).abs().sqrt()
    assert 0.9 <= sizes.min() < 0.905
    assert 1.095 < sizes.max() <= 1.1
    angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 1, 1]))
    assert 9.5 < angles.abs().max() <= 10.001
    assert mirrored.float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(torch.linalg.det(matrices) < 0, mirrored)
    assert not Augmentation()


def test_parts_weigh_the_same_and_points_one_each(cache: Cache) -> None:
    space = _space(cache)
    assert loss_weights("points", space).unique().tolist() == [1.0]
    weights = loss_weights("parts", space).reshape(-1, 2)[:, 0]
    seen = space.seen > 0
    parts = (layout.BODY_AND_FEET, layout.FACE, layout.LEFT_HAND, layout.RIGHT_HAND)
    sums = [float(weights[part][seen[part]].sum()) for part in parts]
    assert sums == pytest.approx([sums[0]] * 4)
    assert float(weights[seen].mean()) == pytest.approx(1)
