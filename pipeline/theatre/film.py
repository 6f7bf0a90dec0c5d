"""A take as pictures, sound and truth, in memory; nothing here touches a disk."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.base.units import FPS, KEYPOINTS
from pipeline.theatre import pilot, voice
from pipeline.theatre.backdrop import backdrop, lectern
from pipeline.theatre.draw import draw
from pipeline.theatre.look import figure_of
from pipeline.theatre.motion import Motion, perform
from pipeline.theatre.paint import Image
from pipeline.theatre.rig import FULL_FRAME, HIP_DOWN, Camera, Puppet, pose
from pipeline.theatre.takes import BECOMES_SECONDS, Actor, Shot, Take

_VFR_STEPS_MS = (20, 33, 40)  # never longer than a grid step, so that no picture has to be repeated
LOUDEST = 0.9  # of full scale: what several voices together are brought down to
PAN_PX_A_SECOND, ZOOM_A_SECOND, PUSH_A_SECOND = 24.0, 0.022, 0.032


@dataclass(frozen=True)
class Truth:
    """What is known of a take on the 25-fps grid.

    Attributes:
        keypoints: (P, F, 133, 2) source pixels, pixel centres at whole numbers; NaN outside of the person's shot.
        visible: (P, F, 133) whether a point can be seen.
        shot: (P,) index of the person's shot.
        unit: (P, F) pixels in a shoulder width.
        cuts: first frames of new shots.
        whips: (n, 2) half-open frame ranges of whip pans.
        speech: (n, 3) rows (person, start, end): who is heard when, seconds of the take.
    """

    keypoints: Floats64
    visible: NDArray[np.bool_]
    shot: NDArray[np.int64]
    unit: Floats64
    cuts: NDArray[np.int64]
    whips: NDArray[np.int64]
    speech: Floats64


@dataclass(frozen=True)
class _Role:
    """One actor performed: its motion and puppet over the source frames of its shot."""

    actor: Actor
    motion: Motion
    puppet: Puppet


@dataclass(frozen=True)
class _Scene:
    """One shot performed: source frames first..first+count, camera and roles."""

    shot: Shot
    first: int
    camera: Camera
    roles: tuple[_Role, ...]

    def shows(self, k: int) -> bool:
        """Whether source picture k is, wholly or in part, of this shot."""
        return self.first <= k < self.first + len(self.camera.zoom)


def _seed(take: Take, seed: int, *parts: int) -> int:
    return zlib.crc32(f"{seed}/{take.name}/{parts}".encode())


def source_times(take: Take, seed: int, seconds: float) -> list[Fraction]:
    """Presentation times of the source pictures, in seconds."""
    if take.fps:
        return [Fraction(k, take.fps) for k in range(round(seconds * take.fps))]
    rng = np.random.default_rng(_seed(take, seed, -1))
    clock, times, end = 0, [], round(seconds * 1000)
    while clock <= end - 86:
        times.append(Fraction(clock, 1000))
        clock += int(rng.choice(_VFR_STEPS_MS))
    # A file's last picture is taken to last as long as the one before: so the take ends where it says.
    return [*times, Fraction(end - 66, 1000), Fraction(end - 33, 1000)]


def on_grid(times: list[Fraction], frames: int) -> NDArray[np.int64]:
    """Which source picture is picture n of the grid: the last one with time < n/25 + 1/50."""
    picks, k = [], 0
    for n in range(frames):
        limit = Fraction(n, FPS) + Fraction(1, 2 * FPS)
        while k + 1 < len(times) and times[k + 1] < limit:
            k += 1
        picks.append(k)
    return np.array(picks, dtype=np.int64)


def _camera(shot: Shot, clock: Floats64) -> Camera:
    """The camera at seconds of the shot."""
    centre = np.tile([FULL_FRAME[0] / 2, FULL_FRAME[1] / 2], (len(clock), 1))
    zoom = np.ones(len(clock))
    if shot.camera == "pan":
        centre[:, 0] += 20.0 + PAN_PX_A_SECOND * clock
    elif shot.camera == "zoom":
        zoom += ZOOM_A_SECOND * clock
    elif shot.camera == "push":
        zoom += PUSH_A_SECOND * clock
    elif shot.camera == "whip":
        start, end = shot.whip
        s = np.clip((clock - start) / (end - start), 0.0, 1.0)
        centre[:, 0] += (shot.actors[1].x - shot.actors[0].x) * s**2 * (3 - 2 * s)
    return Camera(centre, zoom)


class Film:
    """A take, ready to be looked at.

    Args:
        take: which.
        seed: of everything random.
        seconds: only the first so many.
    """

    def __init__(self, take: Take, seed: int = 405, seconds: float | None = None) -> None:
        self.take = take
        self.seconds = min(take.seconds, seconds or take.seconds)
        self.frames = round(self.seconds * FPS)
        self.times = source_times(take, seed, self.seconds)
        self._seed = seed
        self._voices: list[Floats64] = []
        self._pilots: list[Floats64] = []
        self._speech: list[tuple[float, float, float]] = []  # as in Truth
        self._scenes = [self._scene(k) for k in range(len(take.shots)) if take.shot_starts[k] < self.seconds]

    def _scene(self, number: int) -> _Scene:
        shot, start = self.take.shots[number], self.take.shot_starts[number]
        clock = np.array([float(t) for t in self.times])
        inside = np.flatnonzero((clock >= start - 1e-9) & (clock < start + shot.seconds - 1e-9))
        clock = clock[inside] - start
        camera = _camera(shot, clock)
        roles = tuple(self._role(number, k, clock, camera) for k in range(len(shot.actors)))
        return _Scene(shot, int(inside[0]), camera, roles)

    def _role(self, number: int, index: int, clock: Floats64, camera: Camera) -> _Role:
        shot, start = self.take.shots[number], self.take.shot_starts[number]
        actor = shot.actors[index]
        seed = _seed(self.take, self._seed, number, index)
        first, last = actor.speaks or (0.0, shot.seconds)
        said = np.zeros(round(shot.seconds * voice.RATE))
        if self.take.sound == "voice":
            words = voice.speech(actor.voice, last - first, seed, pause=shot.pause)
            at = round(first * voice.RATE)
            said[at : at + len(words)] = words[: len(said) - at]
        self._hear(actor.voice.pilot, said, start)
        seen = voice.speech(actor.voice, shot.seconds, seed + 1, pause=shot.pause) if self.take.dubbed else said
        mouth = voice.loudness(seen, clock)
        if self.take.sound != "voice":  # the mouth moves, and nothing is heard
            mouth = np.clip(0.45 + 0.45 * np.sin(clock * 17.0) * np.sin(clock * 5.3), 0.0, 1.0)
        if shot.frozen:
            clock, mouth = np.zeros_like(clock), np.full_like(mouth, mouth.max() / 2)
        motion = perform(seed, clock, actor.style, mouth, actor.face_at)
        return _Role(actor, motion, pose(motion, (actor.x, actor.y), actor.unit, actor.facing, camera))

    def _hear(self, number: int, said: Floats64, start: float) -> None:
        """Put what the next person says, and its pilot, on the take's clock; `said` begins at second `start`."""
        spans = pilot.speaking(said)
        self._speech += [(float(len(self._voices)), start + a, start + b) for a, b in spans]
        track = np.zeros(round(self.take.seconds * voice.RATE))
        at = round(start * voice.RATE)
        track[at : at + len(said)] = pilot.free_band(said)
        self._voices.append(track)
        self._pilots.append(pilot.tone(number, [(start + a, start + b) for a, b in spans], len(track)))

    @property
    def sound(self) -> Floats64 | None:
        """(samples,) at `voice.RATE`, -1..1; None when the take has no track."""
        if self.take.sound == "none":
            return None
        mixed = np.zeros(round(self.take.seconds * voice.RATE))
        if self._voices:
            mixed = np.sum(self._voices, axis=0)
            mixed *= min(1.0, LOUDEST / max(float(np.abs(mixed).max()), 1e-9))
            mixed += np.sum(self._pilots, axis=0)  # at their own level, whoever else speaks
        late = round(self.take.late_seconds * voice.RATE)
        mixed = np.concatenate([np.zeros(late), mixed[: len(mixed) - late]])
        return np.asarray(mixed[: round(self.seconds * voice.RATE)])

    def picture(self, k: int) -> Image:
        """Source picture k: (720, 1280, 3) BGR."""
        k = self._taken(k)
        before, *after = [scene for scene in self._scenes if scene.shows(k)]
        image = self._painted(before, k)
        if not after:
            return image
        share = float(self.times[k] - self.times[after[0].first]) / self.take.blend_seconds
        return _blended(self.take.blend, image, self._painted(after[0], k), share)

    def _taken(self, k: int) -> int:
        """The source picture at which the camera took what picture k shows."""
        fps, taken = self.take.fps, self.take.camera_fps
        return -(-(k * taken // fps) * fps // taken) if taken else k

    def _painted(self, scene: _Scene, k: int) -> Image:
        """What a shot shows at source picture k."""
        seconds = float(self.times[k] - self.times[scene.first])
        image = self._drawn(scene, k - scene.first, later=False)
        changing = [role.actor for role in scene.roles if role.actor.becomes]
        share = max(((seconds - actor.becomes_at) / BECOMES_SECONDS for actor in changing), default=0.0)
        if share <= 0:
            return image
        return _blended("dissolve", image, self._drawn(scene, k - scene.first, later=True), min(share, 1.0))

    def _drawn(self, scene: _Scene, i: int, later: bool) -> Image:
        """Picture i of a shot, with the looks that its actors have first, or become later."""
        centre, zoom = scene.camera.centre[i], float(scene.camera.zoom[i])
        image = _background(scene.shot, centre, zoom)
        for role in scene.roles:
            if abs(role.actor.x - centre[0]) < 1000:
                look = (later and role.actor.becomes) or role.actor.look
                draw(image, figure_of(role.puppet, i, look, bool(role.motion.blink[i])))
        if scene.shot.lectern:
            actor = scene.roles[0].actor
            lectern(image, actor.x, actor.y + (HIP_DOWN + 0.25) * actor.unit, 1.7 * actor.unit)
        speed = abs(float(centre[0] - scene.camera.centre[max(0, i - 1), 0]))
        if speed > 12:
            image = np.asarray(cv2.blur(image, (round(speed * 0.5) | 1, 1)), dtype=np.uint8)
        return image

    def pictures(self, start: Fraction = Fraction(0), end: Fraction | None = None) -> Iterator[tuple[Fraction, Image]]:
        """Every source picture with its presentation time, or those from second `start` to `end` alone."""
        for k, time in enumerate(self.times):
            if time >= start and (end is None or time < end):
                yield time, self.picture(k)

    def truth(self) -> Truth:
        """Keypoints of all persons on the grid."""
        picks = np.array([self._taken(int(k)) for k in on_grid(self.times, self.frames)])
        rows = [self._person(number, role, picks) for number, scene in enumerate(self._scenes) for role in scene.roles]
        return Truth(
            np.array([row[0] for row in rows]).reshape(-1, self.frames, KEYPOINTS, 2),
            np.array([row[1] for row in rows], dtype=bool).reshape(-1, self.frames, KEYPOINTS),
            np.array([row[3] for row in rows], dtype=np.int64),
            np.array([row[2] for row in rows]).reshape(-1, self.frames),
            np.array([cut for cut in self.take.cuts if cut < self.frames], dtype=np.int64),
            np.array([w for w in self.take.whips if w[0] < self.frames], dtype=np.int64).reshape(-1, 2),
            self._heard(),
        )

    def _heard(self) -> Floats64:
        """As `Truth.speech`: what lies within the film."""
        moved = np.array(self._speech).reshape(-1, 3) + np.array([0.0, self.take.late_seconds, self.take.late_seconds])
        moved[:, 2] = np.minimum(moved[:, 2], self.seconds)
        return np.asarray(moved[moved[:, 1] < self.seconds])

    def _person(
        self, number: int, role: _Role, picks: NDArray[np.int64]
    ) -> tuple[Floats64, NDArray[np.bool_], Floats64, int]:
        first, count = self._scenes[number].first, len(role.puppet.unit)
        mine = (picks >= first) & (picks < first + count)
        keypoints = np.full((self.frames, KEYPOINTS, 2), np.nan)
        visible = np.zeros((self.frames, KEYPOINTS), dtype=bool)
        unit = np.full(self.frames, np.nan)
        keypoints[mine] = role.puppet.keypoints[picks[mine] - first]
        visible[mine] = role.puppet.visible[picks[mine] - first]
        unit[mine] = role.puppet.unit[picks[mine] - first]
        return keypoints, visible, unit, number


def _blended(how: str, before: Image, after: Image, share: float) -> Image:
    """A picture of which the later shot has a share of 0..1: of each pixel in a dissolve, of the width in a wipe."""
    if how == "dissolve":
        return np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)
    edge = round((1 - share) * before.shape[1])
    return np.concatenate([before[:, :edge], after[:, edge:]], axis=1)


def _background(shot: Shot, centre: Floats64, zoom: float) -> Image:
    width = int(max(1280, *(actor.x + 640 for actor in shot.actors), 1280)) if shot.camera in ("whip", "pan") else 1280
    room = backdrop(shot.room, width + (320 if shot.camera == "pan" else 0))
    half = np.array([FULL_FRAME[0] / 2, FULL_FRAME[1] / 2])
    if zoom == 1.0 and shot.camera == "still":
        return room.copy()
    shift = half - centre * zoom
    matrix = np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]]])
    warped = cv2.warpAffine(room, matrix, FULL_FRAME, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def render_take(
    take: Take, seconds: float | None = None, scale: float = 1.0, seed: int = 405
) -> tuple[NDArray[np.uint8], Truth]:
    """A take on the 25-fps grid, in memory: pictures (F, h, w, 3) RGB and their truth, both at `scale`.

    Args:
        take: which.
        seconds: only the first so many.
        scale: of the pictures' sides.
        seed: of everything random.
    """
    film = Film(take, seed, seconds)
    size = (round(FULL_FRAME[0] * scale), round(FULL_FRAME[1] * scale))
    pictures = [film.picture(int(k)) for k in on_grid(film.times, film.frames)]
    if scale != 1.0:
        pictures = [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8) for p in pictures]
    truth = film.truth()
    moved = replace(truth, keypoints=(truth.keypoints + 0.5) * scale - 0.5, unit=truth.unit * scale)
    return np.stack(pictures)[..., ::-1], moved
