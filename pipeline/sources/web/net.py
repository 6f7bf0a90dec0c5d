"""yt-dlp's network, fenced in: http and https to public addresses only, checked where a connection is made.

So a redirect, a name that resolves to this machine or its neighbours, and a name that changes its mind are all
refused. A proxy and a mirror that the user configured are trusted to reach what they may: names are resolved there, and only
addresses that a link spells out are checked here.
"""

import functools
import http.client
import http.cookiejar
import io
import logging
import os
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.base.errors import StageError
from pipeline.base.ids import check_url
from pipeline.base.links import YOUTUBE, is_youtube
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.sources.web.errors import outcome_of
from pipeline.sources.web.fence import RefusedRequest, connect_to_public
from pipeline.sources.web.pace import Gate
from pipeline.sources.web.settings import Web
from pipeline.sources.web.ytdlp import (
    UPDATE,
    DenoJsRuntime,
    HTTPHandler,
    ProxyHandler,
    Request,
    RequestError,
    UrllibRH,
    YoutubeDL,
    YoutubeDLCookieJar,
    create_connection,
    default_extractors,
    make_ssl_context,
    unusable,
    yt_dlp_ejs,
)

log = logging.getLogger(__name__)

_MUST_BE_REFUSED = ("http://127.0.0.1:9/", "https://127.0.0.1:9/")  # this machine, at a port where nothing listens


class FencedDownloader(YoutubeDL):
    """A YoutubeDL whose every request goes through the fence, by the `[web]` settings.

    Args:
        params: of YoutubeDL; they win over what `web` brings.
        web: cookies, proxy, player clients, timeout, mirror. `CSG405_PROXY` and `CSG405_PO_TOKEN` come from the environment.
        allow_loopback: let this machine's own addresses pass (the demo, tests, mirrors).
        gate: where given, YouTube's pages and players are asked only while the breaker is shut.
    """

    def __init__(
        self, params: dict[str, Any], web: Web, allow_loopback: bool = False, gate: Gate | None = None
    ) -> None:
        self._web, self._allow_loopback, self._gate = web, allow_loopback, gate
        self._failed: RequestError | None = None
        self._asked: tuple[str, str | None] | None = None
        self._again = 0
        super().__init__(_with_web(params, web))

    def add_default_info_extractors(self) -> None:
        for extractor in default_extractors():
            self.add_info_extractor(extractor)

    def extract_info(self, *args: Any, **kwargs: Any) -> Any:
        """As YoutubeDL's, but a throttled or broken request is told as such.

        YouTube's extractor goes on without what a failed request would have brought, and then misses the formats.
        """
        self._failed = None
        try:
            return super().extract_info(*args, **kwargs)
        except Exception as error:
            if self._failed is not None and outcome_of(error).reason is Reason.EXTRACTOR_BROKEN:
                raise self._failed from error
            raise

    def urlopen(self, req: Any) -> Any:
        url = req.url if isinstance(req, Request) else str(req)
        if url.startswith("data:") and "," not in url:  # yt-dlp takes it apart unseen
            raise RefusedRequest(f"not a whole data address: {url[:60]!r}")
        # yt-dlp asks for the rest of a chunk at once and for ever, even of a server that sends nothing of it
        asked = (req.url, req.headers.get("Range")) if isinstance(req, Request) and "Range" in req.headers else None
        self._again = self._again + 1 if asked and asked == self._asked else 0
        self._asked = asked
        if self._again > self._web.retries:
            raise RequestError(f"unable to download: no data came, {self._again} times")
        try:
            return super().urlopen(req)
        except RequestError as error:
            self._failed = error
            raise

    @functools.cached_property
    def _request_director(self) -> Any:
        director = self.build_request_director([_FencedRH])
        handlers = list(director.handlers.values())
        if [type(handler) for handler in handlers] != [_FencedRH]:
            raise StageError(unusable("has other ways to the network than the one that is fenced in"))
        (handler,) = handlers
        handler.allow_loopback, handler.mirror, handler.gate = self._allow_loopback, self._web.mirror, self._gate
        return director


