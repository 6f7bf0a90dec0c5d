"""A local server that stands in for YouTube behind yt-dlp's own extractor, as unkind as a test asks it to be."""

from tests.youtube.faults import Refusal, Trouble
from tests.youtube.planted import CREATIVE_COMMONS, STANDARD, Format, Plan, Video, video_id
from tests.youtube.server import Request, YouTube, serve

__all__ = [
    "CREATIVE_COMMONS",
    "STANDARD",
    "Format",
    "Plan",
    "Refusal",
    "Request",
    "Trouble",
    "Video",
    "YouTube",
    "serve",
    "video_id",
]
