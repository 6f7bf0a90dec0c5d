"""What is fetched, as yt-dlp takes it: one format, or a picture and a sound that it puts into one file."""

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.sources.web.ytdlp import get_compatible_ext
from stages.crawl.formats import Format, FormatSettings, choose


def selector(settings: FormatSettings) -> Callable[[dict[str, Any]], Iterator[Format]]:
    """yt-dlp's `format` parameter as a function: yields the one format, or pair of formats, to fetch."""

    def select(context: dict[str, Any]) -> Iterator[Format]:
        video, sound = choose(context["formats"], settings)
        yield _merged(video, sound) if sound else video

    return select


def _merged(video: Format, sound: Format) -> Format:
    """A pair as yt-dlp wants it: fetched one after the other, then put into one file."""
    ext = get_compatible_ext(
        vcodecs=[video.get("vcodec")], acodecs=[sound.get("acodec")], vexts=[video["ext"]], aexts=[sound["ext"]]
    )
    kept = ("width", "height", "fps", "vcodec", "dynamic_range", "vbr", "stretched_ratio", "aspect_ratio", "resolution")
    return {
        **{name: video.get(name) for name in kept},
        **{name: sound.get(name) for name in ("acodec", "abr", "asr", "audio_channels", "language")},
        "requested_formats": (video, sound),
        "format": f"{video.get('format')}+{sound.get('format')}",
        "format_id": f"{video['format_id']}+{sound['format_id']}",
        "protocol": "+".join(str(f.get("protocol") or "http") for f in (video, sound)),
        "ext": ext,
    }
