"""Which split and which file each sample goes to: by hashes, so that a new verdict moves nobody else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from pipeline.shards.format import SPLITS
from pipeline.shards.release.published import published_splits
from stages.shards.settings import SOURCE, ShardsSettings
from stages.shards.sources import Sizes, split_by_source

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.shards.sources import Splits

TRAIN, VALIDATION, TEST = SPLITS


def units(settings: ShardsSettings, tables: "Mapping[str, pa.Table]") -> list[str | None]:
    """The unit of each sample: `<split>-<bucket>`."""
    videos: list[str] = tables["samples"]["video_id"].to_pylist()
    if settings.split_by == SOURCE:
        of_video = by_source(settings, tables).of_video
        return [unit_name(of_video[video], bucket_of(video, settings.buckets)) for video in videos]
    group_of = _groups(settings.split_by, tables)
    persons = Counter(tables["persons"]["video_id"].to_pylist())
    samples = Counter(videos)
    split_of = splits(settings, _by_group(samples, group_of), _by_group(persons, group_of))
    unit_of = {
        video: unit_name(split_of[group_of.get(video, video)], bucket_of(video, settings.buckets)) for video in samples
    }
    return [unit_of[video] for video in videos]


def _by_group(videos: Mapping[str, int], group_of: Mapping[str, str]) -> Counter[str]:
    """Counts of videos as those of their groups."""
    found = Counter[str]()
    for video, count in videos.items():
        found[group_of.get(video, video)] += count
    return found


def by_source(settings: ShardsSettings, tables: "Mapping[str, pa.Table]") -> "Splits":
    """The split of each video, and what there is to tell of splits by source."""
    from stages.shards.components import components  # SciPy, which no other split needs

    people = tables["persons"]["video_id"].to_pylist()
    kept = tables["samples"]["video_id"].to_pylist()
    group_of = components(sorted({*tables["videos"]["video_id"].to_pylist(), *people, *kept}), tables)
    persons = Counter(group_of[video] for video in people)
    samples = Counter(group_of[video] for video in kept)
    published = published_splits(settings.published) if settings.published else {}
    order = sorted(set(group_of.values()), key=lambda group: (_place(settings.split_seed, group), group))
    return split_by_source(settings, group_of, order, Sizes(persons, samples), published)


def _groups(split_by: str, tables: "Mapping[str, pa.Table]") -> dict[str, str]:
    """video_id -> what it is kept together with."""
    videos = tables["videos"]
    ids = videos["video_id"].to_pylist()
    if split_by == "video":
        return {video: video for video in ids}
    if split_by == "speaker":
        from stages.shards.components import sharing_speakers  # SciPy, which no other split needs

        return sharing_speakers(ids, tables["samples"], tables["speakers"])
    channels = zip(videos["channel_id"].to_pylist(), videos["channel"].to_pylist(), strict=True)
    return {video: by_id or by_name or video for video, (by_id, by_name) in zip(ids, channels, strict=True)}


def splits(settings: ShardsSettings, samples: Mapping[str, int], persons: Mapping[str, int]) -> dict[str, str]:
    """Group -> split.

    Groups stand in the order of a seeded hash. The first of them are the test split: as many as hold 5 % of all persons
    seen, kept or not, so that an argument about thresholds does not move anybody from split to split; never more than
    133 samples, never none. The next tenth of the hash's range is validation.

    Args:
        samples: kept samples of each group that has some.
        persons: persons of each group, whatever became of them.
    """
    order = sorted(samples, key=lambda group: (_place(settings.split_seed, group), group))
    if len(order) < 2:
        return dict.fromkeys(order, TRAIN)
    test, edge = _test(settings, order, samples, persons)
    rest = [group for group in order if group not in test]
    limit = edge + settings.validation_share * (1 - edge)
    validation = {group for group in rest if _place(settings.split_seed, group) < limit}
    if not validation and settings.validation_share and len(rest) > 1:
        validation = {rest[0]}
    return {group: TEST if group in test else VALIDATION if group in validation else TRAIN for group in order}


def _test(
    settings: ShardsSettings, order: Sequence[str], samples: Mapping[str, int], persons: Mapping[str, int]
) -> tuple[set[str], float]:
    """The groups of the test split, without those too large by themselves, and how far into 0..1 it reaches."""
    if not settings.test_share:
        return set(), 0.0
    room = max(1.0, settings.test_share * sum(persons.values()))
    taken: set[str] = set()
    held_samples, held_persons, edge = 0, 0, 0.0
    for group in sorted(persons, key=lambda group: (_place(settings.split_seed, group), group)):
        size = samples.get(group, 0)
        if persons[group] > room or size > settings.test_max_samples:
            continue
        held_samples, held_persons = held_samples + size, held_persons + persons[group]
        if held_persons > room or held_samples > settings.test_max_samples:
            break
        edge = _place(settings.split_seed, group)
        if size:
            taken.add(group)
    if not taken:
        taken = {next((g for g in order if samples[g] <= settings.test_max_samples), order[0])}
    return taken, edge


def unit_name(split: str, bucket: int) -> str:
    """`train-00003`."""
    return f"{split}-{bucket:05d}"


def bucket_of(video_id: str, buckets: int) -> int:
    """The bucket of a video: the same on every machine and in every run with as many buckets."""
    return int.from_bytes(blake2b(video_id.encode(), digest_size=8).digest(), "big") % buckets


def _place(seed: int, group: str) -> float:
    """Where a group stands in 0..1."""
    return int.from_bytes(blake2b(f"{seed}:{group}".encode(), digest_size=7).digest(), "big") / (1 << 56)
