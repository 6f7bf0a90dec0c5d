"""SyncNet: how well lips fit the sound, and the offset between them. Usable alone, on face crops and a 16-kHz wave.

    net = SyncNet(open_session("syncnet_v2.onnx"))
    count = windows_of(len(crops))                       # crops: (T, 224, 224, 3) BGR, 25 a second
    result = score(distances(net.lips(crops[None])[0][:count], net.sound(wave, count)))

gives the same as `SyncNetInstance.evaluate` of syncnet-python, which `package.SyncNetReference` runs itself, to compare with.
"""

from pipeline.nets.syncnet.graph import SIDE, WINDOW, convert, to_onnx
from pipeline.nets.syncnet.net import SyncNet, cepstra, samples_of, sound_windows, windows_of
from pipeline.nets.syncnet.score import MAX_SHIFT, Score, distances, score
from pipeline.nets.syncnet.stream import lips_of, whole_windows

__all__ = [
    "MAX_SHIFT", "SIDE", "WINDOW", "Score", "SyncNet", "cepstra", "convert", "distances", "lips_of", "samples_of", "score",
    "sound_windows", "to_onnx", "whole_windows", "windows_of",
]  # fmt: skip
