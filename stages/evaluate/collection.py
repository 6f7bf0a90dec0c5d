"""A copy of PATS or TED-talks on disk: which clips it holds, who speaks in them, and where their sound is."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Literal

from pipeline.base.reasons import Reason, Reject
from pipeline.media.sequence import is_frame

Protocol = Literal["csg405", "pats", "ted"]

# PATS itself calls Kubinec's lectures `chemistry`, and the scripts of S2G-MDDiffusion put them into a folder `chem`.
PATS_SPEAKERS = {name: name for name in ("chemistry", "jon", "oliver", "seth")} | dict.fromkeys(
    ("chem", "kubinec"), "chemistry"
)
PATS_SPLIT = "filtered_intervals.json"  # of S2G-MDDiffusion: {"train": [interval, ...], "test": [...]}
SOUNDS = (".wav", ".flac", ".m4a", ".mp3")
FILMS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v")
SAID_FPS = 10  # of every video that `load_videos.py` writes, whatever the talk's rate: imageio's default


class Collection:
    """What lies in a folder and below it; links to folders are not followed.

    A clip is a video, or a folder with frames; `pipeline.media.sequence` says what that is. It is stored

    - by S2G-MDDiffusion's `crop_videos.py` (PATS) as `data/img/{train,test}/<speaker>#<interval>/0000000.png`, 256 px at 25 fps,
      with its sound in `data/audio/<speaker>#<interval>.wav`;
    - by `load_videos.py` of github.com/AliaksandrSiarohin/video-preprocessing (TED-talks) as a folder that is called
      `{train,test}/<talk>#<first>#<last>.mp4` too, 384 px at the talk's own rate, or as a silent video of that name;
    - by DiffTED's `write_images.py` as `tpsm_{train,test}/images/<talk>#<first>#<last>/0000.png`, with its sound in
      `tpsm_{train,test}/audio/<talk>#<first>#<last>.mp3`.

    Args:
        folder: searched, once.
        protocol: `pats` or `ted`.
    """

    def __init__(self, folder: Path, protocol: Protocol) -> None:
        self.folder, self.protocol = folder, protocol
        clips: list[Path] = []
        self._sounds: dict[str, list[Path]] = {}
        for place, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            here = Path(place).relative_to(folder)
            if here.parts and sum(map(is_frame, names)) > 1:
                clips.append(here)
            for name in sorted(name for name in names if not name.startswith(".")):
                suffix = Path(name).suffix.lower()
                if suffix in FILMS and (folder / here / name).is_file():
                    clips.append(here / name)
                elif suffix in SOUNDS and (folder / here / name).is_file():
                    self._sounds.setdefault(Path(name).stem, []).append(here / name)
        self._clips = sorted(clips)

    def clips(self) -> list[str]:
        """The clips to test on, as paths relative to the folder.

        Where some lie in a folder `test` or `..._test`, as the scripts of both sets leave them, only those. Of PATS only those
        of the paper's four speakers; with S2G-MDDiffusion's `filtered_intervals.json` in the folder, only the intervals
        of its test list. Of TED-talks no test list is public: the one of articulated-animation says `train` of every clip.
        """
        tested = [name for name in self._clips if any(re.fullmatch(r"(.*_)?test", part) for part in name.parts[:-1])]
        clips = [name.as_posix() for name in tested or self._clips]
        if self.protocol != "pats":
            return clips
        clips = [name for name in clips if speaker_of(name, self.protocol) in PATS_SPEAKERS.values()]
        if not (self.folder / PATS_SPLIT).is_file():
            return clips
        intervals = {str(number) for number in json.loads((self.folder / PATS_SPLIT).read_text("utf-8"))["test"]}
        return [name for name in clips if bare(name).rpartition("#")[2] in intervals]

    def path(self, name: str) -> Path:
        """Where a clip is; Reject(BAD_LINK) when it leads out of the folder."""
        return self._inside(Path(name))

    def sound(self, name: str) -> Path | None:
        """The sound file that has a clip's name, if any; of several the one in folders of most of the same names.

        Raises:
            Reject: BAD_LINK, it leads out of the folder.
        """
        folders = set(Path(name).parts[:-1])
        sounds = self._sounds.get(bare(name), [])
        return self._inside(max(sounds, key=lambda path: len(folders & set(path.parts[:-1])))) if sounds else None

    def _inside(self, name: Path) -> Path:
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise Reject(Reason.BAD_LINK, f"{name} is a link that leads out of {self.folder}")
        return path

    def state(self, name: str) -> str:
        """Of a clip and its sound, names, sizes and times of change, so that changed ones are looked at again."""
        path = self.folder / name
        sounds = [self.folder / sound for sound in self._sounds.get(bare(name), [])]
        if not path.is_dir():
            return "\n".join(map(state_of, (path, *sounds)))
        with os.scandir(path) as entries:
            here = [entry for entry in entries if is_frame(entry.name) and entry.is_file()]
            frames = sorted(_words(entry.name, entry.stat()) for entry in here)
        return "\n".join([hashlib.sha256("\n".join(frames).encode()).hexdigest(), *map(state_of, sounds)])


def state_of(path: Path) -> str:
    """A file's name, size and time of change."""
    return _words(path.name, path.stat())


def _words(name: str, status: os.stat_result) -> str:
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def bare(name: str) -> str:
    """A clip's name without folders, and without a video's suffix, which folders of frames may have too."""
    path = Path(name)
    return path.stem if path.suffix.lower() in FILMS else path.name


def speaker_of(name: str, protocol: Protocol) -> str:
    """Who speaks in a clip, by its path.

    PATS: `<speaker>#<interval>`, as `trim_videos.py` of github.com/thuhcsi/S2G-MDDiffusion writes it, or a folder a speaker.
    TED-talks: the talk's YouTube id, the first of `<talk>#<first>#<last>`, as `load_videos.py` writes it; for ids like those of
    articulated-animation's `data/ted-metadata.csv`, which hold frame numbers themselves, it writes
    `<last>#<first>#<talk>#000000#000000`.
    """
    parts = bare(name).split("#")
    if protocol == "ted":
        return next((part for part in parts if re.fullmatch(r"[A-Za-z0-9_-]{11}", part)), parts[0])
    words = [*re.split(r"[^a-z]+", parts[0].lower()), *(folder.lower() for folder in reversed(Path(name).parts[:-1]))]
    return next((PATS_SPEAKERS[word] for word in words if word in PATS_SPEAKERS), name)
