"""How much work units are: seconds of video, where they have any."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from pipeline.base.units import FPS
from pipeline.engine.stage import Stage
from pipeline.tables.arrow import strings
from pipeline.tables.hashing import flat
from pipeline.tables.store import Store

_FRAMES = re.compile(r"\+([0-9]+)(?:#[0-9]+)?$", re.ASCII)  # at the end of a clip's and a person's id


def seconds_of(stage: Stage, store: Store, units: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """(units,) seconds of video of each; those of unknown length count as the others do on average. None if no unit has any."""
    if not stage.reads or not units:
        return None
    if stage.unit == "video_id":
        seconds = _of_videos(store, units)
    elif stage.unit in ("clip_id", "person_id"):
        found = map(_FRAMES.search, units)
        seconds = np.array([int(one[1]) if one else np.nan for one in found], np.float64) / FPS
    else:
        return None
    known = np.isfinite(seconds) & (seconds > 0)
    return np.where(known, seconds, seconds[known].mean()) if known.any() else None


def _of_videos(store: Store, units: Sequence[str]) -> npt.NDArray[np.float64]:
    rows = store.read("videos", ["video_id", "duration_seconds"])
    at = pc.index_in(strings(units), value_set=flat(rows["video_id"]))
    return np.asarray(flat(rows["duration_seconds"]).take(at).to_numpy(zero_copy_only=False), np.float64)
