"""YouTube's answers, in the shape that yt-dlp's extractor reads them: search, player, watch page, playlist."""

import base64
import html
import json
from typing import Any
from urllib.parse import urlencode

from tests.youtube.faults import Refusal, Trouble
from tests.youtube.planted import PAGE_LENGTH, Format, Video

Json = dict[str, Any]
CLIENT = {"INNERTUBE_CONTEXT": {"client": {"clientName": "WEB", "clientVersion": "2.20261101.00.00"}}}

IFRAME_API = (
    b"var scriptUrl = 'https:\\/\\/www.youtube.com\\/s\\/player\\/0a1b2c3d\\/www-widgetapi.vflset\\/www-widgetapi.js';"
)
PLAYER_SCRIPT = b"var ytcsi={};a={signatureTimestamp:20000};"


def renderer(video: Video) -> Json:
    """A hit of the search."""
    label = "LIVE" if video.live == "is_live" else "DEFAULT"
    byline = {
        "text": video.channel,
        "navigationEndpoint": {
            "browseEndpoint": {"browseId": video.channel_id, "canonicalBaseUrl": f"/{video.handle}"}
        },
    }
    shown: Json = {
        "videoId": video.id,
        "title": {"runs": [{"text": video.title}]},
        "ownerText": {"runs": [byline]},
        "shortBylineText": {"runs": [byline]},
        "publishedTimeText": {"simpleText": ("Streamed " if video.live == "was_live" else "") + "2 years ago"},
        "viewCountText": {"simpleText": "1,234 views"},
        "thumbnailOverlays": [{"thumbnailOverlayTimeStatusRenderer": {"style": label, "text": {"simpleText": label}}}],
    }
    if video.live == "is_upcoming":
        shown["upcomingEventData"] = {"startTime": "1900000000"}
    elif video.live != "is_live":
        hours, rest = divmod(video.seconds, 3600)
        clock = f"{rest // 60:02d}:{rest % 60:02d}"
        shown["lengthText"] = {"simpleText": f"{hours}:{clock}" if hours else clock}
    return {"videoRenderer": shown}


def search(videos: list[Video], query: str, at: int, first: bool) -> Json:
    """A page of the search's hits from number `at` on, and the token of the next page while there is one."""
    page = videos[at : at + PAGE_LENGTH]
    contents: list[Json] = [{"itemSectionRenderer": {"contents": [renderer(video) for video in page] or [_nothing()]}}]
    if at + PAGE_LENGTH < len(videos):
        contents.append(_continuation(f"search:{at + PAGE_LENGTH}:{query}"))
    if first:
        section = {"sectionListRenderer": {"contents": contents}}
        return _visitor({"contents": {"twoColumnSearchResultsRenderer": {"primaryContents": section}}})
    return _visitor(
        {"onResponseReceivedCommands": [{"appendContinuationItemsAction": {"continuationItems": contents}}]}
    )


def playlist(name: str, videos: list[Video], at: int, first: bool) -> Json:
    """A page of a playlist, a hundred at a time as YouTube does it."""
    items: list[Json] = [
        {
            "playlistVideoRenderer": {
                "videoId": video.id,
                "title": {"runs": [{"text": video.title}]},
                "lengthSeconds": str(video.seconds),
                "shortBylineText": {"runs": [{"text": video.channel}]},
            }
        }
        for video in videos[at : at + 100]
    ]
    if at + 100 < len(videos):
        items.append(_continuation(f"playlist:{at + 100}:{name}"))
    if not first:
        return _visitor(
            {"onResponseReceivedActions": [{"appendContinuationItemsAction": {"continuationItems": items}}]}
        )
    section = {"itemSectionRenderer": {"contents": [{"playlistVideoListRenderer": {"contents": items}}]}}
    tab = {"tabRenderer": {"selected": True, "content": {"sectionListRenderer": {"contents": [section]}}}}
    metadata = {"playlistMetadataRenderer": {"title": name}}
    return _visitor({"contents": {"twoColumnBrowseResultsRenderer": {"tabs": [tab]}}, "metadata": metadata})


def player(video: Video, key: str, refusal: Refusal | None, trouble: Trouble | None) -> Json:
    """The player's answer; `key` makes the streams' addresses those of this answer."""
    shown: Json = {
        "playabilityStatus": {"status": "OK", "playableInEmbed": True},
        "videoDetails": {
            "videoId": video.id,
            "title": video.title,
            "lengthSeconds": str(video.seconds),
            "channelId": video.channel_id,
            "author": video.channel,
            "shortDescription": "",
            "isLiveContent": video.live == "was_live",
            "isLive": trouble is Trouble.LIVE,
            "isUpcoming": refusal in (Refusal.PREMIERE, Refusal.UPCOMING),
            "viewCount": "1234",
        },
        "microformat": {
            "playerMicroformatRenderer": {
                "title": {"simpleText": video.title},
                "lengthSeconds": str(video.seconds),
                "ownerProfileUrl": f"http://www.youtube.com/{video.handle}",
                "externalChannelId": video.channel_id,
                "uploadDate": f"{video.uploaded}T08:00:00-07:00",
                "availableCountries": ["US"],
                "isFamilySafe": refusal is not Refusal.AGE_RESTRICTED,
                "category": "Education",
            }
        },
    }
    if trouble is Trouble.PLAYER_OTHER:
        shown["videoDetails"]["videoId"] = "aaaaaaaaaaa"
    if refusal:
        shown["playabilityStatus"] = _refused(refusal)
        return _visitor(shown)
    if trouble is not Trouble.NO_FORMATS:
        adaptive = [_format(video, form, key) for form in video.formats if not form.progressive]
        whole = [_format(video, form, key) for form in video.formats if form.progressive]
        shown["streamingData"] = {"expiresInSeconds": "21540", "formats": whole, "adaptiveFormats": adaptive}
    return _visitor(shown)


