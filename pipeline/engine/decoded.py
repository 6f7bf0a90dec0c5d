"""What stages decode once for all of them, the sound of videos and parts of pictures: where it lies, and when it goes.

It lies in the run, so that an opt-out, `gc` and the disk figures find it; on a machine that does not see the run, in the cache of
the run's storage, which the next worker there rids of whoever opted out, and of what nobody asked for lately: nothing tells such a
machine that no stage is to come. All of it can be made again.
"""

import logging
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.base.reasons import Failure
from pipeline.engine.profile import Profile
from pipeline.engine.stage import Context, Stage
from pipeline.engine.stage_nets import may_run
from pipeline.registry.models import Registry
from pipeline.storage import where_of
from pipeline.storage.cache import Cache
from pipeline.storage.where import cache_limit
from pipeline.tables.lock import at_work

if TYPE_CHECKING:
    from pipeline.media.sound_tracks import SoundTracks

log = logging.getLogger(__name__)
FOLDER = "cache/media"
UNUSED_SECONDS = 3 * 86_400.0  # after which, away from the run, what was decoded is not waited for any more


def sound_tracks(context: Context) -> "SoundTracks":
    """The sound of videos for one worker."""
    from pipeline.media import sound_tracks as sound  # decoders, which a driver with nothing to do leaves alone

    return sound.SoundTracks(context.storage, opened_cache(context, sound.FOLDER))


def wanted_pictures(profile: Profile, stage: Stage, models: Registry) -> frozenset[str]:
    """The kinds of pictures that a stage is to keep: stages after it come for them. Those that lack a net will not come."""
    if not stage.keeps_pictures:
        return frozenset()
    names = profile.all_stages
    later = map(profile.stage, names[names.index(stage.name) + 1 :] if stage.name in names else ())
    reading = (one for one in later if one.wants_pictures() and may_run(one, models))
    return frozenset(stage.keeps_pictures) & {*chain.from_iterable(one.wants_pictures() for one in reading)}


def opened_cache(context: Context, folder: str) -> Cache | None:
    """What `cache_of` finds, for a worker that begins: on a machine that does not see the run it is tidied first.

    Args:
        context: of the worker.
        folder: of the cache's keys, in which what was not asked for lately goes.
    """
    cache = cache_of(context)
    if cache is None or cache.folder == context.run / FOLDER:
        return cache
    try:
        context.storage.forget_here()
        cache.drop_unused(folder, UNUSED_SECONDS)
    except (Failure, OSError) as error:
        log.warning("what was decoded on this machine is not used, as who opted out since is not known: %s", error)
        return None
    return cache


def cache_of(context: Context) -> Cache | None:
    """Where the workers of this machine share what they decode; None where nobody would find it again to delete it."""
    run, where = context.run, context.where
    here = None if where is None else where_of(run)
    if run.is_dir() and (where is None or (here is not None and here.id == where.id)):
        return Cache(run / FOLDER, cache_limit(context.cache_gb))
    if where is None or urlsplit(where.url).scheme == "file":
        return None
    return Cache(where.cache_folder, where.cache_bytes)


def readers(stages: Iterable[Stage]) -> list[Stage]:
    """The stages that read what others decoded, as they are set."""
    return [stage for stage in stages if stage.reads_decoded or stage.wants_pictures()]


def drop_unneeded(run: Path, stages: Iterable[Stage], to_come: Callable[[Stage], bool]) -> None:
    """Delete what was decoded, once no stage of a profile is left that reads it, and nobody is at work who decodes for others.

    Args:
        run: the run's folder.
        stages: of the profile.
        to_come: whether one that reads it has work left.
    """
    if not (run / FOLDER).is_dir():
        return
    stages = list(stages)
    reading = readers(stages)
    kinds = [stage.writes for stage in stages if stage in reading or stage.keeps_pictures]
    if not (any(map(to_come, reading)) or at_work(run, kinds)):
        Cache(run / FOLDER, 0).keep_only(())
