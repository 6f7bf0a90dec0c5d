"""The table kinds: what each row is, what each column holds, and in which unit.

Stages meet in these tables and nowhere else. A schema grows by nullable columns only; readers fill what older
parts lack with nulls. Field metadata carries the unit and a sentence, which report, shards and `csg405 show` print.
"""

from pipeline.base.units import KEYPOINTS
from pipeline.tables.kinds.clips import CLIPS
from pipeline.tables.kinds.evaluation import PAIRS, RENDITIONS, SCORES, SUBJECTS
from pipeline.tables.kinds.kind import BOX, FRAME_LIST_WIDTH, FileColumns, Kind, column, frames, is_path
from pipeline.tables.kinds.measures import LIP_SYNCS, OVERLAPS, POSE_MEASURES, SAME_FACES, SOUND_MEASURES
from pipeline.tables.kinds.outputs import PREVIEWS, RELEASES, REPORTS, SHARDS
from pipeline.tables.kinds.persons import PERSONS
from pipeline.tables.kinds.samples import ATTRIBUTES, AUDIO_FEATURES, SAMPLES, SPEAKERS
from pipeline.tables.kinds.sources import CHECKS, SOURCES, TYPES, VIDEOS
from pipeline.tables.kinds.twins import SOUND_FINGERPRINTS, TWINS
from pipeline.tables.kinds.verdicts import VERDICTS

__all__ = ["BOX", "FRAME_LIST_WIDTH", "KEYPOINTS", "KINDS", "FileColumns", "Kind", "column", "frames", "is_path"]

# Parents before their children: in this order a row comes before the rows that hang on it.
_KINDS = (
    *(TYPES, SOURCES, CHECKS, VIDEOS),
    CLIPS,
    PERSONS,
    *(POSE_MEASURES, SOUND_MEASURES, OVERLAPS, SAME_FACES, LIP_SYNCS),
    *(SOUND_FINGERPRINTS, TWINS),
    VERDICTS,
    *(SAMPLES, ATTRIBUTES, SPEAKERS, AUDIO_FEATURES),
    *(PREVIEWS, SHARDS, REPORTS, RELEASES),
    *(SUBJECTS, PAIRS, RENDITIONS, SCORES),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
