"""The network that settings describe: the paper's transformer, or the encoder of the authors' scripts."""

from pipeline.model.dit import DiT, NetSettings
from pipeline.model.release_encoder import ReleaseEncoder

Net = DiT | ReleaseEncoder


def build(settings: NetSettings) -> Net:
    """Build a network with random weights, drawn from torch's global generator."""
    return DiT(settings) if settings.arch == "dit" else ReleaseEncoder(settings)