def _with_web(params: dict[str, Any], web: Web) -> dict[str, Any]:
    """YoutubeDL's params with what the `[web]` settings and the environment add to them."""
    youtube: dict[str, list[str]] = {}
    if web.player_clients:
        youtube["player_client"] = list(web.player_clients)
    if tokens := [token.strip() for token in os.environ.get("CSG405_PO_TOKEN", "").split(",") if token.strip()]:
        youtube["po_token"] = tokens
    extractor_args = params.get("extractor_args", {})
    added: dict[str, Any] = {
        "socket_timeout": web.timeout_seconds,
        "extractor_args": {**extractor_args, "youtube": {**youtube, **extractor_args.get("youtube", {})}},
    }
    if web.cookies:
        # A copy: each downloader writes its cookies back in the end, and would empty the file under all the others.
        added["cookiefile"] = io.StringIO(cookies_of(web))
    if web.mirror:
        added["proxy"] = ""  # the mirror is near, and a proxy would know nothing of it
    elif proxy := os.environ.get("CSG405_PROXY", "") or web.proxy:
        added["proxy"] = proxy
    return {**added, **{k: v for k, v in params.items() if k != "extractor_args"}}


def check_ready(web: Web) -> None:
    """Check what every request depends on, before the first is made.

    Raises StageError when a request to this machine is not refused, as the fence would, or when the cookies cannot be read.
    """
    cookies_of(web)
    with FencedDownloader({"quiet": True, "logger": log, "proxy": "", "cachedir": False}, Web()) as downloader:
        for url in _MUST_BE_REFUSED:
            try:
                downloader.urlopen(Request(url))
            except RefusedRequest:
                continue
            except Exception as error:  # whatever it is, the fence did not refuse
                first = next(
                    iter(getattr(error, "unexpected_errors", ())), error
                )  # as yt-dlp wraps those it does not expect
                if isinstance(first, StageError):
                    raise first from error
                said = " ".join(f"{type(first).__name__}: {first}".split())[:200]
                raise StageError(unusable(f"asks where its fence should refuse ({said})")) from error
            raise StageError(unusable("asks where its fence should refuse"))


