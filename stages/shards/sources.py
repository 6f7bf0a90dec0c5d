"""Splits by source: what shares a channel, a speaker or footage, directly or through others, is in one split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.shards.format import SPLITS
from stages.shards.settings import ShardsSettings

TRAIN, VALIDATION, TEST = SPLITS


@dataclass(frozen=True)
class Splits:
    """Where each video goes, and what there is to tell of it.

    Attributes:
        of_video: video_id -> split.
        told: lines about what could not be kept apart, or was put where no hash put it.
    """

    of_video: Mapping[str, str]
    told: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sizes:
    """How large components are.

    Attributes:
        persons: people of each, whatever became of them: by these splits are filled, so that thresholds move nobody.
        samples: kept samples of each that has some.
    """

    persons: Mapping[str, int]
    samples: Mapping[str, int]

    def of(self, groups: Iterable[str]) -> tuple[int, int]:
        """People and samples of several."""
        listed = list(groups)
        return sum(self.persons.get(g, 0) for g in listed), sum(self.samples.get(g, 0) for g in listed)


def split_by_source(
    settings: ShardsSettings,
    group_of: Mapping[str, str],
    order: Sequence[str],
    sizes: Sizes,
    published: Mapping[str, str] = {},
) -> Splits:
    """Put every component into a split: in this order, the first that fit fill the test split, the next the validation split.

    Args:
        settings: of the stage.
        group_of: video_id -> its component.
        order: the components, in the order of their hashes.
        sizes: of the components.
        published: video_id -> the split in which it was published. Those stay; what is new and hangs together with those of one
            split goes there, and with those of several to train.
    """
    told: list[str] = []
    fixed, kept_apart = _fixed(group_of, published, told)
    free = _small_enough(settings, [group for group in order if group not in fixed], sizes.persons, told)
    several = sum(1 for group in order if sizes.samples.get(group)) > 1
    held = {split: sizes.of(g for g in fixed if fixed[g] == split) for split in SPLITS}
    total = sum(sizes.persons.values())
    room = settings.test_share * total - held[TEST][0]
    wanted = several and settings.test_share > 0 and not held[TEST][1]
    test = _filled(free, room, sizes, settings.test_max_samples - held[TEST][1], at_least_one=wanted)
    rest = [group for group in free if group not in test]
    room = settings.validation_share * (total - held[TEST][0] - sizes.of(test)[0]) - held[VALIDATION][0]
    wanted = several and settings.validation_share > 0 and not held[VALIDATION][1] and len(rest) > 1
    validation = _filled(rest, room, sizes, None, at_least_one=wanted)
    split_of = dict.fromkeys(order, TRAIN) | fixed | dict.fromkeys(test, TEST) | dict.fromkeys(validation, VALIDATION)
    return Splits({video: kept_apart.get(video) or split_of[group] for video, group in group_of.items()}, told)


def _small_enough(
    settings: ShardsSettings, groups: Sequence[str], persons: Mapping[str, int], told: list[str]
) -> list[str]:
    """The components that may be held out; of those too large it is told."""
    total = max(1, sum(persons.values()))
    large = {
        group: share for group in groups if (share := persons.get(group, 0) / total) > settings.max_component_share
    }
    told += [
        f"{share:.0%} of all people hang together with {group} by channel, speaker or footage: they are for training "
        f'(shards.max_component_share={settings.max_component_share:g}; shards.split_by="video" splits them, whatever they share)'
        for group, share in large.items()
    ]
    return [group for group in groups if group not in large]


def _fixed(
    group_of: Mapping[str, str], published: Mapping[str, str], told: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Component -> split, of those with published videos; and of those with videos of several splits, video -> split."""
    seen: dict[str, dict[str, list[str]]] = {}
    for video, group in group_of.items():
        if video in published:
            seen.setdefault(group, {}).setdefault(published[video], []).append(video)
    fixed: dict[str, str] = {}
    kept_apart: dict[str, str] = {}
    for group, splits in seen.items():
        fixed[group] = TRAIN if len(splits) > 1 else next(iter(splits))
        if len(splits) > 1:
            kept_apart |= {video: split for split, videos in splits.items() for video in videos}
            told.append(
                f"what was published in {' and '.join(sorted(splits))} hangs together with {group} by channel, speaker or "
                "footage; it stays where it was, what is new of it is for training"
            )
    return fixed, kept_apart


def _filled(
    order: Sequence[str], room: float, sizes: Sizes, most_samples: int | None, *, at_least_one: bool
) -> set[str]:
    """The first components that fit into the room, in people; where none with samples does, the smallest, if there must be one."""
    taken: set[str] = set()
    held, kept = 0, 0
    for group in order:
        size, count = sizes.of([group])
        if held + size <= room and (most_samples is None or kept + count <= most_samples):
            taken.add(group)
            held, kept = held + size, kept + count
    if at_least_one and not kept:
        able = [group for group in order if sizes.samples.get(group)]
        able = [group for group in able if most_samples is None or sizes.samples[group] <= most_samples] or able
        taken |= {min(able, key=lambda group: sizes.persons.get(group, 0))} if able else set()
    return taken
