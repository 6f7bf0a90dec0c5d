"""Errors: the sentences of yt-dlp and of YouTube, as they are said today, each with its reason."""

import errno
import io

import pytest
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UserNotLive

from pipeline.base.reasons import Failure, Reason, ReasonClass, Reject
from pipeline.sources.web.errors import outcome_of, reason_of, retry_after_of

HINT = (
    " Use --cookies-from-browser or --cookies for the authentication. See  https://github.com/yt-dlp/yt-dlp/wiki/FAQ"
    "#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies. Also see  https://github.com/yt-dlp/yt-dlp/wiki/"
    "Extractors#exporting-youtube-cookies  for tips on effectively exporting YouTube cookies"
)
LIMITED = (
    "Video unavailable. This content isn't available, try again later. The current session has been rate-limited by YouTube "
    "for up to an hour. It is recommended to use `-t sleep` to add a delay between video requests to avoid exceeding the "
    "rate limit. For more information, refer to  https://github.com/yt-dlp/yt-dlp/wiki/Extractors"
)
REPORT = (
    "; please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the appropriate issue template."
    " Confirm you are on the latest version using  yt-dlp -U"
)

SAID_OF_A_VIDEO = {
    Reason.BOT_WALL: [
        "Sign in to confirm you\u2019re not a bot." + HINT,
        "Sign in to confirm you're not a bot. This helps protect our community. Learn more." + HINT,
        "Video unavailable. YouTube is requiring a captcha challenge before playback",
        "All player responses are invalid. Your IP is likely being blocked by Youtube",
        "Our systems have detected unusual traffic from your computer network.",
    ],
    Reason.THROTTLED: [
        LIMITED,
        "Video unavailable. This content isn\u2019t available, try again later.",
        "An error occurred. Please try again later. (Playback ID: dRm-age_live12)",
        "Unable to download API page: HTTP Error 429: Too Many Requests (caused by <HTTPError 429: Too Many Requests>)",
    ],
    Reason.PRIVATE: [
        "Private video. Sign in if you've been granted access to this video." + HINT,
        "Video unavailable. This video is private",
        "This video is private. If the owner of this video has granted you access, please sign in." + HINT,
    ],
    Reason.TERMINATED: [
        "Video unavailable. This video is no longer available because the YouTube account associated with this video has been "
        "terminated.",
        "This video is no longer available because the YouTube account associated with this video has been terminated due to "
        "multiple third-party notifications of copyright infringement.",
        "Video unavailable. This video is no longer available because the uploader has closed their YouTube account.",
        "This account has been terminated for a violation of YouTube's Terms of Service.",
    ],
    Reason.COPYRIGHT: [
        "Video unavailable. This video is no longer available due to a copyright claim by Some Label",
        "Video unavailable. This video contains content from SME, who has blocked it on copyright grounds",
        "Video unavailable. This video contains content from SME, who has blocked it in your country on copyright grounds",
        "Video unavailable. This video contains content from UMG, who has blocked it from display on this website or application",
        "This video has been removed due to a trademark claim by a third party",
    ],
    Reason.GEO_BLOCKED: [
        "The uploader has not made this video available in your country",
        "Video unavailable. The uploader has not made this video available in your country",
        "This video is not available in your country",
        "This video is not available from your location due to geo restriction",
    ],
    Reason.AGE_RESTRICTED: [
        "Sign in to confirm your age. This video may be inappropriate for some users." + HINT,
        "This video is age-restricted and only available on YouTube. Learn more",
        "The following content may contain topics that are inappropriate or offensive to some audiences.",
        "Age-restricted video. Sign in to confirm your age",
    ],
    Reason.MEMBERS_ONLY: [
        "Join this channel to get access to members-only content like this video, and other exclusive perks.",
        "This video is available to this channel's members on level: Friends (or any higher level). Join this channel to get "
        "access to members-only content and other exclusive perks.",
        "This video requires payment to watch.",
        "This video is only available to Music Premium members",
        "This video requires purchase",
    ],
    Reason.LOGIN_NEEDED: [
        "Please sign in." + HINT,
        "Login details are needed to download this content." + HINT,
        "This video is only available for registered users." + HINT,
    ],
    Reason.DRM_PROTECTED: ["This video is DRM protected"],
    Reason.NOT_FINISHED: [
        "Premieres in 3 hours",
        "Premiere will begin shortly",
        "This live event will begin in 20 minutes.",
        "This live event will begin in a few moments.",
        "This live event has ended.",
        "We're processing this video. Check back later.",
        "Offline.",
        "The channel is not currently live",
    ],
    Reason.REMOVED: [
        "Video unavailable. This video has been removed by the uploader",
        "Video unavailable. This video was removed by the uploader",
        "This video has been removed for violating YouTube's Terms of Service",
        "This video has been removed for violating YouTube's policy on harassment and bullying",
        "This live stream recording is not available.",
    ],
    Reason.GONE: [
        "Video unavailable",
        "Video unavailable. This video is no longer available",
        "Video unavailable. This video is not available",
        "This video isn't available anymore",
        "This video is unavailable",
        "This video does not exist.",
        "YouTube said: The playlist does not exist.",
    ],
    Reason.EXTRACTOR_BROKEN: [
        "The following content is not available on this app.. Watch on the latest version of YouTube.",
        "The page needs to be reloaded.",
        "Video unavailable. Playback on other websites has been disabled by the video owner",
        "YouTube said: ERROR - Precondition check failed.",
        "YouTube said: Request contains an invalid argument.",
        "Failed to extract any player response" + REPORT,
        "Unable to extract yt initial data" + REPORT,
        "Failed to parse JSON (caused by JSONDecodeError(\"Expecting value in '': line 1 column 1 (char 0)\"))"
        + REPORT,
        "Unable to find selected tab" + REPORT,
        "Unable to recognize tab page" + REPORT,
        "Cannot identify player 'https://www.youtube.com/s/player/1/base.js'" + REPORT,
        "Signature extraction failed: Some formats may be missing",
        "An extractor error has occurred. (caused by KeyError('x'))" + REPORT,
        "No video formats found!" + REPORT,
    ],
    Reason.NETWORK: [
        "A network error has occurred. (caused by IncompleteRead(2 bytes read, 3 more expected))",
        "Unable to download webpage: <urlopen error [Errno -2] Name or service not known> (caused by TransportError())",
        "Video unavailable. This video is restricted. Please check the Google Workspace administrator and/or the network "
        "administrator restrictions.",
        "Video is not available with Restricted Mode enabled. To view this video, you will need to disable Restricted Mode.",
    ],
    Reason.BAD_LINK: ["Incomplete YouTube ID abc. URL https://youtu.be/abc looks truncated."],
}
SAID_OF_A_DOWNLOAD = {
    Reason.NETWORK: [
        "content too short (expected 500 bytes and served 20)",
        "Did not get any data blocks",
        "fragment 3 not found, unable to continue",
        "The downloaded file is empty",
        "Unable to download video: The read operation timed out",
        "[download] Got error: 1024 bytes read, 99 more expected. Giving up after 5 retries",
        "Access to this webpage has been blocked by Websense filtering software in your network.",
    ],
    Reason.THROTTLED: [
        "[download] Got error: HTTP Error 503: Service Unavailable. Giving up after 5 retries",
        "unable to download video data: HTTP Error 403: Forbidden",
    ],
    Reason.DISK_FULL: ["unable to write data: [Errno 28] No space left on device"],
    Reason.NOT_WRITABLE: ["unable to open for writing: [Errno 13] Permission denied: 'x'"],
    Reason.NOT_MEDIA: [
        "[generic] Unsupported URL: https://example.org/members-only/private-video/drm",
        "[generic] page: No video formats found!" + REPORT,
    ],
    Reason.BAD_LINK: ["[generic] 'x' is not a valid URL", 'Unsupported url scheme: "ftp" (urllib)'],
    Reason.BOT_WALL: [
        "[generic] Got HTTP Error 403 caused by Cloudflare anti-bot challenge; try again with  --extractor-args"
    ],
    Reason.NO_VIDEO: [
        "[generic] x: Requested format is not available. Use --list-formats for a list of available formats"
    ],
    Reason.CORRUPT: ["Postprocessing: Conversion failed!"],
    Reason.EXCEPTION: ["something nobody has seen before"],
}


