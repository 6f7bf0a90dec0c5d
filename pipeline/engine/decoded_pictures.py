"""Parts of pictures that a stage has in hand and later ones need: what a worker puts into the cache of the run, and finds there.

Apart from `decoded`, because of the decoders: a driver with nothing to do leaves them alone.
"""

from pipeline.engine.decoded import opened_cache
from pipeline.engine.stage import Context
from pipeline.media.patch_cache import FOLDER, PatchCache


def pictures(context: Context) -> PatchCache:
    """What one worker keeps of pictures for the stages that are to come, and what it finds."""
    return PatchCache(opened_cache(context, FOLDER), context.wanted_pictures)
