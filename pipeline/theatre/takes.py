"""The programme: every take with its cast, camera, sound, and the verdict that it deserves."""

from dataclasses import dataclass, field

from pipeline.base.reasons import Reason
from pipeline.base.units import FPS
from pipeline.theatre.cast import Look, Voice

BECOMES_SECONDS = 0.4


@dataclass(frozen=True)
class Actor:
    """A puppet in a shot.

    Attributes:
        look, voice: of whom.
        x, y: the neck's place in world pixels.
        unit: shoulder width in world pixels.
        facing: degrees, 0 to us, 90 to the right edge, 180 away.
        style: a key of `motion.STYLES`.
        speaks: seconds of the shot during which it has the word; None means all of it.
        face_at: second of the shot at which a hand comes before the face.
        becomes, becomes_at: another look that takes its place, within `BECOMES_SECONDS` from that second of the shot.
    """

    look: Look
    voice: Voice
    x: float = 640.0
    y: float = 342.0
    unit: float = 212.0
    facing: float = 0.0
    style: str = "talk"
    speaks: tuple[float, float] | None = None
    face_at: float | None = None
    becomes: Look | None = None
    becomes_at: float = 0.0


@dataclass(frozen=True)
class Shot:
    """What one camera sees without a cut.

    Attributes:
        seconds: length, a multiple of 1/25.
        actors: from left to right.
        room: a backdrop's name.
        camera: still, pan, zoom, push (a faster zoom) or whip (within `whip` seconds, from the first actor to the second).
        whip: start and end second of the whip pan.
        lectern: a lectern hides the legs.
        frozen: nobody moves, as in a photograph; the camera may.
    """

    seconds: float
    actors: tuple[Actor, ...]
    room: str = "study"
    camera: str = "still"
    whip: tuple[float, float] = (0.0, 0.0)
    lectern: bool = False
    pause: float = 0.45
    frozen: bool = False


@dataclass(frozen=True)
class Take:
    """One file of the demo and what the pipeline should make of it.

    Attributes:
        name: file name without suffix.
        title: a line for people.
        shots: in order.
        verdict: keep or drop, for every person of every clip.
        reasons: codes that a dropped take must carry.
        may: codes that may come along with them.
        clips: clips expected after splitting.
        fps: source frames a second; 0 means variable.
        suffix: container.
        late_seconds: by which the sound comes after the pictures.
        dubbed: mouths say something else than what is heard.
        sound: voice, silence (a track of zeros) or none (no track).
        kept_bytes: share of the file's bytes that is left.
        blend: how a shot gives way to the next: dissolve or wipe; "" for a cut.
        blend_seconds: in which it does.
        camera_fps: pictures that the camera takes a second, each written until the next one; 0 for all.
        transfer: pq for an HDR file; "" for an ordinary one.
        restarts: each shot is a file with a clock of its own, and they are joined byte by byte.
    """

    name: str
    title: str
    shots: tuple[Shot, ...]
    verdict: str = "keep"
    reasons: frozenset[str] = field(default_factory=frozenset)
    may: frozenset[str] = field(default_factory=frozenset)
    clips: int = 1
    fps: int = FPS
    suffix: str = ".mp4"
    sound: str = "voice"
    late_seconds: float = 0.0
    dubbed: bool = False
    kept_bytes: float = 1.0
    blend: str = ""
    blend_seconds: float = 0.0
    camera_fps: int = 0
    transfer: str = ""
    restarts: bool = False

    @property
    def file(self) -> str:
        """File name with suffix."""
        return self.name + self.suffix

    @property
    def seconds(self) -> float:
        """Length as written (before bytes were taken away)."""
        return sum(shot.seconds for shot in self.shots) - self.blend_seconds * (len(self.shots) - 1)

    @property
    def frames(self) -> int:
        """Length on the 25-fps grid."""
        return round(self.seconds * FPS)

    @property
    def shot_starts(self) -> tuple[float, ...]:
        """Second at which each shot begins."""
        lengths = [shot.seconds - self.blend_seconds for shot in self.shots]
        return tuple(sum(lengths[:k]) for k in range(len(lengths)))

    @property
    def cuts(self) -> tuple[int, ...]:
        """Hard cuts: the first frame of each new shot, on the grid."""
        return () if self.blend else tuple(round(start * FPS) for start in self.shot_starts[1:])

    @property
    def blends(self) -> tuple[tuple[int, int], ...]:
        """Frame ranges (half open) that show two shots at once: no clip may have one of them."""
        starts = self.shot_starts[1:] if self.blend else ()
        return tuple((round(start * FPS), round((start + self.blend_seconds) * FPS)) for start in starts)

    @property
    def whips(self) -> tuple[tuple[int, int], ...]:
        """Frame ranges (half open) of whip pans, in which one cut or more must lie."""
        starts = zip(self.shot_starts, self.shots, strict=True)
        return tuple(
            (round((at + shot.whip[0]) * FPS), round((at + shot.whip[1]) * FPS))
            for at, shot in starts
            if shot.camera == "whip"
        )

    @property
    def persons(self) -> int:
        """Puppets, counted anew in every shot."""
        return sum(len(shot.actors) for shot in self.shots)


