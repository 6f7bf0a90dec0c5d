"""ffmpeg: which one writes clips, and whether it can."""

import os
import re
import subprocess
from collections.abc import Iterator

from pipeline.base import install
from pipeline.media.writer import AUDIO_CODEC, VIDEO_CODEC, ffmpeg_exe
from pipeline.views.doctor.finding import MISSING, OK, Finding

_ENCODERS = (VIDEO_CODEC, AUDIO_CODEC)
_SECONDS = 20.0
_ADVICE = "unset CSG405_FFMPEG to use the one of imageio-ffmpeg, or name one there that has them"


def ffmpeg() -> Iterator[Finding]:
    """The program that writes clips, its version, and its encoders; and the libraries that read videos."""
    path = ffmpeg_exe()
    of = "CSG405_FFMPEG" if os.environ.get("CSG405_FFMPEG") else "imageio-ffmpeg"
    try:
        first = _said(path, "-version").partition("\n")[0]
        encoders = set(re.findall(r"^ [VA]\S{5} (\S+)", _said(path, "-hide_banner", "-encoders"), re.MULTILINE))
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(MISSING, "ffmpeg", f"that of {of} does not run: {error}", _ADVICE)
        return
    absent = [name for name in _ENCODERS if name not in encoders]
    found = re.match(r"ffmpeg version (\S+)", first)
    text = f"{found[1] if found else 'of unknown version'}, of {of}"
    if absent:
        yield Finding(MISSING, "ffmpeg", f"{text} has no encoder {', '.join(absent)}: {path}", _ADVICE)
    else:
        yield Finding(OK, "ffmpeg", f"{text}, with {' and '.join(_ENCODERS)}: {path}")
    yield _reader()


def _reader() -> Finding:
    try:
        import av
    except ImportError as error:
        return Finding(MISSING, "pyav", f"videos cannot be read: {error}", install.pip("--force-reinstall av"))
    return Finding(
        OK, "pyav", f"{av.__version__}, with libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    )


def _said(path: str, *arguments: str) -> str:
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=True)
    return done.stdout
