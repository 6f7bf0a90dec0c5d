"""The account of availability: of N videos and M clips, how many are live, dead by reason, blocked, or unknown.

Evidence comes from checks (`checks`, all that were ever made and are still stored) and from the crawl's own outcomes. Of each
source the newest evidence that decides counts; evidence that decides nothing (throttled, network) only where there is no other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.base.links import video_id_of
from pipeline.base.reasons import Reason, ReasonClass
from pipeline.sources.manifest import form_of, ledger, read_manifest
from pipeline.sources.web.lists import read_list

if TYPE_CHECKING:
    from pipeline.sources.manifest import RowState
    from pipeline.tables.store import Store

OK = "ok"
LIVE, DEAD, UNUSABLE, BLOCKED, UNKNOWN, NEVER, OPTED_OUT, BAD = STATES = (
    "live",
    "dead",
    "unusable",
    "blocked",
    "unknown",
    "never checked",
    "opted out",
    "bad row",
)
MEANING = {
    LIVE: "there when last looked at",
    DEAD: "gone, or not to be seen from here",
    UNUSABLE: "there, but no video that can be read",
    BLOCKED: "behind a bot wall",
    UNKNOWN: "throttled, network, not finished: asked in vain",
    NEVER: "nobody has looked yet",
    OPTED_OUT: "its owner asked not to be included",
    BAD: "the manifest's row cannot be used",
}
NO_TYPE = "unknown type"
_DECIDES = (LIVE, DEAD, UNUSABLE, OPTED_OUT)
_STATE_OF = {
    ReasonClass.DEAD: DEAD,
    ReasonClass.BLOCKED: BLOCKED,
    ReasonClass.LATER: UNKNOWN,
    ReasonClass.BUG: UNKNOWN,
    ReasonClass.BAD: UNUSABLE,
    ReasonClass.UNWANTED: LIVE,  # too short, in another language, a copy: it is there
}
_SPECIAL = {Reason.OPTED_OUT.code: OPTED_OUT, Reason.SOURCE_DISCARDED.code: LIVE}


class Evidence(NamedTuple):
    """The state of a source on a day; `by` is `check` or `crawl`."""

    day: str = ""
    by: str = ""
    state: str = NEVER
    reason: str = ""
    detail: str = ""


@dataclass
class Source:
    """One link or file that the run asks for.

    Attributes:
        evidence: the one that counts.
        clips: rows of the manifest on it, or clips cut from it where there is no manifest.
        kept: of them, how many are samples of the data set: they stay, whatever becomes of the link.
    """

    source: str
    video_id: str = ""
    speech_type: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    clips: int = 0
    kept: int = 0


@dataclass
class Account:
    """Everything that the page, the files and the terminal show.

    Attributes:
        run: name of the run folder.
        sources: sorted by source.
        clips: state -> clips.
        kept: state -> clips that are samples.
        days: day -> state -> sources: what was found on that day, whatever was found later.
        manifest: name of the manifest or list of links; "" when there is none.
        bad_lines: of a list of links, how many hold none.
    """

    run: str
    sources: list[Source]
    clips: Counter[str]
    kept: Counter[str]
    days: dict[str, Counter[str]] = field(default_factory=dict)
    manifest: str = ""
    bad_lines: int = 0

    @property
    def videos(self) -> "Counter[str]":
        """State -> sources."""
        return Counter(source.evidence.state for source in self.sources)

    @property
    def reasons(self) -> dict[str, Counter[str]]:
        """State -> reason code -> sources, for what is not simply live."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for source in self.sources:
            if source.evidence.reason:
                counts[source.evidence.state][source.evidence.reason] += 1
        return counts

    @property
    def types(self) -> dict[str, Counter[str]]:
        """Speech type -> state -> sources; largest first, those without a type last."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for source in self.sources:
            counts[source.speech_type or NO_TYPE][source.evidence.state] += 1
        return dict(sorted(counts.items(), key=lambda item: (item[0] == NO_TYPE, -item[1].total(), item[0])))

    @property
    def last_looked(self) -> dict[str, Counter[str]]:
        """Day of the evidence that counts -> state -> sources."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for source in self.sources:
            if source.evidence.day:
                counts[source.evidence.day][source.evidence.state] += 1
        return dict(sorted(counts.items()))


def account(store: "Store", manifest: str = "") -> Account:
    """Join checks, crawl and manifest.

    Args:
        store: the run's tables.
        manifest: list of links or manifest of clips that the run was given; "" when there is none.

    Raises:
        StageError: the manifest cannot be read.
    """
    rows = _Rows(store, manifest)
    sources = {source.source: source for source in _known(store)}
    for link in rows.links:
        sources.setdefault(link, Source(link, video_id_of(link) or ""))
    collected: dict[str, list[Evidence]] = defaultdict(list)
    for link, evidence in [*_checked(store), *_crawled(store)]:
        sources.setdefault(link, Source(link, video_id_of(link) or ""))
        collected[link].append(evidence)
    days: dict[str, Counter[str]] = defaultdict(Counter)
    for link, seen in collected.items():
        sources[link].evidence = _counts(seen)
        for day, state in {one.day: one.state for one in sorted(seen) if one.day}.items():
            days[day][state] += 1
    for link in _copies(store):
        sources.pop(link, None)  # a video counts once, however many links lead to it
    out = set(store.opted_out.to_pylist())
    for source in sources.values():
        if source.video_id in out or source.video_id in store.opt_out:  # a list may name what was never crawled
            source.evidence = Evidence("", "list", OPTED_OUT, Reason.OPTED_OUT.code)
    clips, kept = rows.clips(sources) if rows.states else _cut(store, sources)
    listed = sorted(sources.values(), key=lambda source: source.source)
    return Account(store.run.resolve().name, listed, clips, kept, dict(sorted(days.items())), rows.name, rows.bad_lines)


