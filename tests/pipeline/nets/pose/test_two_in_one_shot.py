"""Two people in one shot whom the tracker would join come out as two tracks; one person stays one."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.nets.pose.whole_body import PersonTrack, annotate_frames
from pipeline.skeleton import layout
from pipeline.skeleton.layout import K

WIDTH, HEIGHT = 480, 320
Colour = tuple[int, int, int]
RED, BLUE, FAIR, DEEP = (200, 80, 60), (60, 90, 190), (235, 190, 160), (120, 80, 60)


@dataclass
class Somebody:
    """A planted person: where the neck is in which frames, how large, and what is worn."""

    path: dict[int, tuple[float, float]]
    wear: Colour
    skin: Colour
    size: float | dict[int, float] = 1.0
    hidden: set[int] = field(default_factory=set)  # frames in which the detector misses them

    def points(self, n: int) -> np.ndarray:
        turn, points = np.linspace(0, np.pi, 17), np.full((K, 2), np.nan)
        points[: layout.RIGHT_HIP + 1] = (0, 30)
        points[layout.NOSE], points[1:5] = (0, -50), ((12, -60), (-12, -60), (30, -55), (-30, -55))
        points[layout.FACE] = (0, -45)
        points[layout.JAW] = np.stack([-30 * np.cos(turn), -50 + 35 * np.sin(turn)], 1)
        points[layout.RIGHT_BROW.start : layout.LEFT_BROW.stop] = (0, -72)
        points[[5, 6, 7, 8, 11, 12]] = ((70, 5), (-70, 5), (80, 70), (-80, 70), (45, 120), (-45, 120))
        return np.array(self.path[n]) + self.scale(n) * points

    def scale(self, n: int) -> float:
        return self.size[n] if isinstance(self.size, dict) else self.size

    def box(self, n: int) -> list[float]:
        (x, y), s = self.path[n], self.scale(n)
        return [x - 85 * s, y - 90 * s, x + 85 * s, y + 130 * s, 0.9]

    def paint(self, picture: np.ndarray, n: int) -> None:
        (x, y), s = self.path[n], self.scale(n)
        for colour, (x1, y1, x2, y2) in ((self.wear, (-75, 0, 75, 130)), (self.skin, (-32, -88, 32, -12))):
            left, top, right, bottom = (round(max(0, v)) for v in (x + x1 * s, y + y1 * s, x + x2 * s, y + y2 * s))
            picture[top:bottom, left:right] = colour


class Shot:
    """Frames, detector and pose net at once: the last of the people stands in front, and hides whoever is behind."""

    batch, lanes = 8, 1

    def __init__(self, *people: Somebody, count: int, flash: range = range(0)) -> None:
        self.people, self.count, self.flash = people, count, flash

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        for n in range(self.count):
            picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
            for person in self.here(n):
                person.paint(picture, n)
            picture = np.full_like(picture, 250) if n in self.flash else picture
            picture[0, 0] = n
            yield n, picture

    def here(self, n: int) -> list[Somebody]:
        return [person for person in self.people if n in person.path]

    def detect(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [np.array(self._boxes(int(p[0, 0, 0])), np.float32).reshape(-1, 5) for p in pictures]

    def _boxes(self, n: int) -> list[list[float]]:
        return [person.box(n) for person in self.here(n) if n not in person.hidden and not self._covered(person, n)]

    def _covered(self, person: Somebody, n: int) -> bool:
        here = self.here(n)
        front = here[here.index(person) + 1 :]
        return any(abs(other.path[n][0] - person.path[n][0]) < 60 for other in front)

    def prepare_crop(self, picture: np.ndarray, box: np.ndarray) -> tuple[int, float]:
        return int(picture[0, 0, 0]), float(box[0] + box[2]) / 2

    def run(self, crops: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
        points, scores = np.full((len(crops), K, 2), np.nan, np.float32), np.zeros((len(crops), K), np.float32)
        for row, (n, middle) in enumerate(crops):
            seen = [person for person in self.here(n) if not self._covered(person, n)]
            near = min(seen, key=lambda person: abs(person.path[n][0] - middle), default=None)
            if near is not None and abs(near.path[n][0] - middle) < 90:
                points[row], scores[row] = near.points(n), np.where(np.isnan(near.points(n)).any(-1), 0, 0.9)
        return points, scores

    def tracks(self) -> list[PersonTrack]:
        return annotate_frames(self.frames(), self, self)

    def shares(self, track: PersonTrack) -> list[float]:
        """Of the frames in which a track is seen, the share that shows each person."""
        frames = np.flatnonzero(track.seen)
        found = track.keypoints[frames, layout.NOSE]
        return [
            float(np.mean([n in p.path and np.allclose(p.points(n)[0], at, atol=1) for n, at in zip(frames, found, strict=True)]))
            for p in self.people
        ]  # fmt: skip


def stands(first: int, stop: int, x: float = 240, speed: float = 0.0) -> dict[int, tuple[float, float]]:
    return {n: (x + speed * (n - first), 130.0) for n in range(first, stop)}


def test_a_cut_between_two_speakers_of_one_framing() -> None:
    shot = Shot(Somebody(stands(0, 53), RED, FAIR), Somebody(stands(53, 120, 236), BLUE, DEEP), count=120)
    tracks = shot.tracks()
    assert [np.flatnonzero(track.seen)[[0, -1]].tolist() for track in tracks] == [[0, 52], [53, 119]]


def test_who_was_joined_by_a_cut_and_looks_alike_stays_joined() -> None:
    """Nothing tells them apart without a net: `same_face` is for them."""
    shot = Shot(Somebody(stands(0, 53), RED, FAIR), Somebody(stands(53, 120), RED, FAIR), count=120)
    assert len(shot.tracks()) == 1


@pytest.mark.parametrize("speed", [4, 7, 12])
def test_somebody_who_walks_in_front(speed: int) -> None:
    speaker = Somebody(stands(0, 160), RED, FAIR)
    crosses = {n: at for n, at in stands(20, 160, -60, speed).items() if -60 <= at[0] <= WIDTH + 60}
    shot = Shot(speaker, Somebody(crosses, BLUE, DEEP, 1.25), count=160)
    shares = [shot.shares(track) for track in shot.tracks()]
    print(shares)
    assert any(of_speaker > 0.97 for of_speaker, _ in shares)
    assert all(max(both) > 0.97 or min(both) == 0 for both in shares), "no track shows two people"


@pytest.mark.parametrize(
    ("somebody", "flash", "what"),
    [
        (Somebody(stands(0, 120), RED, FAIR), range(0), "stands"),
        (Somebody(stands(0, 120), RED, FAIR), range(50, 58), "a flash"),
        (Somebody(stands(0, 120, 120, 2), RED, FAIR), range(0), "walks"),
        (Somebody(stands(0, 120), RED, FAIR, hidden=set(range(41, 60))), range(0), "is detected again"),
        (Somebody(stands(0, 120), RED, FAIR, {n: 0.8 + 0.006 * n for n in range(120)}), range(0), "a zoom"),
        (Somebody(stands(0, 120), RED, FAIR, {n: 1 + 0.5 * min(max(n - 50, 0) / 12, 1) for n in range(120)}), range(0), "leans in"),
    ],
)  # fmt: skip
def test_one_person_stays_one(somebody: Somebody, flash: range, what: str) -> None:
    [track] = Shot(somebody, count=120, flash=flash).tracks()
    assert track.seen.mean() > 0.85, what