ADA = Look("fair", "auburn", "forest", "charcoal", "long", "shirt")
BEN = Look("deep", "black", "sand", "navy", "curly", "jacket", True)
CAI = Look("tan", "black", "burgundy", "charcoal", "bun", "sweater")
DOV = Look("fair", "grey", "navy", "charcoal", "short", "jacket", True)
EVA = Look("brown", "brown", "cream", "plum", "long", "sweater")
FYN = Look("fair", "blond", "dusk", "navy", "short", "shirt")
GIA = Look("brown", "black", "plum", "charcoal", "curly", "shirt", True)
HAL = Look("tan", "brown", "charcoal", "navy", "short", "sweater")

V_ADA = Voice("en-us+f2", 158, 52, pilot=0)
V_BEN = Voice("en-us+m3", 150, 38, pilot=1)
V_CAI = Voice("en+f3", 166, 55, pilot=2)
V_DOV = Voice("en-gb-scotland", 150, 36, pilot=3)
V_EVA = Voice("en-us+f4", 160, 48, pilot=4)
V_FYN = Voice("en+m7", 165, 50, pilot=5)
V_GIA = Voice("en-us+f5", 154, 50, pilot=6)
V_HAL = Voice("en-us", 152, 42, pilot=7)


def _codes(*reasons: Reason) -> frozenset[str]:
    return frozenset(reason.code for reason in reasons)


_UNCLEAR = _codes(Reason.FACE_NOT_SEEN, Reason.HANDS_NOT_SEEN, Reason.UPPER_BODY_INCOMPLETE)


def _talks() -> list[Take]:
    """Takes of one shot and one rate of pictures or another."""
    return [
        Take("talk-1", "A good take", (Shot(7.0, (Actor(ADA, V_ADA),)),)),
        Take("talk-2", "Another speaker, another room", (Shot(6.6, (Actor(BEN, V_BEN, unit=218, y=340),), "stage"),),
             suffix=".mkv"),
        Take("talk-30", "Thirty pictures a second", (Shot(6.4, (Actor(CAI, V_CAI, x=600),), "lounge"),), fps=30),
        Take("talk-vfr", "A variable frame rate", (Shot(6.4, (Actor(DOV, V_DOV, x=690),), "news"),), fps=0),
    ]  # fmt: skip


def _casts() -> list[Take]:
    """Takes of several speakers or shots."""
    return [
        Take(
            "duo",
            "Two speakers, in turn",
            (
                Shot(
                    8.0,
                    (
                        Actor(EVA, V_EVA, x=318, unit=156, y=352, speaks=(0.0, 4.0)),
                        Actor(FYN, V_FYN, x=972, unit=156, y=338, speaks=(4.0, 8.0)),
                    ),
                    "lounge",
                ),
            ),
        ),
        Take(
            "shots",
            "Three shots with hard cuts",
            (
                Shot(5.92, (Actor(GIA, V_GIA, x=560),), "class"),
                Shot(5.72, (Actor(HAL, V_HAL, unit=220, x=700),), "study"),
                Shot(5.84, (Actor(ADA, V_ADA, unit=200),), "stage"),
            ),
            clips=3,
        ),
    ]  # fmt: skip


