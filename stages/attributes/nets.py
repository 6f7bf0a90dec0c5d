"""The nets that look at faces: our own sessions of them, or DeepFace itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from onnxruntime import InferenceSession

from pipeline.base.arrays import Floats32, Floats64, Picture
from pipeline.engine.stage import Context
from pipeline.nets.face.attributes import Attribute, AttributeNet, ages
from pipeline.nets.face.deepface import DeepFaceReference
from pipeline.nets.face.identity import IdentityNet
from pipeline.nets.footage import footage_of
from pipeline.nets.server.client import open_net
from pipeline.nets.session import Device
from stages.attributes.settings import GUESSES, IDENTITY, AttributesSettings


@dataclass(frozen=True)
class Look:
    """A face in one frame: (224, 224, 3) upright, (112, 112, 3) aligned, RGB."""

    upright: Picture
    aligned: Picture


@dataclass(frozen=True)
class Faces:
    """What the nets say of N looks; what there is no net for is missing, or None.

    Attributes:
        scores: of gender, ethnicity and emotion, (N, classes) in the order of `LABELS`.
        years: (N,) apparent ages.
        vectors: (N, width) unit vectors of whose faces they are.
    """

    scores: Mapping[Attribute, Floats32]
    years: Floats64 | None
    vectors: Floats32 | None


class FaceNets(Protocol):
    """The nets that are on this machine.

    Attributes:
        footage: by the name of each net, the only footage that it can see, or "".
    """

    footage: dict[str, str]

    def look(self, looks: Sequence[Look]) -> Faces:
        """What they say of these looks, one at least."""
        ...


@dataclass
class SessionNets:
    """Each net in a session of ours.

    Attributes:
        attributes: what each guesses -> the net.
        identity: makes vectors of faces, where there is such a net.
        footage: as in `FaceNets`.
    """

    attributes: dict[Attribute, AttributeNet] = field(default_factory=dict)
    identity: IdentityNet | None = None
    footage: dict[str, str] = field(default_factory=dict)

    def look(self, looks: Sequence[Look]) -> Faces:
        """As `FaceNets.look`."""
        scores = {kind: net([look.upright for look in looks]) for kind, net in self.attributes.items()}
        years = ages(scores.pop("age")) if "age" in scores else None
        vectors = self.identity([look.aligned for look in looks]) if self.identity is not None else None
        return Faces(scores, years, vectors)


class PackageNets:
    """DeepFace itself, which sees any footage."""

    def __init__(self, deepface: DeepFaceReference) -> None:
        self.footage: dict[str, str] = {}
        self._deepface = deepface

    def look(self, looks: Sequence[Look]) -> Faces:
        """As `FaceNets.look`; ages are whole years."""
        scores, years = self._deepface.analyze([look.upright for look in looks])
        return Faces(scores, years, self._deepface.represent([look.aligned for look in looks]))


def open_nets(settings: AttributesSettings, context: Context) -> FaceNets:
    """Open those of the wanted nets that are here; the others are left out.

    Raises:
        ImportError: deepface, which the back-end is, is not installed. What `open_net` raises.
    """
    device: Device = "cuda" if context.device == "cuda" else "cpu"
    wanted = settings.wanted()
    found = {attribute: context.nets.optional(names) for attribute, names in wanted.items()}
    files = {attribute: file for attribute, file in found.items() if file is not None}
    if settings.backend == "deepface":
        return PackageNets(DeepFaceReference({attribute: file.path for attribute, file in files.items()}, device))
    nets = SessionNets()

    def session(attribute: str) -> InferenceSession:
        opened = open_net(files[attribute].path, device, context.threads, context.net_server)
        nets.footage[files[attribute].name] = footage_of(opened)
        return opened

    for guess in GUESSES:
        if guess in files:
            nets.attributes[guess] = AttributeNet(session(guess), guess, settings.batch)
    if IDENTITY in files:
        nets.identity = IdentityNet(session(IDENTITY), settings.batch)
    return nets
