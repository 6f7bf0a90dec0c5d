"""Which of the formats on offer is fetched: the wanted size, else the next one up, else down; then codec, then sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.base import install
from pipeline.base.reasons import Failure, Reason, Reject

Format = dict[str, Any]

_TOLERANCE = 0.02  # of a size: 1278x718 is 720 too
_ENOUGH_FPS = 24


@dataclass(frozen=True)
class FormatSettings:
    """What is wanted; see the stage's fields of the same names."""

    height_px: int
    min_height_px: int
    codecs: tuple[str, ...]


def choose(formats: Sequence[Format], settings: FormatSettings) -> tuple[Format, Format | None]:
    """The picture and the sound to fetch; no sound where the picture brings its own, or where there is none.

    Raises:
        Reject: LOW_RESOLUTION, NO_VIDEO.
        Failure: EXTRACTOR_BROKEN where the site gave out nothing but still pictures.
    """
    pictures = [f for f in formats if f.get("vcodec") != "none" and f.get("ext") != "mhtml" and not f.get("has_drm")]
    if not pictures:
        if any(f.get("ext") == "mhtml" for f in formats):
            update = install.pip('-U "yt-dlp[default,deno]"', constrained=False)
            raise Failure(
                Reason.EXTRACTOR_BROKEN,
                f"only still pictures were offered: {update}, or give it a PO token",
            )
        raise Reject(Reason.NO_VIDEO, "only sound is offered")
    least = settings.min_height_px * (1 - _TOLERANCE)
    enough = [f for f in pictures if (size_of(f) or least) >= least]
    if not enough:
        best = max(pictures, key=lambda f: size_of(f) or 0)
        raise Reject(Reason.LOW_RESOLUTION, f"{_shape(best)} at most, wanted {settings.min_height_px} lines or more")
    sound = _best_sound(formats)
    video = min(enough, key=lambda f: _rank(f, sound, settings))
    if video.get("acodec") != "none":
        return video, None
    return video, _best_sound(formats, like=video)


def size_of(form: Format) -> float | None:
    """Lines of the 16:9 picture into which it fits: 1280x544, 960x720 and 720x1280 are 720; None when unknown."""
    width, height = form.get("width"), form.get("height")
    if not isinstance(height, int | float) or height <= 0:
        return None
    if not isinstance(width, int | float) or width <= 0:
        return float(height)
    short, long = sorted((width, height))
    return float(max(short, long * 9 / 16))


def fallback(form: Format, settings: FormatSettings) -> str | None:
    """`up` or `down` where a format is not of the wanted size; None where it is, or where nobody said."""
    size = size_of(form)
    if size is None or abs(size - settings.height_px) <= _TOLERANCE * settings.height_px:
        return None
    return "up" if size > settings.height_px else "down"


def described(info: Format) -> str:
    """What was fetched and what was offered, in one line, such as `136+140 1280x720 avc1 mp4a of 1280x720 avc1 vp9, ...`."""
    parts = info.get("requested_formats") or [info]
    codecs = [_codec(f.get(name)) for f in parts for name in ("vcodec", "acodec") if _codec(f.get(name))]
    fetched = " ".join([str(info.get("format_id") or "?"), _shape(parts[0]), *codecs]).strip()
    offers: dict[str, list[str]] = {}
    for form in info.get("formats") or []:
        if form.get("vcodec") != "none" and form.get("ext") != "mhtml" and size_of(form):
            codec = _codec(form.get("vcodec"))
            known = offers.setdefault(_shape(form), [])
            known += [codec] if codec and codec not in known else []
    offered = ", ".join(" ".join([shape, *sorted(codecs)]) for shape, codecs in sorted(offers.items(), key=_area))
    return f"{fetched} of {offered}"[:500] if offered else fetched[:500]


def _rank(form: Format, sound: Format | None, settings: FormatSettings) -> tuple[Any, ...]:
    """Smaller is better."""
    size, way = size_of(form), fallback(form, settings)
    own_sound = form.get("acodec") != "none"
    dubbed = own_sound and sound is not None and _original(form) < _original(sound)
    codec = _codec(form.get("vcodec"))
    place = settings.codecs.index(codec) if codec in settings.codecs else len(settings.codecs)
    distance = 0.0 if way is None or size is None else abs(size - settings.height_px)
    ladder = {None: 0 if size else 1.5, "up": 1, "down": 2}[way]
    fps = float(form.get("fps") or _ENOUGH_FPS)
    hdr = form.get("dynamic_range") not in (None, "SDR")
    segmented = not str(form.get("protocol") or "http").startswith("http")
    rate = -(form.get("tbr") or form.get("vbr") or 0)
    return dubbed, ladder, distance, place, hdr, segmented, fps < _ENOUGH_FPS, fps, own_sound, rate


def _best_sound(formats: Sequence[Format], like: Format | None = None) -> Format | None:
    """The original sound before dubs and descriptions; then what fits the picture's container; then the highest rate."""
    sounds = [f for f in formats if f.get("vcodec") == "none" and f.get("acodec") != "none" and not f.get("has_drm")]
    sounds = [f for f in sounds if f.get("ext") != "mhtml"]
    webm = bool(like) and like.get("ext") == "webm"  # type: ignore[union-attr]
    return max(
        sounds,
        key=lambda f: (
            _original(f),
            "drc" not in str(f.get("format_id")),  # levelled out by the site
            (f.get("ext") == "webm") == webm,
            f.get("abr") or f.get("tbr") or 0,
        ),
        default=None,
    )


def _original(form: Format) -> int:
    """yt-dlp's language preference: 10 is the original, negative are dubs and descriptions, -1 is untagged."""
    preference = form.get("language_preference")
    return preference if isinstance(preference, int) else -1


def _codec(name: Any) -> str:
    """The family of a codec: avc1 of avc1.4d401f, vp9 of vp09.00.51.08; "" for none."""
    family = str(name or "none").partition(".")[0].lower()
    return {"none": "", "vp09": "vp9", "h264": "avc1", "avc3": "avc1", "av1": "av01"}.get(family, family)


def _shape(form: Format) -> str:
    return f"{form.get('width') or '?'}x{form['height']}" if form.get("height") else ""


def _area(item: tuple[str, list[str]]) -> tuple[int, ...]:
    return tuple(int(n) if n.isdigit() else 0 for n in reversed(item[0].split("x")))