@pytest.mark.parametrize(
    ("message", "reason"), [(text, reason) for reason, texts in SAID_OF_A_VIDEO.items() for text in texts]
)
@pytest.mark.parametrize("video", ["aB3dEfGhIjk", "private-drm", "age_live-rt", "copyright__"])
def test_sentences_about_a_video(message: str, reason: Reason, video: str) -> None:
    assert reason_of(DownloadError(f"ERROR: [youtube] {video}: {message}"))[0] is reason


@pytest.mark.parametrize(
    ("message", "reason"), [(text, reason) for reason, texts in SAID_OF_A_DOWNLOAD.items() for text in texts]
)
def test_sentences_about_a_download(message: str, reason: Reason) -> None:
    assert reason_of(DownloadError(f"ERROR: {message}"))[0] is reason


def test_errors_of_yt_dlp_s_own_kinds() -> None:
    assert reason_of(GeoRestrictedError("not for you", countries=["FR"]))[0] is Reason.GEO_BLOCKED
    assert reason_of(UserNotLive())[0] is Reason.NOT_FINISHED
    assert reason_of(ExtractorError("words of next year", expected=True))[0] is Reason.EXTRACTOR_BROKEN


def answer(status: int, url: str, **headers: str) -> DownloadError:
    response = Response(fp=io.BytesIO(b""), url=url, headers=headers, status=status)
    error = HTTPError(response)
    wrapped = ExtractorError(f"Unable to download webpage: {error}", cause=error)
    return DownloadError(str(wrapped), (type(wrapped), wrapped, None))


