"""What every worker of a crawl needs, imported once: they are forked from a process that imported this.

yt-dlp asks each of its 1,900 extractors whether a link is theirs, and the first time each compiles its pattern.
"""

import gc
from importlib import import_module

from yt_dlp.extractor import gen_extractor_classes

for _module in ("fetch", "formats", "notes", "place", "record", "room", "units"):
    import_module(f"stages.crawl.{_module}")
for _module in (
    "pipeline.engines.local",
    "pipeline.engines.worker",
    "pipeline.web.net",
    "pipeline.web.pace",
    "imageio_ffmpeg",
):
    import_module(_module)
for _module in ("youtube", "generic", "commonprotocols"):
    import_module(f"yt_dlp.extractor.{_module}")
for _extractor in gen_extractor_classes():
    _extractor.suitable("https://example.org/")
gc.collect()
gc.freeze()  # what is here stays: it need not be looked through after each video, nor be copied into each worker
