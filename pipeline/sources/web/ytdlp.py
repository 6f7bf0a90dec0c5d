"""The only adapter of yt-dlp: the parts that we use, and a check that each has the shape that the fence relies on.

yt-dlp changes as often as YouTube does, and its users are told to upgrade it. Its private parts (names with an underscore, the
classes of its network) may disappear in any version. Importing this module then raises StageError, so that no downloader can
exist without its fence.
"""

import functools
import http.client
import importlib
import inspect
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pipeline.base import install
from pipeline.base.attributes import load_attribute
from pipeline.base.errors import StageError

KNOWN_VERSION = "2026.10.26"  # the one that docker/constraints-cpu.txt pins: the tests have seen it work
# with the challenge solver of its own version, and what runs it
UPDATE = install.pip('-U "yt-dlp[default,deno]"', constrained=False)
KNOWN_GOOD = install.pip(f'"yt-dlp[default,deno]=={KNOWN_VERSION}"', constrained=False)


@dataclass(frozen=True)
class Part:
    """A name of yt-dlp that we call, inherit from or override.

    Attributes:
        path: module and name, such as `yt_dlp.networking:Request`; a dotted name is an attribute of a class.
        args: positional arguments that it must accept, beside `self`.
        keywords: keyword arguments that it must accept.
        uses: names that its code must look up: what overrides them runs only while it does.
        kind: what it must be an instance of.
    """

    path: str
    args: int = 0
    keywords: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    kind: type = object

    def problem(self) -> str:
        """What is wrong with it in the installed version, "" when nothing is."""
        name = self.path.replace(":", ".")
        try:
            part = _find(self.path)
        except (ImportError, AttributeError):
            return f"has no {name}"
        if not isinstance(part, self.kind):
            return f"has a {name} that is no {self.kind.__name__}"
        if (self.args or self.keywords) and not _accepts(part, self.args, self.keywords):
            return f"has a {name} that does not take the arguments it is given"
        looked_up = getattr(getattr(part, "__code__", None), "co_names", ())  # empty for what is not a Python function
        unused = [word for word in self.uses if word not in looked_up]
        return f"has a {name} that does not use {unused[0]}" if unused else ""


# What the fence hangs on: from YoutubeDL.urlopen, through which every request goes, down to the socket.
FENCE = (
    Part("yt_dlp:YoutubeDL", kind=type),
    Part("yt_dlp:YoutubeDL.urlopen", 1, uses=("_request_director",)),
    Part("yt_dlp:YoutubeDL._request_director", kind=functools.cached_property),
    Part("yt_dlp:YoutubeDL.build_request_director", 1, uses=("add_handler",)),
    Part("yt_dlp.networking.common:RequestDirector.send", 1, uses=("handlers",)),
    Part(
        "yt_dlp.networking.common:RequestHandler",
        keywords=("logger", "verify", "legacy_ssl_support", "prefer_system_certs", "source_address"),
    ),
    Part("yt_dlp.networking.common:RequestHandler._check_url_scheme", uses=("_SUPPORTED_URL_SCHEMES",)),
    Part("yt_dlp.networking.common:RequestHandler._get_proxies", 1),
    Part("yt_dlp.networking._urllib:UrllibRH", kind=type),
    Part("yt_dlp.networking._urllib:UrllibRH._send", 1, uses=("_get_instance", "_get_proxies", "open")),
    Part("yt_dlp.networking._urllib:UrllibRH._get_instance", uses=("_create_instance",)),
    Part(
        "yt_dlp.networking._urllib:UrllibRH._create_instance",
        keywords=("proxies", "cookiejar", "legacy_ssl_support"),
        uses=("HTTPHandler", "ProxyHandler"),
    ),
    Part("yt_dlp.networking._urllib:UrllibRH._make_sslcontext", keywords=("legacy_ssl_support",)),
    Part("yt_dlp.networking._urllib:ProxyHandler", kind=type),
    Part("yt_dlp.networking._urllib:HTTPHandler", keywords=("context", "source_address"), kind=type),
    Part("yt_dlp.networking._urllib:HTTPHandler.http_open", 1, uses=("do_open",)),
    Part("yt_dlp.networking._urllib:HTTPHandler.https_open", 1, uses=("do_open",)),
    Part("yt_dlp.networking._helper:create_connection", 3, ("_create_socket_func",)),
    Part("yt_dlp.networking._helper:_socket_connect", 3),
    Part("yt_dlp.networking._helper:make_ssl_context", keywords=("verify", "legacy_support", "use_certifi")),
    Part("yt_dlp.networking.exceptions:RequestError", 1, ("cause",), kind=type),
    Part("yt_dlp.networking:Request", 1, kind=type),
    Part("yt_dlp.downloader.common:FileDownloader", kind=type),
    Part("yt_dlp.downloader.common:FileDownloader.download", 2, uses=("real_download",)),
    Part("yt_dlp.downloader.external:ExternalFD", kind=type),
    Part("yt_dlp.downloader.hls:HlsFD.real_download", 2, uses=("FFmpegFD", "real_download")),
    Part("yt_dlp.globals:plugin_dirs.value", kind=list),
    Part("yt_dlp.utils._utils:Popen", kind=type),
)
# What else is used of it: extractors, scripts of players, cookies, words of its errors.
REST = (
    Part("yt_dlp:YoutubeDL.add_default_info_extractors"),
    Part("yt_dlp:YoutubeDL.add_info_extractor", 1),
    Part("yt_dlp:YoutubeDL.extract_info", 1, ("download", "process")),
    Part("yt_dlp:YoutubeDL.process_info", 1),
    Part("yt_dlp.cookies:YoutubeDLCookieJar", 1, kind=type),
    Part("yt_dlp.dependencies:yt_dlp_ejs"),
    Part("yt_dlp.extractor:gen_extractor_classes"),
    Part("yt_dlp.extractor.common:InfoExtractor._ENABLED"),
    Part("yt_dlp.extractor.common:InfoExtractor.suitable", 1),
    Part("yt_dlp.utils:ExtractorError", 1, ("expected", "cause", "ie")),
    Part("yt_dlp.utils:GeoRestrictedError", 1, ("countries",)),
    Part("yt_dlp.utils:ISO639Utils.short2long", 1),
    Part("yt_dlp.utils:get_compatible_ext", keywords=("vcodecs", "acodecs", "vexts", "aexts")),
    Part("yt_dlp.utils._jsruntime:DenoJsRuntime", kind=type),
    Part("yt_dlp.utils._jsruntime:DenoJsRuntime.info", kind=functools.cached_property),
    Part("yt_dlp.utils._jsruntime:JsRuntimeInfo", keywords=("version", "supported")),
)