def cookies_of(web: Web) -> str:
    """What the file of cookies holds, "" where none is named.

    Raises StageError when there is no such file or it is another one: yt-dlp would go on as a guest without a word.
    """
    if not web.cookies:
        return ""
    path = Path(web.cookies).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
        YoutubeDLCookieJar(io.StringIO(text)).load()
    except (OSError, UnicodeError) as error:
        raise StageError(f"web.cookies: {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except http.cookiejar.LoadError as error:
        raise StageError(f"web.cookies: {path} is no file of cookies in Netscape format") from error
    return text


def without_scripts() -> str:
    """What yt-dlp lacks to run the scripts of YouTube's players, in a line that says how to get it; "" when it can."""
    runtime = DenoJsRuntime().info
    if runtime is None:
        missing = "finds no deno"
    elif not runtime.supported:
        missing = f"finds a deno that is too old ({runtime.version})"
    elif not yt_dlp_ejs:
        missing = "has no challenge solver"
    else:
        return ""
    return f"yt-dlp {missing}, so that YouTube gives it some of the formats or none: {UPDATE}"


class _FencedRH(UrllibRH):
    _SUPPORTED_URL_SCHEMES = ("http", "https", "data")
    allow_loopback = False
    mirror = ""
    gate: Gate | None = None

    def _get_proxies(self, request: Any) -> Any:
        return self.proxies.copy()  # the user's, whatever a request asks for: pages may have a say in that

    def _make_sslcontext(self, legacy_ssl_support: bool | None = None) -> Any:
        # reading the certificates takes 0.1 s, and each video has a downloader of its own
        legacy = self.legacy_ssl_support if legacy_ssl_support is None else legacy_ssl_support
        return _ssl_context(bool(self.verify), bool(legacy), not self.prefer_system_certs)

    def _create_instance(self, *args: Any, **kwargs: Any) -> Any:
        opener = super()._create_instance(*args, **kwargs)
        for scheme in ("http", "https"):
            opener.handle_open[scheme] = [h for h in opener.handle_open[scheme] if not isinstance(h, HTTPHandler)]
            if strangers := [h for h in opener.handle_open[scheme] if not isinstance(h, ProxyHandler)]:
                raise StageError(unusable(f"opens {scheme} with a {type(strangers[0]).__name__} that is not fenced in"))
        context = self._make_sslcontext(legacy_ssl_support=kwargs.get("legacy_ssl_support"))
        handler = _FencedHandler(context=context, source_address=self.source_address)
        handler.allow_loopback, handler.mirror, handler.gate = self.allow_loopback, self.mirror, self.gate
        opener.add_handler(handler)
        opener.add_handler(_NoOtherProtocols())
        return opener


@functools.cache
def _ssl_context(verify: bool, legacy: bool, use_certifi: bool) -> Any:
    return make_ssl_context(verify=verify, legacy_support=legacy, use_certifi=use_certifi)


class _FencedHandler(HTTPHandler):
    allow_loopback = False
    mirror = ""
    gate: Gate | None = None

    def do_open(self, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
        if not req.host.isascii():  # of a redirect: a link's own is spelled as name servers know it by now
            raise RefusedRequest(f"no host name: {req.host[:60]!r}")
        host = (urlsplit(req.full_url).hostname or "").lower().rstrip(".")
        if self.gate and is_youtube(host) and not host.endswith(_MEDIA) and self.gate.is_shut(YOUTUBE):
            raise RequestError(cause=Failure(Reason.BOT_WALL, "another request met a bot wall"))
        if self.mirror and is_youtube(host):
            return super().do_open(functools.partial(_MirrorConnection, self.mirror, host), req)
        if req.has_proxy() or getattr(req, "_tunnel_host", None):
            _check(req.full_url, self.allow_loopback)
            return super().do_open(http_class, req, **http_conn_args)

        def connection(*args: Any, **kwargs: Any) -> Any:
            made = http_class(*args, **kwargs)
            if type(made) not in _DIRECT:  # it connects by a SOCKS proxy, in a way of its own
                _check(req.full_url, self.allow_loopback)
                return made
            connect = functools.partial(connect_to_public, allow_loopback=self.allow_loopback)
            made._create_connection = functools.partial(create_connection, _create_socket_func=connect)
            return made

        return super().do_open(connection, req, **http_conn_args)


_DIRECT = (http.client.HTTPConnection, http.client.HTTPSConnection)
_MEDIA = ("googlevideo.com", "ytimg.com")  # what is fetched from there is not counted, and goes on behind a bot wall


class _MirrorConnection(http.client.HTTPConnection):
    """A plain connection to the mirror that asks for `/<host><path>` in place of the host's `<path>`.

    Responses keep the address that was asked for, so redirects and cookies work as with the host itself.
    """

    def __init__(self, mirror: str, asked: str, _host: str, timeout: float | None = None) -> None:
        parts = urlsplit(mirror)
        super().__init__(parts.hostname or "", parts.port or 80, timeout=timeout)
        self._prefix = f"{parts.path.rstrip('/')}/{asked}"

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, self._prefix + url, *args, **kwargs)


class _NoOtherProtocols(urllib.request.BaseHandler):
    handler_order = 1

    def ftp_open(self, req: Any) -> Any:
        raise RefusedRequest(f"not http or https: {req.full_url[:80]!r}")

    file_open = ftp_open


def _check(url: str, allow_loopback: bool) -> None:
    try:
        check_url(url, allow_loopback=allow_loopback)
    except Reject as reject:
        raise RefusedRequest(reject.detail) from reject
