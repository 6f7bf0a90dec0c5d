"""Patches: to the bit what the picture had, found by what they cover, and never taken for whole when they are damaged."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.media import patches as patch_file
from pipeline.media.patches import DamagedPatches, Patch, Patches

SIZE = (97, 61)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "box", [None, (-5, -9, 40, 30), (90, 50, 400, 400), (10, 20, 11, 21), (3, 0, 4, 61), (0, 7, 97, 8)]
)
def test_a_patch_is_what_the_picture_had_there(box: tuple[int, int, int, int] | None) -> None:
    patch, whole = Patch.of(3, picture(), box), picture()
    part = whole[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width]
    assert patch.n == 3 and np.array_equal(patch.pixels(), part) and patch.pixels().flags.writeable
    if box:
        x1, y1, x2, y2 = box
        assert (patch.width, patch.height) == (min(x2, 97) - max(x1, 0), min(y2, 61) - max(y1, 0))


def test_smooth_pictures_take_little() -> None:
    y, x = np.mgrid[:200, :200]
    smooth = np.stack([x + y, 2 * x, y], -1).astype(np.uint8)
    assert len(Patch.of(0, smooth).data) < smooth.nbytes / 50


def test_a_box_beside_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        Patch.of(0, picture(), (97, 0, 120, 20))


def test_what_covers_a_box_is_found() -> None:
    small, large = Patch.of(2, picture(), (10, 10, 20, 20)), Patch.of(2, picture(), (0, 0, 50, 50))
    found = Patches(5, SIZE, (small, large, Patch.of(4, picture(1))))
    assert found.covering(2, (12, 12, 20, 20)) is small and found.covering(2, (12, 12, 21, 20)) is large
    assert found.covering(2, (-30, -30, 9, 9)) is large, "what lies outside of the picture need not be kept"
    assert found.covering(2, (0, 0, 51, 50)) is None and found.covering(3, (0, 0, 1, 1)) is None
    whole = found.whole(4)
    assert whole is not None and np.array_equal(whole, picture(1)) and found.whole(2) is None
    around = found.around(2, (12, 12, 40, 40))
    assert around is not None and np.array_equal(around[:50, :50], picture()[:50, :50]) and not around[50:].any()
    assert found.around(2, (12, 12, 60, 40)) is None


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    found = Patches(9, SIZE, (Patch.of(0, picture(), (1, 2, 30, 40)), Patch.of(8, picture(2))))
    for kept in (found, Patches(0, SIZE, ())):
        patch_file.write(tmp_path / "x", kept)
        assert patch_file.read(tmp_path / "x") == kept


@pytest.mark.parametrize("at", [0, 9, 30, 60, 80, 200, -1])
def test_a_flipped_bit_is_found(tmp_path: Path, at: int) -> None:
    patch_file.write(
        tmp_path / "x", Patches(9, SIZE, (Patch.of(0, picture(), (1, 2, 30, 40)), Patch.of(8, picture(2))))
    )
    content = bytearray((tmp_path / "x").read_bytes())
    content[at] ^= 4
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DamagedPatches):
        patch_file.read(tmp_path / "x")


@pytest.mark.parametrize("length", [0, 5, 24, 40, 90, 500])
def test_a_file_that_was_cut_short_is_found(tmp_path: Path, length: int) -> None:
    patch_file.write(
        tmp_path / "x", Patches(9, SIZE, (Patch.of(0, picture(), (1, 2, 30, 40)), Patch.of(8, picture(2))))
    )
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:length])
    with pytest.raises(DamagedPatches):
        patch_file.read(tmp_path / "x")