def check() -> None:
    """Raise StageError when the installed yt-dlp lacks a part, or has it in another shape."""
    for part in (*FENCE, *REST):
        if problem := part.problem():
            raise StageError(unusable(problem))
    if "_create_connection" not in http.client.HTTPConnection.connect.__code__.co_names:  # Python's own private part
        raise StageError("the network of this Python cannot be fenced in, so nothing is fetched: use Python 3.11")


def unusable(problem: str) -> str:
    """The line for a yt-dlp that cannot be used: why not, and how to get one that can.

    Args:
        problem: continues `yt-dlp <version>`, such as `has no yt_dlp.YoutubeDL`.
    """
    try:
        installed = metadata.version("yt-dlp")
    except metadata.PackageNotFoundError:
        installed = "of an unknown version"
    return f"yt-dlp {installed} {problem}, so nothing is fetched. {KNOWN_VERSION} is known to work: {KNOWN_GOOD}"


def warm_up() -> None:
    """Do once what takes long: import the extractors used most, and compile the patterns by which all of them know links."""
    for module in ("youtube", "generic", "commonprotocols"):
        importlib.import_module(f"yt_dlp.extractor.{module}")
    for extractor in gen_extractor_classes():
        extractor.suitable("https://example.org/")


@functools.cache
def default_extractors() -> tuple[Any, ...]:
    """Those that yt-dlp uses unless told otherwise; it sorts them out by their names anew for every downloader."""
    return tuple(extractor for extractor in gen_extractor_classes() if extractor._ENABLED)


def _find(path: str) -> Any:
    """As `named`, of attributes of attributes too: "module:class.method"."""
    module, _, names = path.partition(":")
    first, *others = names.split(".")
    return functools.reduce(getattr, others, load_attribute(f"{module}:{first}"))


def _accepts(call: Any, args: int, keywords: tuple[str, ...]) -> bool:
    """Whether a function or class takes as many positional arguments and these keywords, whatever else it wants."""
    signature = inspect.signature(call)
    unbound = inspect.isfunction(call) and next(iter(signature.parameters), "") == "self"
    try:
        signature.bind_partial(*range(args + unbound), **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True


check()
FileDownloader: Any = _find("yt_dlp.downloader.common:FileDownloader")
Popen: Any = _find("yt_dlp.utils._utils:Popen")
YoutubeDL: Any = _find("yt_dlp:YoutubeDL")
YoutubeDLCookieJar: Any = _find("yt_dlp.cookies:YoutubeDLCookieJar")
yt_dlp_ejs: Any = _find("yt_dlp.dependencies:yt_dlp_ejs")
gen_extractor_classes: Any = _find("yt_dlp.extractor:gen_extractor_classes")
Request: Any = _find("yt_dlp.networking:Request")
RequestError: Any = _find("yt_dlp.networking.exceptions:RequestError")
plugin_dirs: Any = _find("yt_dlp.globals:plugin_dirs")
create_connection: Any = _find("yt_dlp.networking._helper:create_connection")
make_ssl_context: Any = _find("yt_dlp.networking._helper:make_ssl_context")
socket_connect: Any = _find("yt_dlp.networking._helper:_socket_connect")
HTTPHandler: Any = _find("yt_dlp.networking._urllib:HTTPHandler")
ProxyHandler: Any = _find("yt_dlp.networking._urllib:ProxyHandler")
UrllibRH: Any = _find("yt_dlp.networking._urllib:UrllibRH")
DenoJsRuntime: Any = _find("yt_dlp.utils._jsruntime:DenoJsRuntime")
ISO639Utils: Any = _find("yt_dlp.utils:ISO639Utils")
get_compatible_ext: Any = _find("yt_dlp.utils:get_compatible_ext")
