"""What stages keep of a clip's pictures for others, and which pictures stand for it: the same for who keeps and who reads them.

It imports nothing, so that declarations of stages may use it.
"""

FACES = "faces"  # of everybody whose lips can be read, in all pictures that show them
STRIP = "strip"  # whole pictures of the source, spread over the clip
STILL = "still"  # the picture in the middle of an exported clip
STRIP_PICTURES = 4  # unless previews are told otherwise


def spread(frames: int, count: int) -> tuple[int, ...]:
    """The pictures in the middle of each of `count` equal parts of a clip."""
    return tuple(int((n + 0.5) * frames / count) for n in range(count))


def middle(frames: int, shown: int = 1) -> int:
    """The first of `shown` pictures in a row in the middle of a clip."""
    return max(0, (frames - shown) // 2)
