"""Pairs of a reference picture and a voice: the paired and the unpaired list, and lists from outside."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.base.ids import disk_name
from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage, Work
from pipeline.engine.unit import Unit
from pipeline.model.generation.inputs import BadInput
from pipeline.tables.hashing import digest, mix
from stages.evaluate.collection import FILMS, state_of

if TYPE_CHECKING:
    from pipeline.tables.store import Store

PAIRED, UNPAIRED, REAL = "paired", "unpaired", "real"
_FAR = np.iinfo(np.uint64).max
CLIP = re.compile(r"(yt|file):[^/]+/\d+\+\d+#\d+")  # a person of a clip


class Pair(NamedTuple):
    """A setting, the subject whose picture is the reference, and the one whose voice is heard."""

    setting: str
    reference: str
    voice: str

    @property
    def id(self) -> str:
        return f"{self.setting}/{self.reference}/{self.voice}"


def paired(names: Sequence[str]) -> list[Pair]:
    """Everybody with their own voice: the truth is known."""
    return [Pair(PAIRED, name, name) for name in names]


def unpaired(speakers: Mapping[str, str], seed: int) -> list[Pair]:
    """Everybody with the voice of another speaker, each voice once: a derangement over speakers, drawn by a seed.

    Every reference and every voice have a distance, a hash of their names and the seed, and the nearest meet first. So a pair
    depends on its own names and on the few that came nearer, and a clip that comes or goes changes few others: of PATS's 474
    pairs about six. Nobody is left over, unless a speaker has more than half of all clips: those of that speaker that then
    find no other voice are left out.

    Args:
        speakers: {subject: speaker}.
        seed: another one draws another list.
    """
    names = sorted(speakers)
    near = _Nearness(speakers, seed)
    met = near.match(names, names)
    alone, unheard = [name for name in names if name not in met], sorted(set(names) - set(met.values()))
    if alone:  # all of one speaker, left without any other: other pairs are parted for them
        who = speakers[alone[0]]
        parted = {voice: name for name, voice in met.items() if who not in (speakers[name], speakers[voice])}
        helped = near.match(alone, sorted(parted))
        met |= helped
        for name in (freed := [parted[voice] for voice in helped.values()]):
            del met[name]
        met |= near.match(freed, unheard)
    return sorted(Pair(UNPAIRED, name, voice) for name, voice in met.items())


class _Nearness:
    """Distances between references and voices, in which no two are equally near, but by a chance of one in 2^64."""

    def __init__(self, speakers: Mapping[str, str], seed: int) -> None:
        self._speakers = speakers
        self._references = {name: np.uint64(digest("reference", str(seed), name)) for name in speakers}
        self._voices = {name: np.uint64(digest("voice", str(seed), name)) for name in speakers}

    def match(self, references: Sequence[str], voices: Sequence[str]) -> dict[str, str]:
        """{reference: voice}, none of one speaker: the nearest two of all, then the nearest two of the others, and so on.

        Deferred acceptance (Gale and Shapley 1962) finds that without comparing all distances: a reference asks the nearest
        voice that has nobody nearer, and the one that had that voice asks the next. The order of turns changes nothing.
        """
        if not voices:
            return {}
        speakers = np.array([self._speakers[name] for name in voices], object)
        hashes = np.array([self._voices[name] for name in voices], np.uint64)
        nearest = np.full(len(voices), _FAR)
        asked_by: dict[int, str] = {}
        waiting = list(references)
        while waiting:
            name = waiting.pop()
            distances = mix(hashes ^ self._references[name])
            distances[(speakers == self._speakers[name]) | (distances >= nearest)] = _FAR
            at = int(distances.argmin())
            if distances[at] < _FAR:
                waiting += [asked_by[at]] if at in asked_by else []
                asked_by[at], nearest[at] = name, distances[at]
        return {name: voices[at] for at, name in asked_by.items()}


def listed(path: Path, names: Sequence[str], aliases: Mapping[str, str]) -> list[Pair]:
    """The pairs that a file names, a line each, as the paper's release does: voice, then reference; one name stands for both.

    Args:
        path: a text file; empty lines, and lines that begin with `#`, are skipped. Names that hold spaces are parted by tabs.
        names: the subjects.
        aliases: other names of subjects, such as `<video>_<part>_<start>_<end>`, with or without a suffix.

    Raises:
        BadInput: a line that names nobody of the test set, or more than two; the first ten are told, with their lines.
    """
    known: dict[str, set[str]] = {name: {name} for name in names}
    for alias, name in [*aliases.items(), *zip(names, names, strict=True)]:
        if name in known and _bare(alias) not in names:
            known.setdefault(_bare(alias), set()).add(name)
    pairs, wrong = [], []
    for number, line in enumerate(path.read_text("utf-8-sig", "replace").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = _words(line, known)
        here = [_who(word, known) for word in words]
        if len(words) > 2 or not all(len(who) == 1 for who in here):
            wrong.append(f"line {number}: {_trouble(words, here)[:120]}")
            continue
        voice, reference = here[0].copy().pop(), here[-1].copy().pop()
        pairs.append(Pair(PAIRED if voice == reference else UNPAIRED, reference, voice))
    if wrong:
        more = f" and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise BadInput(f"{path} names clips that are not in the test set: {'; '.join(wrong[:10])}{more}")
    if not pairs:
        raise BadInput(f"{path} names no pair: a line is a voice's and a reference's name, or one name for both")
    return list(dict.fromkeys(pairs))


def _words(line: str, known: Mapping[str, set[str]]) -> list[str]:
    if "\t" in line:
        return [word.strip() for word in line.split("\t") if word.strip()]
    return [line.strip()] if _who(line.strip(), known) else line.split()


def _who(word: str, known: Mapping[str, set[str]]) -> set[str]:
    return known.get(word) or known.get(_bare(word), set())


def _trouble(words: Sequence[str], here: Sequence[set[str]]) -> str:
    if len(words) > 2:
        return f"{len(words)} names, not one or two"
    word, who = next((word, who) for word, who in zip(words, here, strict=True) if len(who) != 1)
    return f"{word[:80]} could be {' or '.join(sorted(who)[:3])}" if who else word[:80]


def _bare(name: str) -> str:
    """A name as lists of different times and systems agree on it: no suffix, `:` and `.` as `_`."""
    return re.sub(r"[:.]", "_", re.sub(r"\.(mp4|wav|npy|png)$", "", name))


class Pairs(Stage):
    """Turns lists into rows, which say in a hash all that a pair's result depends on."""

    name: ClassVar[str] = "pairs"
    version: ClassVar[int] = 1
    writes: ClassVar[str] = "pairs"
    reads: ClassVar[tuple[Reads, ...]] = ()
    resources: ClassVar[Resources] = Resources(one_worker=True)

    wanted: tuple[Pair, ...] = Field((), json_schema_extra=runtime())
    contents: dict[str, str] = Field({}, json_schema_extra=runtime())  # {subject: hash}
    folder: str = Field("", json_schema_extra=runtime())  # of another system's videos

    def sources(self, store: "Store") -> list[str]:
        return ["all"]

    def depends(self, store: "Store") -> str:
        """All rows: there is nothing else."""
        return "\n".join(str(sorted(row.items())) for row in self._rows())

    def worker(self, context: Context) -> Work:
        return self  # it holds nothing

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield every pair."""
        yield from self._rows()

    def _rows(self) -> Iterator[Row]:
        for pair in self.wanted:
            film = film_given(Path(self.folder), pair) if self.folder and pair.setting != REAL else None
            yield {
                "pair_id": pair.id,
                **pair._asdict(),
                "content": f"{self.contents[pair.reference]} {self.contents[pair.voice]}",
                "given": f"{film.resolve()} {state_of(film)}" if film else None,
            }


def file_name(pair: Pair) -> str:
    """The file name (no suffix) under which another system leaves its video of a pair."""
    names = (pair.reference,) if pair.setting != UNPAIRED else (pair.reference, pair.voice)
    return "__".join(plain(name) for name in names)


def plain(name: str) -> str:
    """A subject's name as a file name without suffix, no two subjects the same, and never with `__` inside.

    A clip of the shards is called as everywhere on disk. Of a file `.mp4` is dropped; a hash is added where more had to change.
    """
    return disk_name(name) if CLIP.fullmatch(name) else safe(name.removesuffix(".mp4"), name)


def safe(text: str, whole: str = "") -> str:
    """A text as a file name, with six hex digits of a hash (of `whole`) where that changes it; 120 characters at most."""
    bare = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.-")[:100]
    kept = bare and bare == text and (not whole or whole == f"{text}.mp4")
    return bare if kept else f"{bare}_{hashlib.sha256((whole or text).encode()).hexdigest()[:6]}".lstrip("_")


def film_given(folder: Path, pair: Pair) -> Path | None:
    """Another system's video of a pair: `paired/<reference>.mp4`, `unpaired/<reference>__<voice>.mp4`; None without one."""
    for suffix in FILMS:
        path = folder / pair.setting / (file_name(pair) + suffix)
        if path.is_file():
            return path
    return None
