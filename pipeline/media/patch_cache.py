"""Parts of pictures that one stage had in hand and a later one needs, in a cache on disk; what it lacks is decoded again.

They are put there only while there is room: the stages go through the videos in one order, so what made room for the newest would
be what is needed first. Sound, which costs more to decode again, is always let in, and the oldest go for it.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from pipeline.base.ids import disk_name
from pipeline.media import patches as patch_file
from pipeline.media.columns import PICTURE_COLUMNS
from pipeline.media.patches import PATCHES_VERSION, DamagedPatches, Patches
from pipeline.media.readers import READER_VERSION
from pipeline.storage.cache import Cache

log = logging.getLogger(__name__)

FOLDER = "pictures"  # of the cache's keys
SHARE = 0.5  # of the cache's limit that they may take
_BELIEVED_SECONDS = 30.0  # that a measured size is believed: other workers put some meanwhile


class PatchCache:
    """Patches of clips, by what they are wanted for. Private to a worker: not thread-safe.

    Args:
        cache: what all workers of this machine share; None: nothing is kept, and nothing found.
        wanted: the kinds that a stage is to come for.
    """

    def __init__(self, cache: Cache | None, wanted: frozenset[str] = frozenset()) -> None:
        self._cache, self._wanted = cache, wanted
        self._taken, self._looked = 0, float("-inf")

    def wants(self, kind: str, video: Mapping[str, Any]) -> bool:
        """Whether patches of this kind are to be put: a stage is to come for them, and there is room."""
        return kind in self._wanted and bool(video.get("sha256")) and self._has_room(0)

    def put(self, kind: str, video: Mapping[str, Any], first_frame: int, frames: int, found: Patches) -> None:
        """Keep patches of grid pictures [first_frame, first_frame + frames), numbered from 0; where that fails, a line says why.

        Args:
            kind: what they are wanted for.
            video: a row of `videos`: `video_id`, `sha256`, and how its pictures are read.
            first_frame, frames: of the clip.
            found: what was cut out of it.
        """
        key = key_of(kind, video, first_frame, frames)
        if self._cache is None or not key or not self._has_room(found.bytes):
            return
        try:
            with self._cache.temporary(".patches") as path:
                patch_file.write(path, found)
                self._cache.take(path, key, key)
        except OSError as error:
            log.warning("pictures are not kept for later stages (%s): these decode them again", error)
            self._cache = None
        self._taken += found.bytes

    def get(self, kind: str, video: Mapping[str, Any], first_frame: int, frames: int) -> Patches | None:
        """What was kept of these grid pictures; None where nothing is, any more."""
        key = key_of(kind, video, first_frame, frames)
        if self._cache is None or not key:
            return None
        try:
            if self._cache.version(key) != key:
                return None
            found = patch_file.read(self._cache.path(key))
            self._cache.touch(key)
        except FileNotFoundError:  # it made room for others just now
            return None
        except (DamagedPatches, OSError) as error:
            log.warning("%s: the pictures are decoded again", error)
            return None
        return found

    def _has_room(self, more: int) -> bool:
        """Whether patches may take so many bytes more: of the cache's limit, and of a disk that has room for results as well."""
        cache = self._cache
        if cache is None:
            return False
        with contextlib.suppress(OSError):  # of a disk that can only be read: nothing is kept there
            if time.monotonic() - self._looked > _BELIEVED_SECONDS:
                self._taken, self._looked = cache.bytes_of(FOLDER), time.monotonic()
            return self._taken + more < SHARE * cache.limit_bytes and cache.has_disk_for(more)
        return False


def key_of(kind: str, video: Mapping[str, Any], first_frame: int, frames: int) -> str:
    """Where patches lie, in a file that is named as all files of the video are; "" where nothing says which bytes the video has."""
    if not video.get("sha256"):
        return ""
    origin = [PATCHES_VERSION, READER_VERSION, *(video.get(column) for column in ("sha256", *PICTURE_COLUMNS))]
    made_of = hashlib.sha256(json.dumps([*origin, first_frame, frames]).encode()).hexdigest()[:12]
    return f"{FOLDER}/{kind}/{disk_name(video['video_id'])}-{made_of}.patches"
