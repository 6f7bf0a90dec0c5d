"""What other systems need to take part: references as pictures, voices as sound, and which of them meet."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from pipeline import files
from pipeline.media.audio import write_wav
from stages.evaluate.pairs import REAL, Pair, file_name, plain

if TYPE_CHECKING:
    from stages.evaluate.cast import Cast

LIST = "pairs.csv"


def write_inputs(folder: Path, cast: "Cast", pairs: list[Pair]) -> None:
    """Write `references/*.png`, `voices/*.wav` (16 kHz), and `pairs.csv`, which names for each pair the video that is looked for.

    Args:
        folder: made where it is not there; files that are there stay.
        cast: the subjects.
        pairs: of which those of the true videos are left out.
    """
    for name in ("references", "voices"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["setting", "reference", "voice", "picture", "sound", "video"])
    for pair in pairs:
        if pair.setting != REAL:
            picture, sound = f"references/{plain(pair.reference)}.png", f"voices/{plain(pair.voice)}.wav"
            writer.writerow([*pair, picture, sound, f"{pair.setting}/{file_name(pair)}.mp4"])
            _write_picture(folder / picture, cast, pair.reference)
            _write_sound(folder / sound, cast, pair.voice)
    files.write_text(folder / LIST, text.getvalue())


def _write_picture(path: Path, cast: "Cast", name: str) -> None:
    if not path.is_file():
        with files.replacing(path) as temporary:
            found, png = cv2.imencode(".png", cast[name].picture()[..., ::-1])
            assert found, "OpenCV writes PNG"
            temporary.write_bytes(png.tobytes())


def _write_sound(path: Path, cast: "Cast", name: str) -> None:
    wave = None if path.is_file() else cast[name].wave
    if wave is not None:
        with files.replacing(path) as temporary:
            write_wav(temporary, wave)
