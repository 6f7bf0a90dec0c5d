"""What every worker of a crawl needs, imported once: they are forked from a process that imported this.

yt-dlp asks each of its 1,900 extractors whether a link is theirs, and the first time each compiles its pattern.
"""

import gc
from contextlib import suppress
from importlib import import_module

from pipeline.base.errors import StageError

for _module in ("inputs", "worker"):
    import_module(f"stages.crawl.{_module}")
for _module in (
    "pipeline.engine.executors.local",
    "pipeline.engine.executors.worker",
    "pipeline.sources.web.pace",
    "imageio_ffmpeg",
):
    import_module(_module)
# Without a usable yt-dlp a folder is crawled all the same; for links the driver has already stopped.
with suppress(StageError):
    import_module("stages.crawl.fetch")
    import_module("pipeline.sources.web.ytdlp").warm_up()
gc.collect()
gc.freeze()  # what is here stays: it need not be looked through after each video, nor be copied into each worker
