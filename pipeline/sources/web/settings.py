"""Settings of the network: the `[web]` section of a profile. Every command imports this, so it imports nothing heavy."""

from pydantic import Field

from pipeline.base.strict import Strict


class Web(Strict):
    """How this machine uses the network. Nothing here affects results.

    Secrets come from the environment and are never written down: `CSG405_PO_TOKEN`, and a proxy with a password as
    `CSG405_PROXY`.
    """

    connections: int = Field(8, ge=1, le=256, description="downloads at a time")
    requests_per_hour: float = Field(
        300.0, gt=0, description="videos and search pages asked of one host an hour; YouTube's guests get about 300"
    )
    jitter: float = Field(0.2, ge=0, le=5, description="random share by which the pause between two requests grows")
    timeout_seconds: float = Field(30.0, gt=0, description="silence after which a connection is given up, seconds")
    retries: int = Field(5, ge=0, description="tries to go on with a broken download")
    retry_wait_seconds: float = Field(
        1.0, ge=0, description="pause before the first of them, doubled each time, seconds"
    )
    throttle_retries: int = Field(4, ge=0, description="tries after 403, 429, 503 or `try again later`")
    throttle_wait_seconds: float = Field(
        60.0, ge=0, description="pause of all requests to a host that throttles, doubled each time, seconds"
    )
    throttle_wait_max_seconds: float = Field(3600.0, ge=0, description="longest such pause, seconds")
    cool_down_minutes: float = Field(
        0.0, ge=0, description="pause after a bot wall before one request tries again, minutes; 0 stops the run at once"
    )
    cool_downs: int = Field(3, ge=0, description="such pauses in a row before the run stops")
    cookies: str = Field("", description="file of cookies (Netscape format) of an account you may lose")
    player_clients: tuple[str, ...] = Field(
        (), description="YouTube player clients that yt-dlp asks; empty: its own choice"
    )
    proxy: str = Field("", description="http, https or socks5 proxy without a password")
    min_free_gigabytes: float = Field(10.0, ge=0, description="free disk at which downloads stop, 2^30 bytes")
    max_raw_gigabytes: float = Field(
        0.0, ge=0, description="bytes of downloads at which they stop, 2^30 bytes; 0: no limit"
    )
    mirror: str = Field("", description="http address that stands in for YouTube's hosts: for tests and local mirrors")
