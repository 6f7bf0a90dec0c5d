import numpy as np

from pipeline.skeleton import layout


def test_names_are_the_133_of_coco_wholebody() -> None:
    assert len(layout.NAMES) == len(set(layout.NAMES)) == layout.K
    assert layout.NAMES[layout.LEFT_WRIST] == "left_wrist"
    assert layout.NAMES[22] == "right_heel"
    assert layout.NAMES[91] == "left_hand_root"
    assert layout.NAMES[132] == "right_pinky_finger4"
    assert layout.UPPER_BODY["right_hip"] == layout.RIGHT_HIP


def test_ranges_cover_every_keypoint_once() -> None:
    covered = np.concatenate([np.arange(layout.K)[part] for part in layout.RANGES.values()])
    assert covered.tolist() == list(range(layout.K))
    assert (layout.MOUTH.start, layout.MOUTH.stop) == (layout.OUTER_LIPS.start, layout.INNER_LIPS.stop)


def test_mirror_is_its_own_inverse_and_swaps_sides() -> None:
    assert (layout.MIRROR[layout.MIRROR] == np.arange(layout.K)).all()
    for a, b in enumerate(layout.MIRROR):
        assert layout.NAMES[a].replace("left", "right") == layout.NAMES[b].replace("left", "right") or 23 <= a < 91
    assert layout.MIRROR[layout.CHIN] == layout.CHIN
    assert set(layout.MIRROR[layout.MOUTH]) == set(range(71, 91))
    assert (layout.MIRROR[layout.LEFT_BROW] == np.arange(40, 45)[::-1]).all()


def test_mirror_of_a_symmetric_face_leaves_it() -> None:
    x = np.array([-8 + i for i in range(17)], float)  # the jaw from the person's right, which is the picture's left
    face = np.zeros((layout.K, 2))
    face[layout.JAW, 0] = x
    mirrored = face[layout.MIRROR] * [-1, 1]
    np.testing.assert_array_equal(mirrored[layout.JAW], face[layout.JAW])


def test_edges_join_neighbours() -> None:
    assert len(layout.HAND_EDGES) == 20
    assert layout.HAND_EDGES[4] == (0, 5)
    assert {joint for edge in layout.HAND_EDGES for joint in edge} == set(range(21))
    assert {joint for edge in layout.FACE_EDGES for joint in edge} == set(range(68))
    assert len(layout.OPENPOSE_EDGES) == 17


def test_openpose_18() -> None:
    keypoints = np.stack([np.arange(layout.K), np.arange(layout.K)], -1).astype(float)
    scores = np.linspace(0, 1, layout.K)
    joints, joint_scores = layout.openpose_18(keypoints, scores)
    assert joints[:, 0].tolist() == [0, 5.5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    assert joint_scores[1] == scores[5]


def test_what_is_visible_is_there_and_scored() -> None:
    keypoints, scores = np.ones((2, layout.K, 2), np.float32), np.full((2, layout.K), 0.3, np.float64)
    keypoints[0, 1, 0] = np.nan
    scores[1, 2] = 0.29
    found = layout.visible(keypoints, scores, 0.3)
    assert found.dtype == np.float64
    assert np.argwhere(~layout.seen(found)).tolist() == [[0, 1], [1, 2]]
    assert np.isnan(found[1, 2]).all()
    assert layout.seen(layout.visible(keypoints, scores, 0.2)).sum() == 2 * layout.K - 1
