import numpy as np

from pipeline.skeleton import layout
from pipeline.skeleton.draw import draw
from tests.pipeline.skeleton.people import person


def one() -> tuple[np.ndarray, np.ndarray]:
    keypoints, scores = person(1, width=200, x=256, y=220)
    return keypoints[0], scores[0]


def test_the_limb_to_the_right_shoulder_is_red_in_rgb() -> None:
    keypoints, scores = one()
    picture = draw(keypoints, scores, (512, 512))
    assert picture.shape == (512, 512, 3) and picture.dtype == np.uint8
    r, g, b = (int(v) for v in picture[220, 256 - 50])
    assert r > 100 and g < 30 and b < 30
    assert not picture[:20].any(), "black elsewhere"


def test_low_scores_and_missing_points_are_not_drawn() -> None:
    keypoints, scores = one()
    assert not draw(keypoints, scores * 0.2).any()
    assert not draw(np.full_like(keypoints, np.nan), scores).any()
    keypoints[:] = 1e9
    draw(keypoints, scores)


def test_brightness_follows_the_score() -> None:
    keypoints, scores = one()
    assert draw(keypoints, scores * 0.5)[220, 206, 0] < draw(keypoints, scores)[220, 206, 0]


def test_limbs_have_six_tenths_of_their_colour_rounded_down() -> None:
    keypoints, scores = one()
    for level in range(256):
        scores[:] = np.sqrt((level + 0.5) / 255)  # the limb is as bright as the product of its ends
        shown = draw(keypoints, scores, threshold=0)[220, 206]
        assert shown.tolist() == [level * 6 // 10, 0, 0]


def test_overlay_keeps_the_background_and_its_size() -> None:
    keypoints, scores = one()
    background = np.full((360, 640, 3), 90, np.uint8)
    picture = draw(keypoints, scores, background=background)
    assert picture.shape == background.shape
    assert (background == 90).all()
    assert 0.005 < (picture != 90).any(-1).mean() < 0.3
    nobody = draw(np.full((layout.K, 2), np.nan), scores, background=background)
    np.testing.assert_array_equal(nobody, background)
