"""Sound of videos, of which each track is decoded once for all workers and stages, and then read by index from a cache on disk."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.ids import disk_name
from pipeline.base.units import SAMPLES_PER_FRAME
from pipeline.media import wave_file
from pipeline.media.audio import cut, read_wave
from pipeline.media.readers import READER_VERSION
from pipeline.media.reading import Reading
from pipeline.media.wave_file import DamagedWave
from pipeline.storage import Storage
from pipeline.storage.cache import Cache

log = logging.getLogger(__name__)
Wave = NDArray[np.float32]

FOLDER = "sound"  # of the cache's keys
WAVE_VERSION = 1  # another one when `read_wave` gives other samples for the same file and reading


class _Missing(LookupError):
    """Raised for a track that the cache has not, or no longer as it was written."""


class SoundTracks:
    """The sound of videos, by grid pictures. Private to a worker: not thread-safe.

    A track that the cache holds is read from there; one that it lost, or that is damaged, is decoded again. Of workers that want
    the same at once one decodes it. Where the cache cannot be used, the last track stays in memory, and a line says why.

    Args:
        storage: where the videos lie.
        cache: what all workers of this machine share; None: nothing is shared.
    """

    def __init__(self, storage: Storage, cache: Cache | None) -> None:
        self._storage, self._cache = storage, cache
        self._held: tuple[str, Wave | None] | None = None

    def piece(self, video: Mapping[str, Any], first_frame: int, frames: int) -> Wave | None:
        """The sound of these grid pictures, (frames x 640,) float32 at 16 kHz; None where the video has no track that decodes.

        Args:
            video: a row of `videos`: `video_id`, `path`, `sha256`, and how its sound is read.
            first_frame, frames: of the grid; outside of the track it is silent.

        Raises:
            Reject, Failure: as `read_wave` does.
        """
        begin = max(first_frame, 0)
        wave = self._read(video, begin * SAMPLES_PER_FRAME, max(first_frame + frames, 0) * SAMPLES_PER_FRAME)
        return None if wave is None else cut(wave, first_frame - begin, frames)

    def whole(self, video: Mapping[str, Any]) -> Wave | None:
        """All of a video's sound, (samples,) float32 at 16 kHz, as `read_wave` gives it."""
        return self._read(video, 0, None)

    def _read(self, video: Mapping[str, Any], begin: int, end: int | None) -> Wave | None:
        """Samples [begin, end) as far as the track has them."""
        name = name_of(video)
        if self._cache is not None and name and (self._held is None or self._held[0] != name):
            self._held = None
            try:
                return self._cached(self._cache, f"{FOLDER}/{name}", video, begin, end)
            except OSError as error:
                wave = self._in_memory(name, video)  # raises what is the video's own trouble
                log.warning("sound tracks are not shared (%s): each worker decodes its own", error)
                self._cache = None
        else:
            wave = self._in_memory(name, video)
        return None if wave is None else wave[begin:end]

    def _cached(self, cache: Cache, key: str, video: Mapping[str, Any], begin: int, end: int | None) -> Wave | None:
        """Samples of a track that is in the cache, or is now."""
        with contextlib.suppress(_Missing):
            return _found(cache, key, begin, end)
        with cache.fetching(key):
            with contextlib.suppress(_Missing):  # somebody may have decoded it meanwhile
                return _found(cache, key, begin, end)
            wave = self._decoded(video)
            if _fits(cache, wave):
                with cache.temporary(".wave") as path:
                    wave_file.write(path, wave)
                    cache.take(path, key, key)
            else:
                log.warning(
                    "%s is too long for machine.cache_gb, or for what the disk has free: each worker decodes it", key
                )
                self._held = key.removeprefix(f"{FOLDER}/"), wave
        return None if wave is None else wave[begin:end]

    def _in_memory(self, name: str, video: Mapping[str, Any]) -> Wave | None:
        """A whole track, of which the last one is kept."""
        key = name or f"{video['path']}"
        if self._held is None or self._held[0] != key:
            self._held = None  # freed before the next is read, so that two are never in memory
            self._held = key, self._decoded(video)
        return self._held[1]

    def _decoded(self, video: Mapping[str, Any]) -> Wave | None:
        return read_wave(self._storage.local(video["path"]), reading=Reading.of(video))


def name_of(video: Mapping[str, Any]) -> str:
    """The name of a track's file, which begins as all files of the video do; "" where nothing says which bytes the video has."""
    if not video.get("sha256"):
        return ""
    made_of = [WAVE_VERSION, READER_VERSION, *(video.get(column) for column in ("sha256", "clock", "sound_track"))]
    return f"{disk_name(video['video_id'])}-{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]}.wave"


def _found(cache: Cache, key: str, begin: int, end: int | None) -> Wave | None:
    """Samples of a track as the cache has them."""
    if cache.version(key) != key:
        raise _Missing
    try:
        wave = wave_file.read(cache.path(key), begin, end)
    except FileNotFoundError:  # it made room for others just now
        raise _Missing from None
    except DamagedWave as damage:
        log.warning("%s: it is decoded again", damage)
        cache.drop(key)
        raise _Missing from None
    cache.touch(key)
    return wave


def _fits(cache: Cache, wave: Wave | None) -> bool:
    """Whether a track may lie in the cache: within its limit, and on a disk that has room for results as well."""
    size = 0 if wave is None else wave.nbytes
    return size < cache.limit_bytes and cache.has_disk_for(size)
