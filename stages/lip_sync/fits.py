"""How well the lips of a clip's faces fit its sound, moved by so many frames: by our net, or by syncnet-python itself."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32, Picture
from pipeline.nets.syncnet import Score, SyncNet, distances, lips_of, score, windows_of
from pipeline.nets.syncnet.package import SyncNetReference, write_crop

Waves = Callable[[int], Floats32 | None]
"""The clip's sound (frames x 640,) moved later by so many frames; None where it has none."""


class Fits(Protocol):
    """The faces of a clip, ready to be compared with its sound.

    Attributes:
        windows: of five pictures each, as many as there are of every face.
    """

    windows: int

    def fit(self, face: int, shift: int, used: NDArray[np.bool_]) -> Score | None:
        """The score of a face over the windows (windows,) that count, one at least; None where there is no sound."""
        ...


class Comparer(Protocol):
    """Looks at the lips of faces, once."""

    def fits(self, crops: Iterable[Picture], faces: int, frames: int, waves: Waves) -> AbstractContextManager[Fits]:
        """Compare faces with sound.

        Args:
            crops: (faces, 224, 224, 3) BGR of every picture that the clip has, at most `frames`.
            faces: how many, at least one.
            frames: of the clip.
            waves: its sound.
        """
        ...


class NetComparer:
    """By our own form of SyncNet."""

    def __init__(self, net: SyncNet) -> None:
        self._net = net

    @contextmanager
    def fits(self, crops: Iterable[Picture], faces: int, frames: int, waves: Waves) -> Iterator[Fits]:
        """As `Comparer.fits`: each picture is cut once for all faces, and the net sees batches of both."""
        yield _NetFits(self._net, lips_of(self._net, crops, faces)[:, : windows_of(frames)], waves)


class _NetFits:
    def __init__(self, net: SyncNet, lips: Floats32, waves: Waves) -> None:
        self.windows = lips.shape[1]
        self._lips = lips

        @cache  # several people of a clip may need the same shift
        def sound(shift: int) -> Floats32 | None:
            wave = waves(shift)
            return None if wave is None else net.sound(wave, self.windows)

        self._sound = sound

    def fit(self, face: int, shift: int, used: NDArray[np.bool_]) -> Score | None:
        sound = self._sound(shift)
        return None if sound is None else score(distances(self._lips[face], sound), used)


class PackageComparer:
    """By syncnet-python, face by face, from crops in a folder."""

    def __init__(self, reference: SyncNetReference) -> None:
        self._reference = reference

    @contextmanager
    def fits(self, crops: Iterable[Picture], faces: int, frames: int, waves: Waves) -> Iterator[Fits]:
        """As `Comparer.fits`. The crops lie in a folder until the block ends."""
        with tempfile.TemporaryDirectory(prefix="csg405-syncnet-") as place:
            folders = [Path(place) / str(face) for face in range(faces)]
            for folder in folders:
                folder.mkdir()
            shown = 0
            for picture in crops:
                for folder, crop in zip(folders, picture, strict=True):
                    write_crop(folder, shown, crop)
                shown += 1
            yield _PackageFits(self._reference, folders, windows_of(min(shown, frames)), waves)


class _PackageFits:
    def __init__(self, reference: SyncNetReference, folders: list[Path], windows: int, waves: Waves) -> None:
        self.windows = windows
        self._reference, self._folders, self._waves = reference, folders, waves

    def fit(self, face: int, shift: int, used: NDArray[np.bool_]) -> Score | None:
        wave = self._waves(shift)
        return None if wave is None else self._reference.evaluate(self._folders[face], wave).score(used)
