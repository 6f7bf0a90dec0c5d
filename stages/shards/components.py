"""Videos that hang together, directly or through others: by a channel, a speaker or footage that they share."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Shared = tuple[str, str, str]  # what, the video, and the value that it shares with others


def components(videos: Sequence[str], tables: Mapping[str, pa.Table]) -> dict[str, str]:
    """video_id -> the smallest id among the videos that it shares a channel, a speaker or footage with, or through others.

    Args:
        videos: ids.
        tables: `videos` (channel, channel_id), `samples` and `speakers` (person_id), `twins` (near_cluster_id).
    """
    return _joined(videos, _of_sources(tables))


def sharing_speakers(videos: Sequence[str], samples: pa.Table, speakers: pa.Table) -> dict[str, str]:
    """video_id -> the smallest id among the videos that it shares speakers with, directly or through others."""
    return _joined(videos, _of_speakers(samples, speakers))


def _joined(videos: Sequence[str], shared: Iterable[Shared]) -> dict[str, str]:
    number = {video: at for at, video in enumerate(sorted(set(videos)))}
    first: dict[tuple[str, str], int] = {}  # what videos share -> the first of them
    links = {
        (number[video], first.setdefault((kind, value), number[video]))
        for kind, video, value in shared
        if video in number
    }
    pairs = np.array(sorted(links), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(number), len(number)))
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for video, at in number.items():  # in the order of ids
        smallest.setdefault(int(component[at]), video)
    return {video: smallest[int(component[number[video]])] for video in videos}


def _of_sources(tables: Mapping[str, pa.Table]) -> Iterable[Shared]:
    about = tables["videos"].select(["video_id", "channel", "channel_id"]).to_pylist()
    yield from (("id", row["video_id"], row["channel_id"]) for row in about if row["channel_id"])
    # by name as well: of two lists of links, one may give a channel's id and the other its name alone
    yield from (("channel", row["video_id"], row["channel"]) for row in about if row["channel"])
    yield from _of_speakers(tables["samples"], tables["speakers"])
    twins = zip(*(tables["twins"][name].to_pylist() for name in ("video_id", "near_cluster_id")), strict=True)
    yield from (("twins", video, cluster) for video, cluster in twins if cluster)


def _of_speakers(samples: pa.Table, speakers: pa.Table) -> Iterable[Shared]:
    who = dict(zip(*(speakers[name].to_pylist() for name in ("person_id", "speaker")), strict=True))
    seen = zip(*(samples[name].to_pylist() for name in ("person_id", "video_id")), strict=True)
    return (("speaker", video, who[person]) for person, video in seen if who.get(person))
