"""The preview shows the picture, both skeletons and the film's box, for every back-end and however much is missing."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.backends.job import Options
from pipeline.backends.preview import WIDTH_PX, preview, write_preview
from pipeline.backends.run import BACKENDS, backend
from pipeline.skeleton.align import compare
from tests.pipeline.backends.fakes import job


@pytest.mark.parametrize("name", list(BACKENDS))
def test_every_back_end_has_one(tmp_path: Path, name: str) -> None:
    work = job(20)
    view = backend(name).view(work, Options())
    write_preview(tmp_path / "preview.png", work, view, compare(work.keypoints, work.reference), name)
    made = cv2.imread(str(tmp_path / "preview.png"))[..., ::-1]
    assert made.shape[1] == WIDTH_PX and 400 < made.shape[0] < 1600
    assert (np.abs(made.astype(int) - [255, 214, 10]).max(-1) < 12).any(), "the yellow frame"


def test_warnings_and_notes_make_it_longer_and_orange() -> None:
    work = job(20)
    view = backend("skeleton").view(work, Options())
    off = replace(work, keypoints=work.keypoints * 0.7)
    plain = preview(work, view, compare(work.keypoints, work.reference), "skeleton")
    warned = preview(off, view, compare(off.keypoints, work.reference), "skeleton", ["as it was generated \u2713"])
    assert warned.shape[0] > plain.shape[0]

    def orange(picture: np.ndarray) -> int:
        return int((np.abs(picture[:195].astype(int) - [255, 178, 84]).max(-1) < 12).sum())

    assert orange(warned) > 100 and orange(plain) == 0


def test_what_is_not_seen_does_no_harm() -> None:
    work = job(5)
    nobody = replace(
        work, keypoints=np.full_like(work.keypoints, np.nan), reference=np.full_like(work.reference, np.nan)
    )
    view = backend("stableanimator").view(nobody, Options())
    assert preview(nobody, view, compare(nobody.keypoints, nobody.reference), "stableanimator").shape[1] == WIDTH_PX


def test_a_box_far_outside_leaves_the_picture_to_be_seen() -> None:
    work = job(5)
    view = replace(backend("skeleton").view(work, Options()), box=(-90_000, -90_000, 90_000, 90_000))
    assert preview(work, view, compare(work.keypoints, work.reference), "skeleton").shape[0] < 1600
