"""yt-dlp's network, fenced in: http and https to public addresses only, checked where a connection is made.

So a redirect, a name that resolves to this machine or its neighbours, and a name that changes its mind are all
refused. A proxy that the user configured is trusted to reach what it may.
"""

import functools
import ipaddress
import socket
import urllib.request
from typing import Any

from yt_dlp import YoutubeDL
from yt_dlp.networking._helper import _socket_connect, create_connection
from yt_dlp.networking._urllib import HTTPHandler, UrllibRH
from yt_dlp.networking.exceptions import RequestError

from pipeline.media.ids import check_url
from pipeline.reasons import Reject
from pipeline.web.errors import Refused


class RefusedRequest(Refused, RequestError):
    """A request to a place that links may not lead to."""

    def __init__(self, detail: str) -> None:
        RequestError.__init__(self, detail)
        self.detail = detail


class FencedDownloader(YoutubeDL):
    """A YoutubeDL whose every request goes through the fence.

    Args:
        params: of YoutubeDL.
        allow_loopback: let this machine's own addresses pass (the demo, tests, mirrors).
    """

    def __init__(self, params: dict[str, Any], allow_loopback: bool = False) -> None:
        self._allow_loopback = allow_loopback
        super().__init__(params)

    @functools.cached_property
    def _request_director(self) -> Any:
        director = self.build_request_director([_FencedRH])
        director.handlers[_FencedRH.RH_KEY].allow_loopback = self._allow_loopback
        return director


class _FencedRH(UrllibRH):
    _SUPPORTED_URL_SCHEMES = ("http", "https", "data")
    allow_loopback = False

    def _create_instance(self, *args: Any, **kwargs: Any) -> Any:
        opener = super()._create_instance(*args, **kwargs)
        for scheme in ("http", "https"):
            opener.handle_open[scheme] = [h for h in opener.handle_open[scheme] if not isinstance(h, HTTPHandler)]
        opener.add_handler(
            _FencedHandler(
                context=self._make_sslcontext(legacy_ssl_support=kwargs.get("legacy_ssl_support")),
                source_address=self.source_address,
                allow_loopback=self.allow_loopback,
            )
        )
        opener.add_handler(_NoOtherProtocols())
        return opener


class _FencedHandler(HTTPHandler):
    def __init__(self, *args: Any, allow_loopback: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._allow_loopback = allow_loopback

    def do_open(self, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
        proxied = req.has_proxy() or getattr(req, "_tunnel_host", None)
        if proxied:
            _check(req.full_url, self._allow_loopback)
            return super().do_open(http_class, req, **http_conn_args)

        def connection(*args: Any, **kwargs: Any) -> Any:
            made = http_class(*args, **kwargs)
            connect = functools.partial(_connect_to_public, allow_loopback=self._allow_loopback)
            made._create_connection = functools.partial(create_connection, _create_socket_func=connect)
            return made

        return super().do_open(connection, req, **http_conn_args)


class _NoOtherProtocols(urllib.request.BaseHandler):
    handler_order = 1

    def ftp_open(self, req: Any) -> Any:
        raise RefusedRequest(f"not http or https: {req.full_url[:80]!r}")

    file_open = ftp_open


def _connect_to_public(address: Any, timeout: Any, source_address: Any, *, allow_loopback: bool) -> socket.socket:
    """Connect to one resolved address, if links may lead there."""
    host = address[4][0]
    found = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    if not (allow_loopback and found.is_loopback) and (not found.is_global or found.is_multicast):
        raise RefusedRequest(f"address {host} is not public")
    connected: socket.socket = _socket_connect(address, timeout, source_address)
    return connected


def _check(url: str, allow_loopback: bool) -> None:
    try:
        check_url(url, allow_loopback=allow_loopback)
    except Reject as reject:
        raise RefusedRequest(reject.detail) from reject
