"""The language model's server: where the environment says it is."""

import logging
import os
import re
from urllib.parse import urlsplit

from openai import OpenAI

from pipeline.base.reasons import Failure, Reason


def client(timeout_seconds: float, retries: int) -> OpenAI:
    """A client of the environment's server and key. Raises `Failure` where these cannot be used."""
    base = os.environ.get("OPENAI_BASE_URL", "").strip()
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key and not base:
        raise Failure(
            Reason.NO_ANSWER,
            "source = openai needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own "
            "(source = shipped needs neither)",
        )
    if not re.fullmatch(r"[!-~]*", key):
        raise Failure(Reason.NO_ANSWER, "OPENAI_API_KEY holds spaces or signs that no key has: set it again")
    if base and not _is_address(base):
        raise Failure(
            Reason.NO_ANSWER,
            "OPENAI_BASE_URL is no address such as http://127.0.0.1:8000/v1, without user and password",
        )
    for noisy in ("openai", "httpx", "httpx2", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # each request's address and headers are nobody's business
    return OpenAI(
        api_key=key or "none",  # a server of one's own may ask for none
        base_url=base or None,
        timeout=timeout_seconds,
        max_retries=retries,
    )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        return named and parts.scheme in ("http", "https") and text.isprintable()
    except ValueError:
        return False


def place_of(client: OpenAI) -> str:
    """The server's address without what may be secret in it."""
    url = client.base_url
    return f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}{url.path}".rstrip("/")
