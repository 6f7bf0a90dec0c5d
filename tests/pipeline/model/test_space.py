"""The space of the network: there and back without loss, what does not count, and the coordinates of the picture."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.model.space import FLOOR_PX, RELEASE_DROPS, SkeletonSpace, from_picture, kept_points, to_picture
from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local, to_local

VARIANTS = [
    {"keypoints": keypoints, "neck": neck, "picture": picture}
    for keypoints in (133, 123)
    for neck in (False, True)
    for picture in (False, True)
]
DROPPED = list(RELEASE_DROPS)


def people(seed: int, clips: int = 2, frames: int = 5) -> tuple[Tensor, Tensor]:
    """Local coordinates (B, F, 133, 2) and necks (B, F, 2) of random keypoints in a 512 crop."""
    drawn = np.random.default_rng(seed).uniform(0, 512, (clips, frames, layout.K, 2)).astype(np.float32)
    local, neck = zip(*(to_local(clip) for clip in drawn), strict=True)
    return torch.from_numpy(np.stack(local)), torch.from_numpy(np.stack(neck))


def filled(seed: int = 0, **variant: Any) -> SkeletonSpace:
    rng = np.random.default_rng(seed)
    space = SkeletonSpace(**variant)
    space.fill(
        mean=rng.normal(0, 80, (layout.K, 2)),
        std=rng.uniform(1, 40, (layout.K, 2)),
        neck_std=np.array([9.0, 4.0]),
        seen=rng.uniform(0, 1, layout.K),
        framing=rng.uniform(50, 300, (3, 3)),
    )
    return space


def everywhere(local: Tensor) -> Tensor:
    return torch.ones(local.shape[:-1], dtype=torch.bool)


def test_the_release_drops_knees_ankles_and_feet() -> None:
    assert kept_points(133) == tuple(range(133))
    dropped = {layout.NAMES[k] for k in set(range(133)) - set(kept_points(123))}
    lower = {name for name in layout.NAMES if any(part in name for part in ("knee", "ankle", "_toe", "heel"))}
    assert dropped == lower and len(kept_points(123)) == 123


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_decoding_returns_what_was_encoded(variant: dict[str, Any]) -> None:
    space, (local, neck) = filled(**variant), people(1)
    held = neck if variant["neck"] or variant["picture"] else neck[:, :1].expand_as(neck)
    values, counts = space.encode(local, everywhere(local), held, held[:, 0])
    assert values.shape == (2, 5, 2 * variant["keypoints"] + 2 * variant["neck"]) and counts.all()
    back, necks = space.decode(values, held[:, 0])
    modelled = list(kept_points(variant["keypoints"]))
    torch.testing.assert_close(back[:, :, modelled], local[:, :, modelled], rtol=0, atol=1e-3)
    torch.testing.assert_close(necks, held, rtol=0, atol=1e-3)
    missing = torch.isnan(back).any(-1)
    assert missing.sum() == 2 * 5 * (133 - len(modelled)) and missing[:, :, DROPPED].all() == (len(modelled) == 123)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_values_are_z_scores_of_x_and_y_in_turn(variant: dict[str, Any]) -> None:
    space, (local, neck) = filled(**variant), people(2)
    values, _ = space.encode(local, everywhere(local), neck, neck[:, 0])
    keypoints = np.stack([from_local(*clip) for clip in zip(local.numpy(), neck.numpy(), strict=True)])
    points = keypoints if variant["picture"] else local.numpy()
    for place, k in enumerate(kept_points(variant["keypoints"])):
        for axis in range(2):
            wanted = (points[..., k, axis] - space.mean[k, axis].item()) / space.std[k, axis].item()
            np.testing.assert_allclose(values[..., 2 * place + axis], wanted, rtol=0, atol=1e-3)
    if variant["neck"]:
        way = (neck - neck[:, :1]) / torch.tensor([9.0, 4.0])
        torch.testing.assert_close(values[..., -2:], way, rtol=0, atol=1e-4)
        assert not values[:, 0, -2:].any()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from(VARIANTS))
def test_what_does_not_count_is_zero_and_the_rest_is_as_before(
    seed: int, missing: float, variant: dict[str, Any]
) -> None:
    space, (local, neck) = filled(**variant), people(seed % 97)
    valid = torch.from_numpy(np.random.default_rng(seed).random(local.shape[:-1]) >= missing)
    values, counts = space.encode(local, valid, neck, neck[:, 0])
    full, _ = space.encode(local, everywhere(local), neck, neck[:, 0])
    assert not values[~counts].any() and torch.equal(values[counts], full[counts])
    wanted = valid[:, :, list(kept_points(variant["keypoints"]))].repeat_interleave(2, -1)
    if variant["neck"]:
        wanted = torch.cat([wanted, valid.any(-1, keepdim=True).expand(-1, -1, 2)], -1)
    assert torch.equal(counts, wanted)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_nan_where_nothing_counts_does_not_spread(variant: dict[str, Any]) -> None:
    space, (local, neck) = filled(**variant), people(3)
    valid = everywhere(local)
    hidden = [layout.CHIN, 100, 20]
    local[0, 2, hidden], valid[0, 2, hidden] = torch.nan, False
    local[1, 4], neck[1, 4], valid[1, 4] = torch.nan, torch.nan, False
    values, counts = space.encode(local, valid, neck, neck[:, 0])
    assert torch.isfinite(values).all() and not values[1, 4].any() and not counts[1, 4].any()


def test_one_skeleton_is_encoded_as_a_frame_is() -> None:
    for variant in VARIANTS:
        space, (local, neck) = filled(**variant), people(4)
        alone, counted = space.encode(local[:, 3], everywhere(local[:, 3]), neck[:, 3], neck[:, 0])
        values, counts = space.encode(local, everywhere(local), neck, neck[:, 0])
        assert torch.equal(alone, values[:, 3]) and torch.equal(counted, counts[:, 3])


def test_the_spread_is_at_least_half_a_pixel() -> None:
    space = SkeletonSpace(neck=True)
    std = np.full((layout.K, 2), 3.0)
    std[layout.NOSE] = [0.0, 0.49]
    space.fill(np.zeros((layout.K, 2)), std, np.array([0.0, 7.0]), np.ones(layout.K), np.zeros((3, 3)))
    assert FLOOR_PX == 0.5
    assert space.std[layout.NOSE].tolist() == [0.5, 0.5] and (space.std[1:] == 3).all()
    assert space.neck_std.tolist() == [0.5, 7]
    local = torch.zeros(1, 1, layout.K, 2)
    local[..., layout.NOSE, :] = 0.25
    values, _ = space.encode(local, everywhere(local), torch.zeros(1, 1, 2), torch.zeros(1, 2))
    assert values[0, 0, 0] == 0.5


def test_without_a_modelled_neck_it_stands_at_the_references() -> None:
    space, (local, neck) = filled(), people(5)
    values, _ = space.encode(local, everywhere(local), neck, neck[:, 0])
    _, necks = space.decode(values, torch.tensor([[256.0, 300.0], [10.0, 20.0]]))
    assert necks.shape == (2, 5, 2)
    assert (necks[0] == torch.tensor([256.0, 300.0])).all() and (necks[1] == torch.tensor([10.0, 20.0])).all()


def test_a_modelled_neck_begins_at_any_reference() -> None:
    space, (local, neck) = filled(neck=True), people(6)
    values, _ = space.encode(local, everywhere(local), neck, neck[:, 0])
    _, necks = space.decode(values, torch.tensor([[256.0, 300.0], [10.0, 20.0]]))
    torch.testing.assert_close(necks[0] - neck[0], (torch.tensor([256.0, 300.0]) - neck[0, 0]).expand(5, 2))
    torch.testing.assert_close(necks[1, 0], torch.tensor([10.0, 20.0]))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_pictures_coordinates_are_the_transforms(seed: int) -> None:
    local, neck = people(seed, clips=1, frames=3)
    before = local.clone()
    points = to_picture(local, neck)
    np.testing.assert_allclose(points[0], from_local(local[0].numpy(), neck[0].numpy()), rtol=0, atol=1e-3)
    torch.testing.assert_close(from_picture(points, neck), local, rtol=0, atol=1e-3)
    np.testing.assert_allclose(from_picture(points, neck)[0], to_local(points[0].numpy())[0], rtol=0, atol=1e-3)
    assert torch.equal(local, before)


def test_in_the_picture_the_neck_follows_the_shoulders() -> None:
    space, (local, neck) = filled(picture=True), people(7)
    values, _ = space.encode(local, everywhere(local), neck, neck[:, 0])
    back, necks = space.decode(values, torch.zeros(2, 2))
    torch.testing.assert_close(necks, neck, rtol=0, atol=1e-3)
    shoulders = back[:, :, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]].mean(-2)
    torch.testing.assert_close(shoulders, torch.zeros(2, 5, 2), rtol=0, atol=1e-3)


def test_the_space_is_kept_with_the_weights() -> None:
    space, other = filled(3), SkeletonSpace()
    assert set(space.state_dict()) == {"mean", "std", "neck_std", "seen", "framing"}
    other.load_state_dict(space.state_dict())
    local, neck = people(8)
    given_both = [each.encode(local, everywhere(local), neck, neck[:, 0])[0] for each in (space, other)]
    assert torch.equal(*given_both) and torch.equal(space.seen, other.seen) and not list(space.parameters())


def test_half_precision_values_decode_in_single() -> None:
    space, (local, neck) = filled(), people(9)
    values, _ = space.encode(local, everywhere(local), neck, neck[:, 0])
    back, necks = space.decode(values.bfloat16(), neck[:, 0].double())
    assert back.dtype == necks.dtype == torch.float32
    assert (back - local).abs().max() < space.std.max() * values.abs().max() / 200