def last_seen(store: "Store") -> dict[str, Evidence]:
    """Source -> the evidence that counts, of every source that was ever looked at."""
    collected: dict[str, list[Evidence]] = defaultdict(list)
    for link, evidence in [*_checked(store), *_crawled(store)]:
        collected[link].append(evidence)
    return {link: _counts(seen) for link, seen in collected.items()}


def _counts(seen: Sequence[Evidence]) -> Evidence:
    """The newest evidence that decides; else the newest."""
    return max(seen, key=lambda one: (one.state in _DECIDES, one.day, one.by == "check"))


def state_of(reason: str) -> str:
    """The state that a rejection or failure with this reason code stands for."""
    try:
        return _SPECIAL.get(reason) or _STATE_OF[Reason.of(reason).kind]
    except KeyError:  # of another version
        return UNKNOWN


def _known(store: "Store") -> Iterable[Source]:
    """What search and crawl know of sources."""
    for kind in ("sources", "videos"):
        for row in store.read(kind, ["source", "video_id", "speech_type"]).to_pylist():
            if row["source"]:
                yield Source(row["source"], row["video_id"] or "", row["speech_type"] or "")


def _checked(store: "Store") -> Iterable[tuple[str, Evidence]]:
    """Every check that is stored, also those that a later attempt replaced: what was true of its day."""
    for row in store.every("checks", ["source", "state", "reason", "detail", "checked"]).to_pylist():
        values = (row[name] or "" for name in ("state", "reason", "detail"))
        yield row["source"], Evidence(row["checked"] or "", "check", *values)
    for row in store.outcomes("checks").to_pylist():
        if row["status"] != OK:
            yield row["unit"], _refusal(row, "check")


def _crawled(store: "Store") -> Iterable[tuple[str, Evidence]]:
    for row in store.outcomes("videos").to_pylist():
        if not _NO_LINK.match(row["unit"]):
            yield row["unit"], Evidence(_day(row), "crawl", LIVE) if row["status"] == OK else _refusal(row, "crawl")


def _copies(store: "Store") -> list[str]:
    won = store.outcomes("videos").select(["unit", "reason"]).to_pylist()
    return [row["unit"] for row in won if row["reason"] == Reason.DUPLICATE.code]


def _refusal(row: dict[str, Any], by: str) -> Evidence:
    return Evidence(_day(row), by, state_of(row["reason"]), row["reason"], row["detail"] or "")


def _day(row: dict[str, Any]) -> str:
    return row["at"].date().isoformat() if row["at"] else ""


class _Rows:
    """What a manifest or a list of links asks for.

    Attributes:
        name: of the file.
        links: each once.
        bad_lines: lines of a list without a link.
        states: of a manifest of clips, what became of each row.
    """

    def __init__(self, store: "Store", manifest: str) -> None:
        self.name, self.links, self.bad_lines, self.states = "", list[str](), 0, list["RowState"]()
        self._link_of: dict[int, str | None] = {}
        if not manifest:
            return
        path = Path(manifest)
        self.name = path.name
        if form_of(path) is None:
            links = read_list(path, store.run)
            self.links, self.bad_lines = links.links, len(links.bad)
            return
        read = read_manifest(path)
        self._link_of = {row.line: row.url for row in read.rows}
        self.links = [link for link in dict.fromkeys(self._link_of.values()) if link]
        self.states = ledger(read, store)

    def clips(self, sources: dict[str, Source]) -> tuple[Counter[str], Counter[str]]:
        """(clips by state, samples by state); also counted in the sources."""
        clips, kept = Counter[str](), Counter[str]()
        for row in self.states:
            link = self._link_of.get(row.line)
            source = sources.get(link) if link else None
            if source is not None:
                source.clips, source.kept = source.clips + 1, source.kept + row.sample
            here = source.evidence.state if source else _STATUS.get(row.status, NEVER)
            state = BAD if row.status == "bad" else here
            clips[state] += 1
            kept[state] += row.sample
        return clips, kept


_STATUS = {"live": LIVE, "dead": DEAD, "blocked": BLOCKED}  # of a row whose video no site has
_NO_LINK = re.compile(r"(line|row) \d+: ")  # a crawl's unit for a line that holds no link


def _cut(store: "Store", sources: dict[str, Source]) -> tuple[Counter[str], Counter[str]]:
    """(clips by state, samples by state) of the clips that were cut; also counted in the sources."""
    of_video = {source.video_id: source for source in sources.values() if source.video_id}
    samples = set(store.read("samples", ["clip_id"])["clip_id"].to_pylist())
    clips, kept = Counter[str](), Counter[str]()
    for row in store.read("clips", ["clip_id", "video_id"]).to_pylist():
        source, sample = of_video.get(row["video_id"]), row["clip_id"] in samples
        state = source.evidence.state if source else NEVER
        clips[state] += 1
        kept[state] += sample
        if source:
            source.clips, source.kept = source.clips + 1, source.kept + sample
    return clips, kept
