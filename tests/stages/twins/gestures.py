"""Films of somebody who gestures in a studio, with known truth, and their rows of `clips`."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.media.shots.motion_print import MotionPrint

HEIGHT, WIDTH, FPS = 72, 128, 25
Film = npt.NDArray[np.uint8]  # (frames, HEIGHT, WIDTH)


def studio(seed: int) -> npt.NDArray[np.float32]:
    """A wall with things on it."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 200, (6, 8)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), np.float32)


def gestures(seed: int, seconds: float, room: int = 0, speed: float = 1.0) -> Film:
    """A head and two hands before a wall, each on its own way; another seed is another talk in the same room."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * FPS / speed)
    time = speed * np.arange(frames) / FPS
    film = np.repeat(studio(room)[None], frames, 0)
    for x, y, reach in ((64, 24, 3), (44, 56, 12), (86, 56, 12)):
        knots = np.cumsum(rng.uniform(0.15, 0.6, round(8 * seconds) + 8)) - 1
        way = [np.interp(time, knots, rng.normal(0, reach / 2, len(knots))) for _ in range(2)]
        for n in range(frames):
            at = (round(x + way[0][n], 3), round(y + way[1][n], 3))
            spot = tuple(round(16 * value) for value in at)
            cv2.circle(film[n], spot, 16 * 9, 230.0, -1, cv2.LINE_AA, 4)
    return np.asarray(np.clip(film, 0, 255), np.uint8)


def coded(film: Film, seed: int = 0) -> Film:
    """As a coarse encoder leaves it: softer, noisier."""
    noise = np.random.default_rng(seed).normal(0, 3, film.shape)
    soft = np.stack([cv2.GaussianBlur(picture, (0, 0), 1) for picture in film])
    return np.asarray(np.clip(soft + noise, 0, 255), np.uint8)


def rows(film: Film, video: str, cuts: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Its clips: one a shot, of at least a frame."""
    prints = MotionPrint()
    for n, picture in enumerate(film):
        prints.see(n, picture)
    spans = zip((0, *cuts), (*cuts, len(film)), strict=True)
    return [
        {
            "video_id": video,
            "first_frame": first,
            "frames": end - first,
            "motion_print": prints.motion(first, end, first),
            "scene_print": prints.scene(first, end),
        }
        for first, end in spans
    ]