def _scenes() -> list[Take]:
    """Takes in which the camera moves, hands are in the way, or the file has something of its own."""
    return [
        Take("pan", "A slow pan", (Shot(6.4, (Actor(FYN, V_FYN, x=730),), "class", "pan"),)),
        Take("zoom", "A slow zoom", (Shot(6.4, (Actor(CAI, V_CAI, unit=190),), "study", "zoom"),)),
        Take(
            "whip",
            "A whip pan from one speaker to another",
            (
                Shot(
                    12.2,
                    (Actor(HAL, V_HAL, x=640, speaks=(0.0, 5.9)), Actor(EVA, V_EVA, x=2240, speaks=(6.3, 12.2))),
                    "news",
                    "whip",
                    whip=(5.92, 6.28),
                ),
            ),
            clips=2,
        ),
        Take("cross", "Hands before torso and, once, before the face",
             (Shot(7.0, (Actor(BEN, V_BEN, style="cross", face_at=3.4),), "lounge"),)),
        Take("long", "Twenty seconds, to be split at a pause",
             (Shot(20.0, (Actor(GIA, V_GIA, style="calm", unit=208),), "stage", pause=0.7),), clips=2),
        Take("cut-short", "A file whose end is missing", (Shot(8.0, (Actor(DOV, V_DOV),), "study"),),
             suffix=".mkv", kept_bytes=0.8),
    ]  # fmt: skip


def _bad() -> list[Take]:
    def one(name: str, title: str, actor: Actor | None, *reasons: Reason, may: frozenset[str] = frozenset(),
            room: str = "study", seconds: float = 5.8, sound: str = "voice", lectern: bool = False) -> Take:  # fmt: skip
        shot = Shot(seconds, (actor,) if actor else (), room, lectern=lectern)
        return Take(name, title, (shot,), "drop", _codes(*reasons), may, sound=sound)

    return [
        one("side", "Seen from the side", Actor(ADA, V_ADA, facing=66), Reason.SIDE_VIEW, may=_UNCLEAR, room="class"),
        one("back", "Seen from behind", Actor(EVA, V_EVA, facing=180), Reason.BACK_VIEW,
            may=_UNCLEAR | _codes(Reason.SIDE_VIEW), room="stage"),
        one("small", "A small figure", Actor(HAL, V_HAL, unit=48, y=395), Reason.FIGURE_TOO_SMALL,
            may=_UNCLEAR | _codes(Reason.CROP_TOO_SMALL, Reason.BLURRED_FACE, Reason.JITTERY),
            room="stage", lectern=True),
        one("still", "Standing still", Actor(CAI, V_CAI, style="still"), Reason.STATIC_POSE,
            may=_codes(Reason.STILL), room="lounge"),
        one("hands-out", "Hands below the picture", Actor(FYN, V_FYN, style="down", unit=250, y=366),
            Reason.HANDS_NOT_SEEN, may=_codes(Reason.UPPER_BODY_INCOMPLETE, Reason.STATIC_POSE), room="news"),
        one("silent", "A sound track of zeros", Actor(GIA, V_GIA), Reason.SILENT, may=_codes(Reason.NO_SPEECH),
            room="class", sound="silence"),
        one("mute", "No sound track", Actor(DOV, V_DOV), Reason.NO_AUDIO,
            may=_codes(Reason.SILENT, Reason.NO_SPEECH), room="lounge", sound="none"),
        Take("crosstalk", "Two speakers at once", (
            Shot(5.8, (Actor(EVA, V_EVA, x=318, unit=156, y=352), Actor(FYN, V_FYN, x=972, unit=156, y=338)), "lounge"),
        ), "drop", _codes(Reason.OVERLAPPED_SPEECH), _codes(Reason.LIPS_DO_NOT_MATCH, Reason.LATE_SOUND)),
        *(
            Take(f"late-{late:g}", f"The sound comes {late:g} s late", (Shot(5.8, (Actor(*who),), room),), "drop",
                 _codes(reason), _codes(Reason.LATE_SOUND, Reason.LIPS_DO_NOT_MATCH), late_seconds=late)
            for late, reason, who, room in (
                (0.2, Reason.LATE_SOUND, (ADA, V_ADA), "study"),
                (0.4, Reason.LATE_SOUND, (BEN, V_BEN), "stage"),
                (0.8, Reason.LIPS_DO_NOT_MATCH, (HAL, V_HAL), "news"),  # too far for SyncNet to find the offset
            )
        ),
        Take("voice-over", "A voice that is not the speaker's", (Shot(5.8, (Actor(CAI, V_CAI),), "class"),), "drop",
             _codes(Reason.LIPS_DO_NOT_MATCH), _codes(Reason.LATE_SOUND), dubbed=True),
        one("short", "Too short for a clip", Actor(BEN, V_BEN), Reason.TOO_SHORT, seconds=4.0),
        one("empty", "Nobody on the stage", None, Reason.NO_PERSON, may=_codes(Reason.SILENT, Reason.NO_SPEECH),
            room="stage", seconds=5.6, sound="silence"),
    ]  # fmt: skip


TAKES: tuple[Take, ...] = (*_talks(), *_casts(), *_scenes(), *_bad())
