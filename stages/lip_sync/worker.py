"""Measures how well the lips of a clip's people fit its sound."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.nets.footage import check_footage, footage_of
from pipeline.nets.server.client import open_net
from pipeline.nets.session import Device
from pipeline.nets.syncnet import SyncNet
from pipeline.nets.syncnet.package import SyncNetReference
from pipeline.nets.syncnet.whole import WholePipeline
from stages.lip_sync.crops import CropMeasurer
from stages.lip_sync.faces import Face, faces_of
from stages.lip_sync.fits import NetComparer, PackageComparer
from stages.lip_sync.settings import LipSyncSettings
from stages.lip_sync.whole import WholeMeasurer


class Measurer(Protocol):
    """Measures the faces of a clip by one of the back-ends."""

    def measured(self, unit: Unit, faces: list[Face]) -> dict[int, Row]:
        """person -> measures, for those of the faces (at least one) that can be measured."""
        ...


class LipSyncWorker:
    """Turns clips into rows of `lip_syncs`, one for each person.

    Args:
        settings: of the stage.
        measurer: compares lips with sound.
        footage: by the name of each net, the only footage that it can see, or "".
    """

    def __init__(self, settings: LipSyncSettings, measurer: Measurer, footage: Mapping[str, str]) -> None:
        self._settings, self._measurer, self._footage = settings, measurer, footage

    @classmethod
    def from_context(cls, settings: LipSyncSettings, context: Context) -> "LipSyncWorker":
        """Open the net that the settings name.

        Raises:
            ImportError: syncnet-python, which the back-end is, is not installed. What `open_net` raises.
        """
        return cls(settings, *open_measurer(settings, context))

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each person, of ids alone where nothing can be measured. Raises WrongFootage."""
        persons, video = unit.rows("persons"), unit.row("videos")
        check_footage(self._footage, video["footage"], "`lip_sync.net`")
        faces = faces_of(persons, self._settings) if video["audio_codec"] else []
        measured = self._measurer.measured(unit, faces) if faces else {}
        best = max(measured, key=lambda k: (measured[k]["lip_confidence"], -k), default=None)
        for number, person in enumerate(persons):
            row: Row = {key: person[key] for key in ("person_id", "clip_id", "video_id")}
            yield {**row, **measured.get(number, {}), **({"best_lips": number == best} if measured else {})}


def open_measurer(settings: LipSyncSettings, context: Context) -> tuple[Measurer, dict[str, str]]:
    """The back-end that the settings name, and by the name of its net the only footage that it was made for."""
    device: Device = "cuda" if context.device == "cuda" else "cpu"
    file = context.nets.resolve(settings.net)
    if settings.backend == "onnx":
        session = open_net(file.path, device, context.threads, context.net_server)
        comparer = NetComparer(SyncNet(session, settings.batch))
        return CropMeasurer(settings, context, comparer), {file.name: footage_of(session)}
    weights = file.original or file.path
    if settings.backend == "syncnet":
        reference = SyncNetReference(weights, device, settings.batch, context.threads)
        return CropMeasurer(settings, context, PackageComparer(reference)), {}
    detector = context.nets.resolve(settings.face_detector)
    return WholeMeasurer(context, WholePipeline(weights, detector.path, device, context.threads)), {}


open_worker = LipSyncWorker.from_context
