"""HDR to SDR: PQ and HLG pictures become BT.709 with 8 bits, diffuse white (203 cd/m2, BT.2408) as white.

Light up to 0.95 of white keeps its value; what is brighter is rolled off by its largest component, so that hues stay.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

PQ, HLG = 16, 18  # AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67
TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    PQ: "smpte2084",
    HLG: "arib-std-b67",
}
"""Transfers by ffmpeg's numbers; 2 is unspecified."""

MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
"""Matrices by ffmpeg's numbers; 2 is unspecified."""

_WHITE = 203.0  # cd/m2
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2  # of the reference display, BT.2100
_KNEE = 0.95
_BT709_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_TO_BT709 = np.array(  # primaries of BT.2020 to those of BT.709, BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_BT2020, _BT709 = 9, 1  # AVCOL_PRI_BT2020; AVCOL_PRI_BT709 and AVCOL_SPC_BT709
_STEPS = 4096.0  # of the table back to gamma, from black to white
_ROLLED_STEPS = 700.0  # to the unit; PQ reaches 82 when it becomes BT.709
_WIDE_TABLES = cv2.getVersionMajor() >= 5  # OpenCV 4 looks up 8 bits only; numpy takes thrice as long


def is_hdr(frame: Any) -> bool:
    """Whether a decoded frame is coded with PQ or HLG."""
    if frame.color_trc not in (PQ, HLG):
        return False
    # After HLG that a message in the stream announced, HEVC's decoder says HLG of SDR as well.
    return not (frame.colorspace == _BT709 and frame.color_primaries == _BT709)


def to_sdr(rgb: npt.NDArray[np.uint16], transfer: int, primaries: int) -> npt.NDArray[np.uint8]:
    """Tone-map a picture.

    Args:
        rgb: (H, W, 3) R'G'B', full range of 16 bits.
        transfer: `PQ` or `HLG`.
        primaries: of the stream, as ffmpeg numbers them; unknown ones count as BT.2020.
    """
    light = _looked_up(_linear(transfer), rgb)  # (H, W, 3), 1 is diffuse white
    if primaries in (_BT2020, 0, 2):
        light = cv2.transform(light, _TO_BT709)
    red, green, blue = cv2.split(light)
    most = cv2.max(cv2.max(red, green), blue)
    if cv2.minMaxLoc(most)[1] > _KNEE:
        factor = _looked_up(_rolled(), _codes(most, _ROLLED_STEPS))
        light = cv2.multiply(light, cv2.merge([factor] * 3))
    return _looked_up(_gamma(), _codes(light, _STEPS))


def luma_of(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W) full-range luma of an SDR picture (H, W, 3), BT.709."""
    luma: npt.NDArray[np.uint8] = np.rint(rgb @ _BT709_LUMA).astype(np.uint8)
    return luma


@cache
def _linear(transfer: int) -> npt.NDArray[np.float32]:
    """(65536,) displayed light of each code, relative to white; HLG's system gamma is applied to each component, as zimg does."""
    code = np.arange(65536) / 65535
    if transfer == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = code ** (1 / m2)
        return (10000 / _WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # BT.2100
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return (_HLG_PEAK / _WHITE * scene**_HLG_GAMMA).astype(np.float32)


@cache
def _rolled() -> npt.NDArray[np.float32]:
    """(65536,) by what to multiply a pixel whose largest component is `_ROLLED_STEPS` to the unit."""
    most = np.arange(65536) / _ROLLED_STEPS
    rolled = 1 - (1 - _KNEE) * np.exp(-(most - _KNEE) / (1 - _KNEE))
    return np.where(most > _KNEE, rolled / np.maximum(most, _KNEE), 1).astype(np.float32)


@cache
def _gamma() -> npt.NDArray[np.uint8]:
    """(65536,) codes of light, `_STEPS` to the unit, on a display of BT.1886; its steps are finest where eyes are."""
    return np.rint(255 * np.minimum(np.arange(65536) / _STEPS, 1) ** (1 / 2.4)).astype(np.uint8)


def _codes(light: npt.NDArray[Any], steps: float) -> npt.NDArray[Any]:
    """Light as numbers of 16 bits, so many steps to the unit; what is below 0 becomes 0."""
    return cv2.addWeighted(light, steps, light, 0, 0, dtype=cv2.CV_16U)


def _looked_up(table: npt.NDArray[Any], codes: npt.NDArray[np.uint16]) -> npt.NDArray[Any]:
    """What a table of 65536 entries holds for each code."""
    return cv2.LUT(codes, table[None]) if _WIDE_TABLES else np.take(table, codes)
