"""What can go wrong with a planted video: refusals in YouTube's own words, and troubles of the wire."""

from enum import Enum


class Refusal(Enum):
    """A player that will not play. Values: playability status, reason, subreason."""

    PRIVATE = (
        "LOGIN_REQUIRED",
        "Private video",
        "Sign in if you've been granted access to this video",
    )
    REMOVED = ("ERROR", "Video unavailable", "This video has been removed by the uploader")
    REMOVED_BY_SITE = (
        "ERROR",
        "Video unavailable",
        "This video has been removed for violating YouTube's policy on spam, deceptive practices, and scams",
    )
    UNAVAILABLE = ("ERROR", "Video unavailable", "")
    TERMINATED = (
        "ERROR",
        "Video unavailable",
        "This video is no longer available because the YouTube account associated with this video has been terminated.",
    )
    COPYRIGHT = (
        "UNPLAYABLE",
        "Video unavailable",
        "This video contains content from SME, who has blocked it in your country on copyright grounds",
    )
    GEO_BLOCKED = (
        "UNPLAYABLE",
        "Video unavailable",
        "The uploader has not made this video available in your country",
    )
    AGE_RESTRICTED = (
        "LOGIN_REQUIRED",
        "Sign in to confirm your age",
        "This video may be inappropriate for some users.",
    )
    MEMBERS_ONLY = (
        "UNPLAYABLE",
        "This video is available to this channel's members on level: Gold (or any higher level). "
        "Join this channel to get access to members-only content and other exclusive perks.",
        "",
    )
    PAID = ("UNPLAYABLE", "This video requires payment to watch.", "")
    PREMIERE = ("LIVE_STREAM_OFFLINE", "Premieres in 3 hours", "")
    UPCOMING = ("LIVE_STREAM_OFFLINE", "This live event will begin in 3 hours.", "")
    ENDED_LIVE = ("LIVE_STREAM_OFFLINE", "This live stream recording is not available.", "")
    RATE_LIMITED = ("UNPLAYABLE", "Video unavailable", "This content isn't available, try again later.")
    BOT_WALL = (
        "LOGIN_REQUIRED",
        "Sign in to confirm you\u2019re not a bot",
        "This helps protect our community. Learn more",
    )

    @property
    def status(self) -> str:
        return self.value[0]

    @property
    def reason(self) -> str:
        return self.value[1]

    @property
    def subreason(self) -> str:
        return self.value[2]


class Trouble(Enum):
    """A trouble of the wire: what the server does with requests for a video. `Video.times` says how often; 0 is always."""

    # at the player
    PLAYER_429 = "player answers 429"
    PLAYER_503 = "player answers 503"
    PLAYER_PAGE = "player answers an HTML page with status 200"
    PLAYER_OTHER = "player answers with another video"
    NO_FORMATS = "player says OK and offers nothing"
    LIVE = "player says that it is live now"
    # at the streams
    MEDIA_429 = "stream answers 429"
    MEDIA_429_RETRY_AFTER = "stream answers 429 with Retry-After: 1"
    MEDIA_503 = "stream answers 503"
    MEDIA_403 = "stream answers 403, whatever its address"
    MEDIA_403_MIDWAY = "stream stops in the middle, and its address answers 403 from then on"
    TRUNCATED = "stream hangs up in the middle"
    ENDS_EARLY = "stream announces no length and ends in the middle"
    STALLS = "stream goes silent in the middle"
    ANNOUNCES_LESS = "stream announces, and sends, less than there is"
    ANNOUNCES_MORE = "stream announces more than there is, and hangs up"
    PAGE_AS_VIDEO = "stream is an HTML page sent as video/mp4"
    NOISE_AS_VIDEO = "stream is random bytes sent as video/mp4"
    EMPTY_AS_VIDEO = "stream has no bytes"
    TO_FILE = "stream redirects to file:///etc/passwd"
    TO_METADATA = "stream redirects to 169.254.169.254"
    TO_PRIVATE = "stream redirects to 10.0.0.1"
    TO_LOOPBACK = "stream redirects to another port of this machine"
    TO_OTHER_HOST = "stream redirects to another googlevideo host, as the real ones do"

    @property
    def at_player(self) -> bool:
        return self.name.startswith("PLAYER_") or self in (Trouble.NO_FORMATS, Trouble.LIVE)


PAGE = b"<!DOCTYPE html><html><head><title>Before you continue</title></head><body>Accept cookies?</body></html>"
