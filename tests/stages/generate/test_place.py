"""Where the generated skeleton stands: on its reference, brought to what training knows and back."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs csg405[train]")
pytest.importorskip("diffusers", reason="needs csg405[train]")
pytest.importorskip("safetensors", reason="needs csg405[train]")

from pipeline.model.audio_to_skeleton import AudioToSkeleton  # noqa: E402
from pipeline.model.generation.placement import mean_skeleton  # noqa: E402
from pipeline.skeleton import layout  # noqa: E402
from tests.stages.generate.studio import BOTH, Place, somebody, wide  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.usefixtures("unfilmed")
def test_an_ordinary_reference_is_left_as_it_is_without_a_word(
    place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    points = somebody(place.made)
    found = place.generate(audio=place.wav(), skeleton=place.npz(points))
    assert "reference" not in capsys.readouterr().err
    assert found["about"]["placed"] == {"scale": 1.0, "angle": 0.0, "shift": [0.0, 0.0]}
    np.testing.assert_allclose(asked[0]["reference"].neck, points[BOTH].mean(0), atol=1e-3)


OFF = {
    "small": (0.7, (0, 0), "shoulder width {wide:.0f} px, in training {low:.0f} to {high:.0f}"),
    "large": (1.4, (0, 0), "shoulder width {wide:.0f} px, in training {low:.0f} to {high:.0f}"),
    "right": (1.0, (150, 0), "neck x {x:.0f} px, in training"),
    "below": (1.0, (0, 150), "neck y {y:.0f} px, in training"),
}


@pytest.mark.parametrize("how", OFF)
@pytest.mark.usefixtures("unfilmed")
def test_a_reference_that_is_off_is_told_fitted_and_brought_back(
    how: str, place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    scale, moved, said = OFF[how]
    points = somebody(place.made, scale, moved)
    found = place.generate(audio=place.wav(), skeleton=place.npz(points))
    low, _, high = AudioToSkeleton.load(place.model).space.framing[0].tolist()
    x, y = points[BOTH].mean(0)
    told = capsys.readouterr().err
    assert f"reference reference: {said.format(wide=wide(points), low=low, high=high, x=x, y=y)}" in told
    assert (
        f"fitted: {found['about']['placed']['scale']:.2f} x, turned by" in told
        and "now within the range of training" in told
    )
    given = asked[0]["reference"]
    assert low <= wide(given.local) <= high, "the model sees a body of a size it knows"
    assert found["about"]["placed"]["scale"] == pytest.approx(1 / scale, rel=0.15)
    assert wide(found["keypoints"]) == pytest.approx(wide(points), rel=0.15)
    seen = layout.seen(found["keypoints"][0])
    np.testing.assert_allclose(found["keypoints"][-1][seen], points[seen], atol=0.05)  # even to a part of a pixel


@pytest.mark.parametrize("how", OFF)
@pytest.mark.usefixtures("unfilmed")
def test_the_mean_skeleton_comes_back_in_the_references_place_and_size(how: str, place: Place) -> None:
    """By a model that says the same for any reference, so that only the way back can bring it there."""
    scale, moved, _ = OFF[how]
    points = somebody(place.made, scale, moved)
    found = place.generate(
        audio=place.wav(), skeleton=place.npz(points), model=place.made / "mean.safetensors", guidance=1
    )["keypoints"]
    assert wide(found) == pytest.approx(wide(points), rel=0.15)
    np.testing.assert_allclose(np.median(found[:, BOTH].mean(1), 0), points[BOTH].mean(0), atol=2)


@pytest.mark.parametrize("how", OFF)
@pytest.mark.usefixtures("unfilmed")
def test_align_never_leaves_it_and_still_tells(
    how: str, place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    scale, moved, said = OFF[how]
    points = somebody(place.made, scale, moved)
    found = place.generate(audio=place.wav(), skeleton=place.npz(points), align="never")
    told = capsys.readouterr().err
    assert said.split("{")[0] in told and "fitted" not in told
    assert found["about"]["placed"]["scale"] == 1.0
    np.testing.assert_allclose(asked[0]["reference"].neck, points[BOTH].mean(0), atol=1e-3)
    assert wide(asked[0]["reference"].local) == pytest.approx(wide(points), abs=1e-3)


@pytest.mark.usefixtures("unfilmed")
def test_align_always_fits_an_ordinary_one_too(place: Place, asked: list[dict[str, Any]]) -> None:
    points = somebody(place.made, moved=(6, -3))
    found = place.generate(audio=place.wav(), skeleton=place.npz(points), align="always")
    target = mean_skeleton(AudioToSkeleton.load(place.model).space)
    np.testing.assert_allclose(asked[0]["reference"].neck, target[BOTH].mean(0), atol=4)
    assert found["about"]["placed"]["shift"] != [0.0, 0.0]
    seen = layout.seen(found["keypoints"][0])
    np.testing.assert_allclose(found["keypoints"][0][seen], points[seen], atol=0.05)


@pytest.mark.usefixtures("unfilmed")
def test_too_little_to_fit_is_told_and_used_as_it_is(
    place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    points = somebody(place.made, 0.7)
    points[[0, 1, 2, 3, 4, 11, 12]] = np.nan
    found = place.generate(audio=place.wav(), skeleton=place.npz(points))
    assert "too little of head, shoulders and hips is seen to fit the reference" in capsys.readouterr().err
    assert found["about"]["placed"]["scale"] == 1.0


@pytest.mark.parametrize("unseen", ["absent", "unsure"])
def test_a_head_alone_is_refused_with_what_to_do(unseen: str, place: Place) -> None:
    points, scores = somebody(place.made), np.ones(133)
    body = [*range(5, 23), *range(91, 133)]
    if unseen == "absent":
        points[body] = np.nan
    else:
        scores[body] = 0.2
    message = place.refused(audio=place.wav(), skeleton=place.npz(points, scores=scores))
    assert message == "reference: the reference shows no shoulders: take a picture of the upper body, from the hips up"
