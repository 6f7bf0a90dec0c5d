"""Released poses with known truth: skeletons in source pixels, and the arrays and archives that a release would make of them."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.skeleton import layout
from pipeline.skeleton.crop import map_points
from tests.pipeline.skeleton.people import person

NAME = "YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717"
RELEASED_NAME = "YqnhRPq2Hq0_0_00_05_51_920_00_06_04_717"
BOX = (280, 0, 1000, 720)  # of 1280x720


def truth(frames: int = 30, box: tuple[int, int, int, int] = BOX, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(F, 133, 2) pixels of 1280x720 and scores of a speaker who gestures in the middle of a crop; legs, and one hand for a
    while, are missing."""
    x1, y1, x2, y2 = box
    side = max(x2 - x1, y2 - y1)
    points, scores = person(frames, side * 0.3, (x1 + x2) / 2, (y1 + y2) / 2 - 0.1 * side)
    face = layout.FACE.start
    angle = np.linspace(np.pi, 0, 17)
    middle = points[:, layout.NOSE, None]
    points[:, face : face + 17] = middle + side * 0.06 * np.stack([np.cos(angle), np.sin(angle)], -1)  # jaw
    points[:, face + 17 : face + 27] = middle + side * np.stack([np.linspace(-0.05, 0.05, 10), np.full(10, -0.06)], -1)
    rng = np.random.default_rng(seed)
    rhythm, phase = rng.uniform(0.2, 1.5, layout.K), rng.uniform(0, 6, layout.K)
    points = points + 0.005 * side * np.sin(2 * np.pi * rhythm * np.arange(frames)[:, None] / 25 + phase)[..., None]
    scores = scores * rng.uniform(0.6, 1, scores.shape)
    lost = np.zeros(scores.shape, bool)
    lost[:, layout.LEFT_KNEE : layout.FEET.stop] = True
    lost[5:9, layout.LEFT_HAND] = True
    return np.where(lost[..., None], np.nan, points), np.where(lost, 0, scores)


def with_neck(points: np.ndarray, scores: np.ndarray, order: str = "neck_first") -> np.ndarray:
    """(F, 133, 2) and (F, 133) -> (F, 134, 3)."""
    values = np.concatenate([points, scores[..., None]], -1)
    shoulders = values[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]]
    neck = np.concatenate([shoulders[..., :2].mean(1), shoulders[..., 2:].min(1)], -1)[:, None]
    if order == "neck_first":
        return np.concatenate([neck, values], 1)
    # DWPose: the neck goes in behind the body, then the first 18 are put into OpenPose's order.
    drawn = np.insert(values, 17, neck[:, 0], axis=1)
    mmpose = [17, 6, 8, 10, 7, 9, 12, 14, 16, 13, 15, 2, 1, 4, 3]
    openpose = [1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17]
    drawn[:, openpose] = drawn[:, mmpose]
    return drawn


def released(
    points: np.ndarray,
    scores: np.ndarray,
    space: str = "crop_signed",
    order: str = "neck_first",
    box: tuple[int, int, int, int] = BOX,
) -> np.ndarray:
    """(F, 134, 3) of one person in a space; missing points have confidence 0 and lie where that space leaves them."""
    poses = with_neck(points, scores, order)
    place = poses[..., :2]
    if space.startswith("crop"):
        place = map_points(place, box)
        place = {"crop_signed": place / 256 - 1, "crop_unit": place / 512, "crop_pixels": place}[space]
    elif space == "source_unit":
        place = place / [1280, 720]
    return np.concatenate([np.nan_to_num(place, nan=-1.0 if space == "crop_signed" else 0.0), poses[..., 2:]], -1)


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=pickled)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=True, **arrays)
    return out.getvalue()


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def split(path: Path, size: int, suffixes: list[str]) -> list[Path]:
    """Cut a file into parts, as `split -b` does; the whole goes."""
    data = path.read_bytes()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert len(pieces) <= len(suffixes), f"{len(pieces)} parts"
    paths = [path.with_name(f"{path.name}.part{suffix}") for suffix in suffixes[: len(pieces)]]
    for part, piece in zip(paths, pieces, strict=True):
        part.write_bytes(piece)
    path.unlink()
    return paths
