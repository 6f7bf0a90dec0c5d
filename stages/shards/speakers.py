"""Videos that share speakers, directly or through others."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def sharing_speakers(videos: Sequence[str], samples: pa.Table, speakers: pa.Table) -> dict[str, str]:
    """video_id -> the smallest id among the videos that it shares speakers with, directly or through others."""
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
