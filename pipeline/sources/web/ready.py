"""Whether links can be fetched, asked before the first request: yt-dlp is imported here, and planning does without it."""

from pipeline.sources.web.settings import Web


def check_ready(web: Web, youtube: bool = False) -> str:
    """Check what every request depends on, before the first is made.

    Args:
        web: how to go to the network.
        youtube: whether links to YouTube are among those to come.

    Returns:
        What of YouTube's formats will be missing, and what to install; "" where nothing will.

    Raises:
        StageError: requests would not be fenced in, cookies cannot be read, or there is no usable yt-dlp.
    """
    from pipeline.sources.web import net

    net.check_ready(web)
    return net.without_scripts() if youtube else ""
