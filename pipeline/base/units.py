"""The constants that every room shares: the grid's rate, the sound's, a clip's size, the number of keypoints.

All are whole numbers, and the module imports nothing heavy, so that declarations of stages may use them.
"""

from typing import Any

FPS = 25  # of the grid: pictures, keypoints and features a second
SAMPLE_RATE = 16_000  # Hz, of every voice: mono
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640
# What readers of shards allow; released clips last 5 to 15 s, those of other sets up to 75 s.
LONGEST_CLIP_SECONDS = 300
CLIP_SIDE_PX = 512  # of an exported clip's square picture, in whose pixels skeletons of the model are
KEYPOINTS = 133  # of a person: COCO-WholeBody

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 px, half open; it may leave the picture
FloatBox = tuple[float, float, float, float]  # likewise, where a scale leaves parts of pixels
Colour = tuple[int, int, int]  # RGB, 0..255
Row = dict[str, Any]  # of a table: column -> value
