"""Parquet shards: everything known of the kept samples, joined and packed; a bucket is rewritten only when it changes."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from pipeline.base.hashes import sha256_of
from pipeline.base.units import FPS, Row
from pipeline.base.version import version_of
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.shards import removal
from pipeline.shards.format import SPLITS, VERSION, shard_measures, shard_schema
from pipeline.shards.index import build_index, write_index
from pipeline.shards.write import write_shard
from pipeline.tables.kinds import KINDS

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.tables.store import Store

log = logging.getLogger(__name__)

FOLDER = "shards"
TRAIN, VALIDATION, TEST = SPLITS
_KEYS = ("person_id", "clip_id", "video_id")
_SAMPLE = ["frames", "crop_box", "keypoints", "scores", "neck", "video", "video_sha256", "audio"]
_FEATURES = ("audio_features", "audio_features_of")
_PUBLISHED = ["url", "speech_type", "licence", "channel", "channel_id", "channel_handle", "upload_date"]


def _reads() -> tuple[Reads, ...]:
    """What a row is made of; kinds that later stages add bring their measures by themselves."""
    measures = tuple(Reads(kind, (KINDS[kind].key, *names)) for kind, names in shard_measures().items())
    return (
        Reads("samples", (*_KEYS, *_SAMPLE)),
        Reads("videos", ("video_id", "width", "height", *_PUBLISHED)),
        Reads("clips", ("clip_id", "start_seconds")),
        Reads("persons", ("person_id", "video_id", "person")),
        *measures,
        Reads("audio_features", ("person_id", *_FEATURES)),
    )


class Shards(Stage):
    """Kept samples -> `shards/{train,validation,test}-NNNNN-of-NNNNN.parquet` and `shards/_index.json`.

    A unit is a bucket of a split. A video's bucket is a hash of its id, its split a hash of its group, so that a new verdict
    touches one file, and no video or channel is ever in two splits. By speaker, videos that have one in common stay together, and
    those that share one with either of them, and so on; a kept person without a speaker stays with the video.
    """

    name: ClassVar[str] = "shards"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "everything known of the kept samples, packed into Parquet files"
    reads: ClassVar[tuple[Reads, ...]] = _reads()
    writes: ClassVar[str] = "shards"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=8)

    buckets: int = Field(16, ge=1, le=99_999, description="files a split; fixed for a run: changing it rewrites all")
    split_by: Literal["video", "channel", "speaker"] = Field(
        "video",
        description="what stays together: a video, all videos of a channel (one without by itself), or all that share speakers",
    )
    split_seed: int = Field(0, description="another number draws other splits")
    test_share: float = Field(0.05, ge=0, le=0.5, description="share of the samples that become the test split")
    test_max_samples: int = Field(133, ge=1, description="the test split is never larger, in samples")
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of the rest that becomes the validation split")

    _run: Path = PrivateAttr(default=Path())

    def setup(self, context: Context) -> None:
        self._run = context.run

    def group(self, tables: "Mapping[str, pa.Table]") -> list[str | None]:
        """The unit of each sample: `<split>-<bucket>`."""
        videos = tables["samples"]["video_id"].to_pylist()
        group_of = self._groups(tables)
        persons = Counter(group_of.get(video, video) for video in tables["persons"]["video_id"].to_pylist())
        splits = self.splits(Counter(group_of.get(video, video) for video in videos), persons)
        return [unit_name(splits[group_of.get(video, video)], bucket_of(video, self.buckets)) for video in videos]

    def _groups(self, tables: "Mapping[str, pa.Table]") -> dict[str, str]:
        """video_id -> what it is kept together with."""
        videos = tables["videos"]
        ids = videos["video_id"].to_pylist()
        if self.split_by == "video":
            return {video: video for video in ids}
        if self.split_by == "speaker":
            return _sharing(ids, tables["samples"], tables["speakers"])
        channels = zip(videos["channel_id"].to_pylist(), videos["channel"].to_pylist(), strict=True)
        return {video: by_id or by_name or video for video, (by_id, by_name) in zip(ids, channels, strict=True)}

    def splits(self, samples: Mapping[str, int], persons: Mapping[str, int]) -> dict[str, str]:
        """Group -> split.

        Groups stand in the order of a seeded hash. The first of them are the test split: as many as hold 5 % of all persons
        seen, kept or not, so that an argument about thresholds does not move anybody from split to split; never more than
        133 samples, never none. The next tenth of the hash's range is validation.

        Args:
            samples: kept samples of each group that has some.
            persons: persons of each group, whatever became of them.
        """
        order = sorted(samples, key=lambda group: (_place(self.split_seed, group), group))
        if len(order) < 2:
            return dict.fromkeys(order, TRAIN)
        test, edge = self._test(order, samples, persons)
        rest = [group for group in order if group not in test]
        limit = edge + self.validation_share * (1 - edge)
        validation = {group for group in rest if _place(self.split_seed, group) < limit}
        if not validation and self.validation_share and len(rest) > 1:
            validation = {rest[0]}
        return {group: TEST if group in test else VALIDATION if group in validation else TRAIN for group in order}

    def _test(
        self, order: Sequence[str], samples: Mapping[str, int], persons: Mapping[str, int]
    ) -> tuple[set[str], float]:
        """The groups of the test split, without those too large by themselves, and how far into 0..1 it reaches."""
        if not self.test_share:
            return set(), 0.0
        room = max(1.0, self.test_share * sum(persons.values()))
        taken: set[str] = set()
        held_samples, held_persons, edge = 0, 0, 0.0
        for group in sorted(persons, key=lambda group: (_place(self.split_seed, group), group)):
            size = samples.get(group, 0)
            if persons[group] > room or size > self.test_max_samples:
                continue
            held_samples, held_persons = held_samples + size, held_persons + persons[group]
            if held_persons > room or held_samples > self.test_max_samples:
                break
            edge = _place(self.split_seed, group)
            if size:
                taken.add(group)
        if not taken:
            taken = {next((g for g in order if samples[g] <= self.test_max_samples), order[0])}
        return taken, edge

    def process(self, unit: Unit) -> Iterator[Row]:
        split, bucket = unit.id.rsplit("-", 1)
        rows = list(_joined(unit))
        path = Path(FOLDER) / f"{split}-{bucket}-of-{self.buckets:05d}.parquet"
        target = self._run / path
        write_shard(target, rows)
        yield {
            "bucket": unit.id,
            "split": split,
            "path": path.as_posix(),
            "sha256": sha256_of(target),
            "bytes": target.stat().st_size,
            "rows": len(rows),
            "seconds": sum(row["frames"] for row in rows) / FPS,
        }

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        removal.complete(context.run / FOLDER)  # one that was cut short would undo later what is written now
        yield {}

    def finish(self, context: Context, store: "Store") -> None:
        """Write the index, last; then remove shards that it does not list."""
        light = {
            "samples": ["person_id", "video_id"],
            "videos": ["video_id", "channel", "channel_id"],
            "persons": ["video_id"],
            "speakers": ["person_id", "speaker"],
        }
        wanted = set(self.group({kind: store.read(kind, columns) for kind, columns in light.items()}))
        rows = store.read("shards").to_pylist()
        entries = [row for row in rows if row["bucket"] in wanted]
        _forget(store, {row["bucket"] for row in rows} - wanted)
        folder = context.run / FOLDER
        removal.complete(folder)
        if entries or folder.is_dir():
            write_index(folder, self._index(entries))
            _remove_others(folder, {Path(entry["path"]).name for entry in entries})

    def _index(self, entries: list[Row]) -> dict[str, Any]:
        return build_index(
            [{**entry, "path": Path(entry["path"]).name} for entry in entries],
            [_described(field) for field in shard_schema()],
            version=".".join(map(str, VERSION)),
            csg405=version_of(),
            settings=self.result_settings(),
        )


def _sharing(videos: Sequence[str], samples: "pa.Table", speakers: "pa.Table") -> dict[str, str]:
    """video_id -> the smallest id among the videos that it shares speakers with, directly or through others."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    of_person = dict(zip(speakers["person_id"].to_pylist(), speakers["speaker"].to_pylist(), strict=True))
    number = {video: at for at, video in enumerate(sorted(set(videos)))}
    seen_in: dict[str, int] = {}  # speaker -> a video with that speaker
    links: set[tuple[int, int]] = set()
    for person, video in zip(samples["person_id"].to_pylist(), samples["video_id"].to_pylist(), strict=True):
        speaker = of_person.get(person)
        if speaker is not None:
            links.add((number[video], seen_in.setdefault(speaker, number[video])))
    pairs = np.array(sorted(links), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(number), len(number)))
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for video, at in number.items():  # in the order of ids
        smallest.setdefault(int(component[at]), video)
    return {video: smallest[int(component[number[video]])] for video in videos}