def watch(video: Video | None, answer: Json | None) -> bytes:
    """The watch page: settings, what stands beside the player, and the player's answer without its streams."""
    data: Json = _beside(video) if video else {"contents": {"twoColumnWatchNextResults": {}}}
    embedded = {key: value for key, value in (answer or {}).items() if key != "streamingData"}
    title = html.escape(video.title) if video else "YouTube"
    return (
        f'<!DOCTYPE html><html><head><title>{title}</title><meta property="og:title" content="{title}"></head><body>'
        f"<script>ytcfg.set({_embedded(CLIENT)});</script>"
        f"<script>var ytInitialPlayerResponse = {_embedded(embedded)};</script>"
        f"<script>var ytInitialData = {_embedded(data)};</script></body></html>"
    ).encode()


def next_data(video: Video | None) -> Json:
    """What the API says stands beside the player."""
    return _visitor(_beside(video)) if video else _visitor({"contents": {}})


def token(text: str) -> str:
    """A page's name as an opaque token."""
    return base64.urlsafe_b64encode(text.encode()).decode()


def named(opaque: str) -> str:
    """The name in a token; ValueError when there is none."""
    return base64.urlsafe_b64decode(opaque.encode()).decode()


def _beside(video: Video) -> Json:
    owner = {
        "title": {"runs": [{"text": video.channel}]},
        "navigationEndpoint": {
            "browseEndpoint": {"browseId": video.channel_id, "canonicalBaseUrl": f"/{video.handle}"}
        },
    }
    rows = []
    if video.licence:
        licence = {"title": {"simpleText": "License"}, "contents": [{"runs": [{"text": video.licence}]}]}
        rows.append({"metadataRowRenderer": licence})
    second = {
        "owner": {"videoOwnerRenderer": owner},
        "metadataRowContainer": {"metadataRowContainerRenderer": {"rows": rows}},
    }
    contents = [
        {"videoPrimaryInfoRenderer": {"title": {"runs": [{"text": video.title}]}}},
        {"videoSecondaryInfoRenderer": second},
    ]
    return {"contents": {"twoColumnWatchNextResults": {"results": {"results": {"contents": contents}}}}}


def _format(video: Video, form: Format, key: str) -> Json:
    track = form.track[0] if form.track else ""
    address = urlencode({"id": video.id, "itag": form.itag, "track": track, "key": key, "source": "youtube"})
    size = len(video.content(form))
    shown: Json = {
        "itag": form.itag,
        "url": f"https://rr{1 + form.itag % 5}---sn-4g5e6n7k.googlevideo.com/videoplayback?{address}",
        "mimeType": form.mime,
        "bitrate": size * 8 // 7,
        "contentLength": str(size),
        "quality": form.quality,
        "approxDurationMs": str(video.seconds * 1000),
        "lastModified": "1700000000000000",
        "projectionType": "RECTANGULAR",
    }
    if form.progressive:
        del shown["contentLength"]
    if form.width:
        shown |= {"width": form.width, "height": form.height, "fps": 25, "qualityLabel": f"{form.height}p"}
    else:
        shown |= {"audioQuality": "AUDIO_QUALITY_MEDIUM", "audioSampleRate": "48000", "audioChannels": 1}
    if form.track:
        shown["audioTrack"] = {"id": track, "displayName": form.track[1], "audioIsDefault": form.track[2]}
    return shown


def _refused(refusal: Refusal) -> Json:
    screen: Json = {"reason": {"simpleText": refusal.reason}}
    if refusal.subreason:
        screen["subreason"] = {"runs": [{"text": refusal.subreason}]}
    shown: Json = {
        "status": refusal.status,
        "reason": refusal.reason,
        "errorScreen": {"playerErrorMessageRenderer": screen},
    }
    if refusal is Refusal.AGE_RESTRICTED:
        shown["desktopLegacyAgeGateReason"] = 1
    return shown


def _continuation(name: str) -> Json:
    command = {"token": token(name), "request": "CONTINUATION_REQUEST_TYPE_SEARCH"}
    return {"continuationItemRenderer": {"continuationEndpoint": {"continuationCommand": command}}}


def _nothing() -> Json:
    return {"backgroundPromoRenderer": {"title": {"simpleText": "No results found"}}}


def _visitor(answer: Json) -> Json:
    return {"responseContext": {"visitorData": "CgtwbGFudGVkLi4u"}, **answer}


def _embedded(value: Json) -> str:
    """JSON that may stand in a script of a page."""
    return json.dumps(value).replace("</", "<\\/")
