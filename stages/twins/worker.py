"""Compares the fingerprints and the motion of a run's videos, groups twins, and says which copy of a piece is the best."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.chromaprint import Items
from pipeline.media.twins.link import items_of
from stages.twins import Twins
from stages.twins.clusters import clusters, names
from stages.twins.films import Films
from stages.twins.links import Found, Link, by_sound, with_motion
from stages.twins.scenes import Paired, paired
from stages.twins.settings import TwinsSettings

log = logging.getLogger(__name__)

_LIKE_SIZE = math.log(1.1)  # shoulders that differ by less than about a tenth count as equally large
_MOTION_SECONDS = (
    Twins.resources.seconds / 2
)  # after which motion is no longer looked at: a unit that is stopped leaves no row


class TwinsWorker:
    """Turns the fingerprints of a run into rows of `twins`.

    Args:
        settings: of the stage.
        context: whose `given` holds the names of the clusters so far.
    """

    def __init__(self, settings: TwinsSettings, context: Context) -> None:
        self._settings, self._known = settings, context.given

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each video that has a row of fingerprints, heard or not."""
        prints = {row["video_id"]: items_of(row["fingerprint"]) for row in unit.rows("sound_fingerprints")}
        links = list(self._links(unit, prints))
        strict = [link for link in links if link.twins]
        cluster_of = self._named("cluster_id", strict)
        near_of = self._named("near_cluster_id", links)
        rank = _ranks(unit.rows("videos"), unit.rows("pose_measures"))
        better = _better_copies(strict, rank)
        log.info("%d videos, %d of them in %d clusters", len(prints), len(cluster_of), len(set(cluster_of.values())))
        for video in sorted(prints):
            copies = better.get(video, [])
            row: Row = {"video_id": video, "cluster_id": cluster_of.get(video), "kept": not copies}
            yield row | {"near_cluster_id": near_of.get(video)} | (_of_best(copies, rank) if copies else {})

    def _named(self, column: str, links: Sequence[Link]) -> dict[str, str]:
        """Video -> name of its cluster."""
        found = clusters(link.videos for link in links)
        called = names(found, self._known.get(column, {}))
        return {video: name for members, name in zip(found, called, strict=True) for video in members}

    def _links(self, unit: Unit, prints: Mapping[str, Items]) -> Iterator[Link]:
        """All links; those by motion only where pictures were looked at, of which it is told."""
        until = time.monotonic() + _MOTION_SECONDS
        settings = self._settings
        heard = {link.videos: link for link in by_sound(prints, settings)}
        films = Films(unit, sorted(prints))
        scenes = dict(films.scenes())
        known = [video for video in sorted(scenes) if scenes[video]]
        found = paired([scenes[video] for video in known], settings.studio_films, settings.motion_pairs)
        _tell(found, films, settings, len(prints))
        studios = [(known[a], known[b]) for a, b in found.pairs]
        yield from with_motion(heard, studios, films, settings, until)


def _tell(found: Paired, films: Films, settings: TwinsSettings, videos: int) -> None:
    """Say what is not compared by motion."""
    if found.beyond_films:
        log.warning(
            "at least %d pairs of one studio are not compared by motion: each video is with the %d that look most like it "
            "(twins.studio_films)",
            found.beyond_films,
            settings.studio_films,
        )
    if found.beyond_pairs:
        log.warning(
            "%d more pairs of one studio are not compared by motion: of this run the %d that look most alike are "
            "(twins.motion_pairs)",
            found.beyond_pairs,
            settings.motion_pairs,
        )
    if films.unseen:
        log.warning(
            "%d of %d videos are compared by sound alone: their clips were made before split noted what moves in them; "
            "`csg405 run crawl --redo` has split do it",
            films.unseen,
            videos,
        )
    if films.of_manifest:
        log.info(
            "%d of %d videos are compared by sound alone, and their dubs are not found: a manifest gave their clips, of which "
            "nothing is decoded",
            films.of_manifest,
            videos,
        )


def _ranks(videos: Sequence[Row], people: Sequence[Row]) -> dict[str, int]:
    """Video -> its place among all, the best copy first: largest person, then bit rate, earliest upload, id."""
    largest: dict[str, float] = {}
    for row in people:
        width = row["shoulder_width_px"]
        if width is not None and width > 0:
            largest[row["video_id"]] = max(width, largest.get(row["video_id"], 0.0))

    def order(row: Row) -> tuple[float, float, str, str]:
        size = largest.get(row["video_id"], 0.0)
        rate = (row["bytes"] or 0) / (row["duration_seconds"] or math.inf)
        step = round(math.log(size) / _LIKE_SIZE) if size else -math.inf
        return -step, -rate, row["upload_date"] or "9999-99-99", row["video_id"]

    return {row["video_id"]: at for at, row in enumerate(sorted(videos, key=order))}


def _better_copies(links: Sequence[Link], rank: Mapping[str, int]) -> dict[str, list[tuple[str, Found]]]:
    """Video -> the better ones that hold a part of it, with what they share."""
    found: dict[str, list[tuple[str, Found]]] = {}
    for link in links:
        best, other = sorted(link.videos, key=lambda video: rank.get(video, len(rank)))
        found.setdefault(other, []).append((best, link.of[other]))
    return found


def _of_best(copies: Sequence[tuple[str, Found]], rank: Mapping[str, int]) -> Row:
    """What a row says of the better copies of a video: of the best of all, and where any of them is better."""
    twin, found = min(copies, key=lambda copy: rank.get(copy[0], len(rank)))
    match, sound, motion = found.match, found.sound, found.motion
    spans = _joined(np.concatenate([copy.match.spans for _, copy in copies]))
    return {
        "twin_of": twin,
        "how": found.how,
        "mirrored": motion.mirrored if motion else None,
        "speed": match.speed,
        "offset_seconds": match.offset_seconds,
        "matched_seconds": match.seconds,
        "bit_error": sound.error if sound else None,
        "motion_likeness": 1 - motion.match.error if motion else None,
        "better_spans": [[float(begin), float(end)] for begin, end in spans],
    }


def _joined(spans: Floats64) -> list[tuple[float, float]]:
    """Spans in order; those that overlap are one."""
    joined: list[tuple[float, float]] = []
    for begin, end in sorted((float(begin), float(end)) for begin, end in spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


open_worker = TwinsWorker