def _forget(store: "Store", buckets: set[str]) -> None:
    """Mark buckets that emptied as not done: their files go, and a verdict that comes back must write them again."""
    from pipeline.tables.outcome import OUTCOME, RETRY, Outcome

    table = store.table("shards")
    won = table.winners(OUTCOME.names).to_pylist() if buckets else []
    marks = [
        Outcome(row["unit"], row["stage"], row["fingerprint"], RETRY, attempt=row["attempt"] + 1, at=row["at"])
        for row in won
        if row["unit"] in buckets
    ]
    if marks:
        table.append([], marks)


def unit_name(split: str, bucket: int) -> str:
    """`train-00003`."""
    return f"{split}-{bucket:05d}"


def bucket_of(video_id: str, buckets: int) -> int:
    """The bucket of a video: the same on every machine and in every run with as many buckets."""
    return int.from_bytes(blake2b(video_id.encode(), digest_size=8).digest(), "big") % buckets


def _place(seed: int, group: str) -> float:
    """Where a group stands in 0..1."""
    return int.from_bytes(blake2b(f"{seed}:{group}".encode(), digest_size=7).digest(), "big") / (1 << 56)


def _joined(unit: Unit) -> Iterator[dict[str, Any]]:
    """One dict of the shard's columns a sample, in the order of person ids."""
    videos = {row["video_id"]: row for row in unit.rows("videos")}
    clips = {row["clip_id"]: row for row in unit.rows("clips")}
    persons = {row["person_id"]: row for row in unit.rows("persons")}
    more = {
        kind: (KINDS[kind].key, {row[KINDS[kind].key]: row for row in unit.rows(kind)}) for kind in shard_measures()
    }
    features = {row["person_id"]: row for row in unit.rows("audio_features")}
    for sample in unit.rows("samples"):
        video, clip = videos[sample["video_id"]], clips[sample["clip_id"]]
        row = {name: sample[name] for name in ("clip_id", "video_id", *_SAMPLE)}
        row |= {name: video[name] for name in _PUBLISHED}
        row |= {
            "person": persons[sample["person_id"]]["person"],
            "start_seconds": clip["start_seconds"],
            "fps": FPS,
            "source_width": video["width"],
            "source_height": video["height"],
            **{name: features.get(sample["person_id"], {}).get(name) for name in _FEATURES},
            "versions": _versions(),
        }
        for kind, (key, found) in more.items():
            measured = found.get(sample[key], {})
            row |= {name: measured.get(name) for name in shard_measures()[kind]}
        yield row


def _versions() -> str:
    return json.dumps({"csg405": version_of(), "shard": ".".join(map(str, VERSION))}, sort_keys=True)


def _described(field: "pa.Field") -> dict[str, str]:
    notes = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return {"name": field.name, "type": str(field.type), "unit": notes.get("unit", ""), "text": notes.get("text", "")}


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.glob("*.parquet"):
        if path.name not in names:
            log.info("removing %s: no sample is in it any more", path.name)
            path.unlink()


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("shards")