@pytest.mark.parametrize(
    ("status", "elsewhere", "youtube"),
    [
        (302, Reason.BAD_LINK, Reason.BAD_LINK),
        (400, Reason.GONE, Reason.EXTRACTOR_BROKEN),
        (401, Reason.LOGIN_NEEDED, Reason.EXTRACTOR_BROKEN),
        (403, Reason.THROTTLED, Reason.THROTTLED),
        (404, Reason.GONE, Reason.EXTRACTOR_BROKEN),  # of a dead video YouTube says so in words: a 404 proves nothing
        (410, Reason.GONE, Reason.EXTRACTOR_BROKEN),
        (416, Reason.NETWORK, Reason.NETWORK),
        (429, Reason.THROTTLED, Reason.THROTTLED),
        (451, Reason.GEO_BLOCKED, Reason.GEO_BLOCKED),
        (500, Reason.NETWORK, Reason.NETWORK),
        (503, Reason.THROTTLED, Reason.THROTTLED),
    ],
)
def test_statuses(status: int, elsewhere: Reason, youtube: Reason) -> None:
    assert reason_of(answer(status, "https://example.org/v"))[0] is elsewhere
    assert reason_of(answer(status, "https://www.youtube.com/youtubei/v1/player"))[0] is youtube
    assert reason_of(answer(status, "https://rr1---sn-x.googlevideo.com/videoplayback"))[0] is youtube


def test_outcomes_are_final_only_where_the_reason_is() -> None:
    for reason, texts in SAID_OF_A_VIDEO.items():
        outcome = outcome_of(DownloadError(f"[youtube] aB3dEfGhIjk: {texts[0]}"))
        final = reason.kind in (ReasonClass.DEAD, ReasonClass.BAD)
        assert type(outcome) is (Reject if final else Failure)
    given = Reject(Reason.DUPLICATE, "x")
    assert outcome_of(given) is given
    assert outcome_of(TransportError(cause=OSError(errno.ENOSPC, "full"))).reason is Reason.DISK_FULL


def test_a_detail_is_one_line_without_advice() -> None:
    detail = outcome_of(DownloadError(f"\x1b[0;31mERROR:\x1b[0m [youtube] aB3dEfGhIjk: Please\nsign in.{HINT}")).detail
    assert detail == "[youtube] aB3dEfGhIjk: Please sign in."


def test_what_a_server_asks_to_wait() -> None:
    assert retry_after_of(answer(429, "https://a.org/", **{"Retry-After": "120"})) == 120
    assert retry_after_of(answer(429, "https://a.org/", **{"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"})) > 1e9
    for nothing in ({}, {"Retry-After": "soon"}, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}):
        assert retry_after_of(answer(429, "https://a.org/", **nothing)) == 0
