"""What other systems need to take part: references as pictures, voices as sound, and which of them meet."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from pipeline.base import files
from pipeline.media.audio import write_wav
from pipeline.tables import people
from stages.evaluate.pairs import Pair, file_name, plain

if TYPE_CHECKING:
    from stages.evaluate.cast import Cast

LIST = "pairs.csv"
_CONTENTS = "contents.json"  # of each file, the hash of what it was made from


def write_inputs(folder: Path, cast: "Cast", pairs: Sequence[Pair], contents: Mapping[str, str]) -> None:
    """Write `references/*.png`, `voices/*.wav` (16 kHz), and `pairs.csv`, which names for each pair the video that is looked for.

    Args:
        folder: made where it is not there; what is there already is not written again, and what no pair names is removed.
        cast: the subjects.
        pairs: of references and voices.
        contents: {subject: hash of what is known of it}.
    """
    before = _read(folder / _CONTENTS)
    now: dict[str, str] = {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["setting", "reference", "voice", "picture", "sound", "video"])
    for pair in pairs:
        picture, sound = f"references/{plain(pair.reference)}.png", f"voices/{plain(pair.voice)}.wav"
        writer.writerow([*pair, picture, sound, f"{pair.setting}/{file_name(pair)}.mp4"])
        for path, name, write in ((picture, pair.reference, _write_picture), (sound, pair.voice, _write_sound)):
            if path not in now and (before.get(path) != contents[name] or not (folder / path).exists()):
                with people.noting(folder, [folder / path], [cast.light(name)["video_id"]]):
                    write(folder / path, cast, name)
            now[path] = contents[name]
    for left in (*folder.glob("references/*"), *folder.glob("voices/*")):
        known = people.subject_of(left) if left.name.endswith(people.SUFFIX) else left
        if known.relative_to(folder).as_posix() not in now:
            left.unlink()  # of a clip that is no longer tested on: it may have opted out
    files.write_text(folder / _CONTENTS, json.dumps(now, indent=1))
    files.write_text(folder / LIST, text.getvalue())


def _read(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def _write_picture(path: Path, cast: "Cast", name: str) -> None:
    with files.replacing(path) as temporary:
        written, png = cv2.imencode(".png", cast[name].picture()[..., ::-1])
        assert written, "OpenCV writes PNG"
        temporary.write_bytes(png.tobytes())


def _write_sound(path: Path, cast: "Cast", name: str) -> None:
    wave = cast[name].wave
    if wave is not None:
        with files.replacing(path) as temporary:
            write_wav(temporary, wave)
