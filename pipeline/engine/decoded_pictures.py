"""Parts of pictures that a stage has in hand and later ones need: what a worker puts into the cache of the run, and finds there.

Apart from `decoded`, because of the decoders: a driver with nothing to do leaves them alone.
"""

from pipeline.engine.decoded import cache_of
from pipeline.engine.stage import Context
from pipeline.media.patch_cache import PatchCache


def pictures(context: Context) -> PatchCache:
    """What one worker keeps of pictures for the stages that are to come, and what it finds."""
    return PatchCache(cache_of(context), context.wanted_pictures)
