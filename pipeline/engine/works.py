"""Which works of a run a takedown means: those that are named, the same face's, and their twins, each with its scores."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.base.errors import BadUse
from pipeline.base.units import Row
from pipeline.media.chromaprint import Items
from pipeline.media.twins.limits import Limits
from pipeline.media.twins.link import SoundLink, items_of, link_of
from pipeline.media.twins.shared import sharing
from pipeline.shards.release.wanted import wanted_of, with_channels
from pipeline.tables import people
from pipeline.tables.store import CHANNEL_COLUMNS, SPEAK_OF_CHANNELS, Store

NAMED, LISTED, FACE, SOUND, MOTION, KEPT = "named", "ledger", "face", "sound", "motion", "kept"


@dataclass(frozen=True)
class Work:
    """A work that goes, or may.

    Attributes:
        video: its id.
        how: `named`; `ledger`: its hash is in the ledger; `face`: of the same face cluster; `sound`: a twin; `motion`: a twin by
            what moves, such as a dub, as the table `twins` has it; `kept`: like a fingerprint that the ledger keeps.
        sure: whether it goes without being asked for.
        like: the work that it is like; "" of one that is named, and of one like a kept fingerprint.
        bit_error: share of the fingerprint's bits that differ.
        seconds: of sound in common.
        share: what this is of the sound of the one with less to hear.
        likeness: cosine of the two nearest faces; of motion, the correlation of what moves in the two, where the table says it.
    """

    video: str
    how: str = NAMED
    sure: bool = True
    like: str = ""
    bit_error: float | None = None
    seconds: float | None = None
    share: float | None = None
    likeness: float | None = None


Ask = Callable[[Work], bool]


def named(store: Store, entries: Sequence[str], *, person: bool = False) -> list[Work]:
    """The works that entries name, in the order of their ids; with `person` those of the same face too.

    Raises:
        OptOutError: an entry names nobody. BadUse: a channel, link or face of which the run knows no video.
    """
    wanted = wanted_of(entries)
    rows = [row for kind in SPEAK_OF_CHANNELS for row in _rows(store, kind, CHANNEL_COLUMNS)]
    wanted = with_channels(wanted, rows)
    if wanted.channels_alone:
        raise BadUse(f"{wanted.channels_alone[0]} names no video, and {store.run} knows no video of such a channel")
    by_link = _by_link(store)
    if unknown := [entry for url, entry in wanted.urls.items() if url not in by_link]:
        raise BadUse(f"{store.run} knows no video of {unknown[0]}: name the id that `csg405 show` says")
    found = {*wanted.videos, *(by_link[url] for url in wanted.urls)}
    found |= {people.video_of(one) for one in (*wanted.persons, *wanted.clips)}
    works = [Work(video) for video in sorted(found)]
    return works + (list(_same_faces(store, found, {*wanted.persons}, {*wanted.clips})) if person else [])


def _rows(store: Store, kind: str, columns: Iterable[str]) -> list[Row]:
    """Rows of a kind, those of people who opted out too; without a video they say nothing here."""
    names = ["video_id", *columns]
    rows = store.table(kind).rows(names).select(names).to_pylist() if kind in store.kinds else []
    return [row for row in rows if row["video_id"]]


def held(store: Store) -> set[str]:
    """Every video that a run names: in rows that count no more too, in what units are called, and in what it knows of files.

    Raises: Damaged where a table is; nobody is to be passed over in silence.
    """
    found = set[str]()
    for kind in store.kinds:
        table = store.table(kind)
        if "video_id" in table.kind.schema.names:
            found.update(video for video in pc.unique(table.every(["video_id"])["video_id"]).to_pylist() if video)
        for unit in table.winners(["unit"])["unit"].to_pylist():
            found |= people.mentioned(unit)
    for path in sorted((store.run / "input").glob("*.jsonl")):
        found |= people.mentioned(path.read_text(encoding="utf-8", errors="replace"))
    return found


def _by_link(store: Store) -> dict[str, str]:
    rows = _rows(store, "videos", ("url", "source"))
    return {link: row["video_id"] for row in rows for link in (row["url"], row["source"]) if link}


def _same_faces(store: Store, videos: set[str], persons: set[str], clips: set[str]) -> Iterator[Work]:
    """Other works in which the faces of these are. Raises BadUse where none is known, or a work shows several people."""
    rows = _rows(store, "speakers", ("person_id", "clip_id", "speaker"))
    alone = videos - {people.video_of(one) for one in (*persons, *clips)}
    mine = [r for r in rows if r["person_id"] in persons or r["clip_id"] in clips or r["video_id"] in alone]
    faces = sorted({row["speaker"] for row in mine})
    if not faces:
        raise BadUse(
            "--person: no face of them was compared (the stage `speakers` does that): name the works themselves"
        )
    if len(faces) > 1 and not persons:
        shown = {row["speaker"]: row["person_id"] for row in reversed(mine)}
        several = ", ".join(shown[face] for face in faces[:5])
        raise BadUse(f"--person: {len(faces)} people are in what was named; name one by an id, such as {several}")
    vectors = _vectors(store)
    own = [vectors[row["person_id"]] for row in mine if row["person_id"] in vectors]
    best: dict[str, float] = {}
    for row in rows:
        if row["speaker"] in faces and row["video_id"] not in videos:
            likeness = max((float(vectors[row["person_id"]] @ one) for one in own), default=0.0)
            best[row["video_id"]] = max(likeness, best.get(row["video_id"], -1.0))
    first = min(videos)
    yield from (Work(video, FACE, like=first, likeness=best[video]) for video in sorted(best))


def _vectors(store: Store) -> dict[str, Any]:
    """Person -> the unit vector of the face."""
    found = {}
    for row in _rows(store, "attributes", ("person_id", "identity")):
        vector = np.asarray(row["identity"] if row["identity"] is not None else [], np.float64)
        if vector.size and np.isfinite(vector).all() and vector.any():
            found[row["person_id"]] = vector / np.linalg.norm(vector)
    return found


def fingerprints(store: Store) -> dict[str, Items]:
    """Video -> its fingerprint, of all that have one."""
    rows = _rows(store, "sound_fingerprints", ("fingerprint",))
    return {row["video_id"]: items_of(row["fingerprint"]) for row in rows if row["fingerprint"]}


@dataclass(frozen=True)
class Clusters:
    """What the table `twins` says of a run's videos, whatever they were found alike by.

    Attributes:
        strict, near: video -> the cluster that it is in; those in none are left out.
        likeness: video -> the correlation of what moves in it and in its better copy.
    """

    strict: Mapping[str, str]
    near: Mapping[str, str]
    likeness: Mapping[str, float]

    @classmethod
    def of(cls, store: Store) -> "Clusters":
        names = ("cluster_id", "near_cluster_id", "motion_likeness")
        rows = _rows(store, "twins", names)
        return cls(*({row["video_id"]: row[name] for row in rows if row[name] is not None} for name in names))

    @cached_property
    def _members(self) -> list[tuple[Mapping[str, str], Mapping[str, list[str]], bool]]:
        """What each of the two says, the videos of each of its clusters, and whether these are twins for sure."""
        found: list[tuple[Mapping[str, str], Mapping[str, list[str]], bool]] = []
        for clusters, sure in ((self.strict, True), (self.near, False)):
            members: dict[str, list[str]] = {}
            for video in sorted(clusters):
                members.setdefault(clusters[video], []).append(video)
            found.append((clusters, members, sure))
        return found

    def beside(self, video: str, but: Container[str]) -> Iterator[Work]:
        """The other videos of its clusters; `but` those."""
        seen = set[str]()
        for clusters, members, sure in self._members:
            for other in members.get(clusters.get(video, ""), ()):
                if other != video and other not in but and other not in seen:
                    seen.add(other)
                    likeness = self.likeness.get(other, self.likeness.get(video))
                    yield Work(other, MOTION, sure, video, likeness=likeness)


def with_twins(
    works: Sequence[Work], prints: Mapping[str, Items], clusters: Clusters, limits: Limits, ask: Ask
) -> list[Work]:
    """The works with their twins, and the twins of these.

    Args:
        works: that go.
        prints: of the run.
        clusters: of the run.
        limits: from when on two are twins by sound, and from when on they come near to it.
        ask: whether a work goes that is near and no twin for sure; each is asked for once.
    """
    found = {work.video: work for work in works}
    refused: set[str] = set()
    queue = [work.video for work in works]
    near: dict[str, Work] = {}
    worth: dict[str, list[str]] = {}  # of all that wait, in one pass over the run's fingerprints
    while queue or near:
        if not queue:  # all that is sure comes before the first question
            work = near.pop(min(near))
            if work.video in found:
                continue
            if not ask(work):
                refused.add(work.video)
                continue
            found[work.video] = work
            queue.append(work.video)
        if queue[0] not in worth:
            worth |= sharing({one: prints[one] for one in queue if one in prints}, prints)
        video = queue.pop(0)
        others = [other for other in worth.get(video, ()) if other != video and other not in found]
        like = [scored(one, SOUND, video, link) for one in others if (link := link_of(video, one, prints, limits))]
        sure = {one.video for one in like if one.sure}  # what only comes near by its sound may be a twin by what moves
        for work in (*like, *clusters.beside(video, {*found, *sure})):
            if work.sure:
                found[work.video] = work
                queue.append(work.video)
            elif work.video not in refused:
                near.setdefault(work.video, work)
    return list(found.values())


def scored(video: str, how: str, like: str, link: SoundLink) -> Work:
    """A work that is like another, or like a kept fingerprint, with its scores."""
    match = link.of[video]
    share = min(1.0, match.seconds / link.least) if link.least else 1.0
    return Work(video, how, link.twins, like, match.error, match.seconds, share)


def like_kept(kept: Iterable[Items], prints: Mapping[str, Items], limits: Limits) -> list[Work]:
    """The works of a run that are like a fingerprint which the ledger keeps; the most alike where several are."""
    found: dict[str, Work] = {}
    asked = {str(number): items for number, items in enumerate(kept)}
    for name, videos in sharing(asked, prints).items():
        for video in videos:
            if link := link_of("", video, {"": asked[name], video: prints[video]}, limits):
                work = scored(video, KEPT, "", link)
                if video not in found or (work.sure, work.share) > (found[video].sure, found[video].share):
                    found[video] = work
    return list(found.values())
